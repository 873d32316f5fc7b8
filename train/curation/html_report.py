"""The page of `pocketsight data check`: what was found, with a small picture of each offender. One file, no network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image import Image, read_image
from pocketsight.train.contact_sheet import ORANGE, draw_boxes
from pocketsight.train.curation.check import ISSUE_TYPES, CheckReport, Issue, count_issues
from pocketsight.train.curation.scan import ScannedImage, relative_name
from pocketsight.train.evaluation.html import bar_table, img_tag, jpeg_base64, page_header, shrink

MAX_TILES = 60  # pictures of one kind; the rest are named
TILE_SIZE = 160  # px


def write_check_page(report: CheckReport, target: Path) -> None:
    """Write the page. Raises DataError when it cannot be written."""
    try:
        atomic_write(target, "\n".join(_render_page(report)))
    except DataError as error:
        raise DataError(f"{error}; choose another place by --html") from error


def _render_page(report: CheckReport) -> Iterator[str]:
    yield page_header(f"pocketsight data check {report.scan.root}")
    facts, counts = report.statistics, count_issues(report.issues)
    mixed = f"{facts['colour']} in colour, {facts['grey']} grey"
    yield f"<p>{facts['pictures']} pictures, {facts['bytes'] / 1e6:.1f} MB; {mixed}.</p>"
    yield "<h2>Found</h2><table>" if counts else "<p>Nothing to mend.</p>"
    for kind, count in counts.items():
        what, mend = ISSUE_TYPES[kind]
        link = f'<a href="#{kind.replace(" ", "-")}">{kind}</a>'
        yield f'<tr><td>{link}</td><td class="n">{count}</td><td>{escape(what)}</td><td class="tag">{mend}</td></tr>'
    yield "</table>" if counts else ""
    yield from _render_statistics(facts)
    for kind in counts:
        faults = [fault for fault in report.issues if fault.type == kind]
        yield f'<h2 id="{kind.replace(" ", "-")}">{kind}: {len(faults)}</h2><p>{escape(ISSUE_TYPES[kind][0])}</p>'
        yield '<div class="tiles">'
        yield from (_render_tile(fault, report.scan.root) for fault in faults[:MAX_TILES])
        yield "</div>"
        if rest := faults[MAX_TILES:]:
            yield f"<details><summary>{len(rest)} more</summary>"
            yield "<br>".join(escape(str(fault.path)) for fault in rest) + "</details>"


def _render_statistics(statistics: dict[str, Any]) -> Iterator[str]:
    """What the data set holds, as bars."""
    tables = [
        (f"Part {part}" if part != "not split" else "Balance", rows) for part, rows in statistics["balance"].items()
    ]
    if statistics["labels"]:
        tables += [("Boxes by label", statistics["labels"])]
        tables += [("Boxes by longer side, in px of the detector's input", statistics["face_sizes"])]
    for name, rows in tables:
        yield f"<h2>{escape(name)}</h2>"
        yield from bar_table(rows)


def _render_tile(issue: Issue, root: Path) -> str:
    """One offender, beside its twin where it has one."""
    sides = [(issue.path, issue.image)] + (
        [(issue.duplicate_of.path, issue.duplicate_of)] if issue.duplicate_of else []
    )
    shown = "".join(img_tag(thumbnail(path, item), relative_name(path, root)) for path, item in sides)
    detail = f"as {relative_name(issue.duplicate_of.path, root)}" if issue.duplicate_of else issue.detail
    name = escape(relative_name(issue.path, root))
    return f"<figure><div>{shown}</div><figcaption>{name}<br><i>{escape(detail)}</i></figcaption></figure>"


def thumbnail(path: Path, scanned: ScannedImage | None) -> str:
    """A JPEG of at most TILE px in base64, with the labelled boxes; empty when the picture cannot be read."""
    try:
        image = read_image(path)
    except DataError:
        return ""
    tile, scale = shrink(image, TILE_SIZE)
    if scanned and scanned.annotations:
        boxes = np.array([mark.box for mark in scanned.annotations], np.float32) * scale
        tile = _draw_boxes(tile, boxes)
    return jpeg_base64(tile)


def _draw_boxes(image: Image, boxes: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image:
    """Boxes as far as they can be drawn: a broken one may lie anywhere."""
    height, width = image.shape[:2]
    inside = np.clip(np.nan_to_num(boxes), -2, [width + 2, height + 2, width + 2, height + 2]).astype(np.float32)
    return draw_boxes(image, [(inside, ORANGE)])
