"""errors.html: what all pages of errors share. One file, images embedded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.train.html_page import render_page

TEMPLATES = "evaluation/templates"


class Tile(NamedTuple):
    """Images next to each other, and a caption."""

    images: Sequence[tuple[str, str]]  # JPEG in base64, "" for a placeholder; alternative text
    caption: Sequence[str]  # lines


class Section(NamedTuple):
    """A headline and the tiles below it."""

    title: str
    note: str
    tiles: Sequence[Tile]


def write_error_page(
    target: Path,
    title: str,
    summary: str,
    recommendations: Sequence[str],
    sections: Sequence[Section],
    template: str = "errors.html.j2",
    **values: Any,
) -> None:
    """Render a template of evaluation/templates into a file. Raises DataError when it cannot be written."""
    page = render_page(
        f"{TEMPLATES}/{template}",
        title=title,
        summary=summary,
        recommendations=recommendations,
        error_sections=sections,
        **values,
    )
    atomic_write(target, page)
