"""The end of `pocketsight data import`: a table, and a contact sheet on which a shifted box shows at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.contact_sheet import GREEN, ORANGE, draw_boxes, write_contact_sheet
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation
from pocketsight.train.datasets.formats.orientation import SizeReport
from pocketsight.train.datasets.formats.writers import next_free_path

SHEET_IMAGES, SHEET_COLUMNS, TILE_SIZE = 12, 4, (240, 320)  # tile: height, width
MAX_NAMED = 5


class ImportSummary:
    """What was read, and what was left out of it."""

    def __init__(self, images: Sequence[AnnotatedImage]) -> None:
        self.boxes = Counter(a.label for image in images for a in image.objects)
        self.ignored = Counter(a.label for image in images for a in image.ignored)
        self.cut: list[Annotation] = []  # boxes that reached beyond their image
        self.sizes = SizeReport()
        self.dropped: list[Annotation] = []  # boxes without area
        self.removed: list[str] = []  # lines about images that options remove

    def left_out(self) -> list[str]:
        """A line for each reason why something was left out."""
        lines = []
        if self.dropped:
            count = pluralize(len(self.dropped), "box")
            lines.append(f"{count} without area dropped, the first: {self.dropped[0].location}")
        if self.sizes.resized:
            count = pluralize(len(self.sizes.resized), "image")
            lines.append(f"{count} with labels for another size removed: {_name_some(self.sizes.resized)}")
        if self.cut:
            reason = f"reached beyond the image and {'was' if len(self.cut) == 1 else 'were'} cut"
            lines.append(f"{pluralize(len(self.cut), 'box')} {reason}, the first: {self.cut[0].location}")
        return [*lines, *self.removed]

    def rotation_notes(self) -> list[str]:
        """Lines about images that were labeled before or after their EXIF rotation."""
        notes = []
        if self.sizes.settled:
            count = pluralize(len(self.sizes.settled), "image")
            notes.append(f"{count} with the size or boxes before the EXIF rotation: put right by the boxes")
        if self.sizes.assumed:
            notes.append(
                f"the boxes of these fit before and after the EXIF rotation, and were read as after it; "
                f"look at them: {_name_some(self.sizes.assumed)}"
            )
        return notes


def pluralize(count: int, noun: str) -> str:
    """The count and the noun: "1 box", "2 boxes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('x') else 's'}"


def _name_some(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:MAX_NAMED])) + (", ..." if len(paths) > MAX_NAMED else "")


def show_summary(out: Path, images: list[AnnotatedImage], labels: Sequence[str], summary: ImportSummary) -> None:
    """Print the table, log what was left out, and draw the contact sheet next to `out`."""
    boxes, ignored = sum(len(image.objects) for image in images), sum(len(image.ignored) for image in images)
    empty = sum(not image.annotations for image in images)
    counts = [
        f"{pluralize(len(images), 'image')}{f' ({empty} without boxes)' if empty else ''}",
        f"{pluralize(boxes, 'box')} of {', '.join(labels)}",
        *([f"{pluralize(ignored, 'box')} to ignore"] if ignored else []),
    ]
    _print_table(images, labels, summary, (boxes, ignored, empty))
    for note in summary.rotation_notes():
        log_message(note)
    if empty == len(images):
        log_message("no image has a box: some exports leave out shapes that their format cannot write; try COCO")
    sheet = next_free_path(out.with_name(f"{out.stem}-boxes.png"))
    if write_sheet(sheet, images, " or ".join(labels)):
        log_message(f"look at the boxes in {sheet}")
    log_message("; ".join([f"wrote {out}: {', '.join(counts)}", *summary.left_out()]))
    suggest_next("data", "check", out)


def _print_table(
    images: list[AnnotatedImage], labels: Sequence[str], summary: ImportSummary, counts: tuple[int, int, int]
) -> None:
    _, ignored, empty = counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    others = [
        *((f"boxes of {name}, left out", count) for name, count in _others(summary.boxes, labels)),
        *((f"boxes of {name} to ignore, left out", count) for name, count in _others(summary.ignored, labels)),
    ]
    own = Counter(note.label for image in images for note in image.objects)
    rows = [("images", len(images)), ("without boxes", empty)]
    rows += [(f"boxes of {label}", own[label]) for label in labels]
    for text, count in [*rows, ("boxes to ignore", ignored), *others]:
        table.add_row(text, str(count))
    Console(markup=False, highlight=False).print(table)
    for line in summary.left_out():
        print(f"left out: {line}")


def _others(counts: Counter[str], labels: Sequence[str]) -> list[tuple[str, int]]:
    own = {label.casefold() for label in labels}
    return [(name, count) for name, count in counts.most_common() if name.casefold() not in own]


def write_sheet(target: Path, images: Sequence[AnnotatedImage], label: str) -> bool:
    """Draw up to SHEET_IMAGES images with their boxes into a PNG; those with boxes first. False if none is readable."""
    chosen = [image for image in images if image.annotations] or list(images)
    step = max(1, len(chosen) // SHEET_IMAGES)
    tiles: list[Image] = []
    for image in chosen[::step]:
        if len(tiles) == SHEET_IMAGES:
            break
        try:
            tiles.append(_draw_tile(image))
        except DataError:
            continue  # `pocketsight data check` reports it
    if tiles:
        write_contact_sheet(tiles, min(SHEET_COLUMNS, len(tiles)), target, [(label, GREEN), ("ignored", ORANGE)])
    return bool(tiles)


def _draw_tile(image: AnnotatedImage) -> Image:
    tile, scale = letterbox(read_image(image.path), TILE_SIZE)
    groups = [(image.ignored, ORANGE), (image.objects, GREEN)]
    scaled = [(np.array([a.box for a in group], np.float32).reshape(-1, 4) * scale, color) for group, color in groups]
    return draw_boxes(tile, scaled)
