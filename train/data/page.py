"""The page of `pocketsight data check`: what was found, with a small picture of each offender. One file, no network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.image import Image, read_image
from pocketsight.train.data.check import KINDS, Fault, Report
from pocketsight.train.data.fix import summary
from pocketsight.train.data.survey import Item
from pocketsight.train.page import bars, encoded, opening, picture, small
from pocketsight.train.report import ORANGE, boxed

MOST = 60  # pictures of one kind; the rest are named
TILE = 160  # px


def write_page(report: Report, target: Path) -> None:
    """Write the page. Raises DataError when it cannot be written."""
    try:
        write_whole(target, "\n".join(_page(report)))
    except DataError as error:
        raise DataError(f"{error}; choose another place by --html") from error


def _page(report: Report) -> Iterator[str]:
    yield opening(f"pocketsight data check {report.survey.root}")
    facts, counts = report.facts, summary(report.faults)
    mixed = f"{facts['colour']} in colour, {facts['grey']} grey"
    yield f"<p>{facts['pictures']} pictures, {facts['bytes'] / 1e6:.1f} MB; {mixed}.</p>"
    yield "<h2>Found</h2><table>" if counts else "<p>Nothing to mend.</p>"
    for kind, count in counts.items():
        what, mend = KINDS[kind]
        link = f'<a href="#{kind.replace(" ", "-")}">{kind}</a>'
        yield f'<tr><td>{link}</td><td class="n">{count}</td><td>{escape(what)}</td><td class="tag">{mend}</td></tr>'
    yield "</table>" if counts else ""
    yield from _facts(facts)
    for kind in counts:
        faults = [fault for fault in report.faults if fault.kind == kind]
        yield f'<h2 id="{kind.replace(" ", "-")}">{kind}: {len(faults)}</h2><p>{escape(KINDS[kind][0])}</p>'
        yield '<div class="tiles">'
        yield from (_tile(fault, report.survey.root) for fault in faults[:MOST])
        yield "</div>"
        if rest := faults[MOST:]:
            yield f"<details><summary>{len(rest)} more</summary>"
            yield "<br>".join(escape(str(fault.path)) for fault in rest) + "</details>"


def _facts(facts: dict[str, Any]) -> Iterator[str]:
    """What the data set holds, as bars."""
    tables = [(f"Part {part}" if part != "not split" else "Balance", rows) for part, rows in facts["balance"].items()]
    if facts["labels"]:
        tables += [("Boxes by label", facts["labels"])]
        tables += [("Boxes by longer side, in px of the detector's input", facts["face_sizes"])]
    for name, rows in tables:
        yield f"<h2>{escape(name)}</h2>"
        yield from bars(rows)


def _tile(fault: Fault, root: Path) -> str:
    """One offender, beside its twin where it has one."""
    sides = [(fault.path, fault.item)] + ([(fault.twin.path, fault.twin)] if fault.twin else [])
    shown = "".join(picture(thumbnail(path, item), short(path, root)) for path, item in sides)
    detail = f"as {short(fault.twin.path, root)}" if fault.twin else fault.detail
    name = escape(short(fault.path, root))
    return f"<figure><div>{shown}</div><figcaption>{name}<br><i>{escape(detail)}</i></figcaption></figure>"


def short(path: Path, root: Path) -> str:
    """A path below the data set's folder."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def thumbnail(path: Path, item: Item | None) -> str:
    """A JPEG of at most TILE px in base64, with the labelled boxes; empty when the picture cannot be read."""
    try:
        image = read_image(path)
    except DataError:
        return ""
    tile, scale = small(image, TILE)
    if item and item.marks:
        boxes = np.array([mark.box for mark in item.marks], np.float32) * scale
        tile = _boxed(tile, boxes)
    return encoded(tile)


def _boxed(image: Image, boxes: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image:
    """Boxes as far as they can be drawn: a broken one may lie anywhere."""
    height, width = image.shape[:2]
    inside = np.clip(np.nan_to_num(boxes), -2, [width + 2, height + 2, width + 2, height + 2]).astype(np.float32)
    return boxed(image, [(inside, ORANGE)])
