"""Option types that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


def parse_comma_list(text: str | None) -> tuple[str, ...]:
    """The names in "a, b, c", without empty ones."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()
