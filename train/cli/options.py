"""Option types that several commands share."""

from __future__ import annotations

from pocketsight.device.cli.param_types import PathParam

PATH = PathParam()


def parse_comma_list(text: str | None) -> tuple[str, ...]:
    """The names in "a, b, c", without empty ones."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()
