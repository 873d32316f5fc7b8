"""The HTML page of `pocketsight data check`: every issue with a thumbnail of its image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image, read_image
from pocketsight.train.contact_sheet import ORANGE, draw_boxes
from pocketsight.train.curation.check import (
    ISSUE_TYPES,
    NOT_SPLIT,
    CheckReport,
    DatasetStatistics,
    Issue,
    count_issues,
)
from pocketsight.train.curation.scan import ScannedImage, relative_name
from pocketsight.train.html_page import jpeg_base64, render_page, shrink

TEMPLATE = "curation/templates/check.html.j2"
MAX_TILES = 60  # thumbnails of one issue type; the other files are listed by name
TILE_SIZE = 160  # px


def write_check_page(report: CheckReport, target: Path) -> None:
    """Write the page. Raises DataError when it cannot be written."""
    page = render_page(
        TEMPLATE,
        title=f"pocketsight data check {report.scan.root}",
        summary=report.statistics.summary,
        histograms=list(_histograms(report.statistics)),
        issues=[_issue_section(report, issue_type) for issue_type in count_issues(report.issues)],
    )
    try:
        atomic_write(target, page)
    except DataError as error:
        raise DataError(f"{error}; choose another file with --html") from error


def _histograms(statistics: DatasetStatistics) -> Iterator[tuple[str, dict[str, int]]]:
    """(heading, counts) of each table with bars."""
    for split, counts in statistics.balance.items():
        yield ("Balance" if split == NOT_SPLIT else f"Split {split}"), counts
    if statistics.labels:
        yield "Boxes by label", statistics.labels
        yield "Boxes by longer side, in px of the detector's input", statistics.box_sizes


def _issue_section(report: CheckReport, issue_type: str) -> dict[str, Any]:
    """What the template shows of one issue type."""
    issues = [issue for issue in report.issues if issue.type == issue_type]
    description, action = ISSUE_TYPES[issue_type]
    return {
        "type": issue_type,
        "anchor": issue_type.replace(" ", "-"),
        "count": len(issues),
        "description": description,
        "action": action,
        "tiles": [_tile(issue, report.scan.root) for issue in issues[:MAX_TILES]],
        "more": [str(issue.path) for issue in issues[MAX_TILES:]],
    }


def _tile(issue: Issue, root: Path) -> dict[str, Any]:
    """What the template shows of one issue, next to its duplicate if it has one."""
    images = [(issue.path, issue.image)]
    detail = issue.detail
    if issue.duplicate_of:
        images.append((issue.duplicate_of.path, issue.duplicate_of))
        detail = f"as {relative_name(issue.duplicate_of.path, root)}"
    return {
        "images": [(thumbnail(path, scanned), relative_name(path, root)) for path, scanned in images],
        "name": relative_name(issue.path, root),
        "detail": detail,
    }


def thumbnail(path: Path, scanned: ScannedImage | None) -> str:
    """A JPEG of at most TILE_SIZE px in base64, with the labeled boxes. Empty when the image cannot be read."""
    try:
        image = read_image(path)
    except DataError:
        return ""
    tile, scale = shrink(image, TILE_SIZE)
    if scanned and scanned.annotations:
        boxes = np.array([annotation.box for annotation in scanned.annotations], np.float32) * scale
        tile = _draw_clipped(tile, boxes)
    return jpeg_base64(tile)


def _draw_clipped(image: Image, boxes: Boxes) -> Image:
    """The image with its boxes, clipped first: an invalid box may be anywhere."""
    height, width = image.shape[:2]
    inside = np.clip(np.nan_to_num(boxes), -2, [width + 2, height + 2, width + 2, height + 2]).astype(np.float32)
    return draw_boxes(image, [(inside, ORANGE)])
