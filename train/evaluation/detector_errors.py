"""failures.html of a detector: its worst false alarms, the largest faces it missed, its worst boxes. One file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.resize import resize
from pocketsight.train.contact_sheet import BLUE, ORANGE
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.html import bar_span, img_tag, jpeg_base64, page_header
from pocketsight.train.evaluation.matching import NEAR_MISS_IOU, Match
from pocketsight.train.evaluation.slices import SLICE_NOTES

MAX_TILES = 24  # tiles of one kind
TILE_SIZE = 200  # px
CONTEXT_SCALE = 2.5  # how much of the picture a tile shows, in longer sides of its box
MIN_WINDOW_SIZE = 48.0  # px of the frame that a tile shows at least


def write_detector_errors(results: DetectionResults, scores: dict[str, Any], title: str, target: Path) -> None:
    """Write the page for what `measure` and `slices` made of `looked`. Raises DataError when it cannot be written."""
    atomic_write(target, "\n".join(_page(results, scores, title)))


def _page(results: DetectionResults, scores: dict[str, Any], title: str) -> Iterator[str]:
    threshold = scores["threshold"]
    false_positives = [spot for spot in results.false_positives if spot.score >= threshold]
    missed = [spot for spot in results.faces if spot.score < threshold]
    right = [spot for spot in results.faces if spot.score >= threshold]
    yield page_header(title)
    yield (
        f"<p>{scores['images']} pictures, {scores['faces']} faces of {results.min_face_size:g} px and more. At threshold "
        f"{threshold:.2f}: {len(right)} found, {len(missed)} missed, {len(false_positives)} false alarms.</p>"
    )
    first, *rest = scores["advice"]
    yield f"<p><b>{escape(first)}</b></p>"
    yield "".join(f"<p>{escape(line)}</p>" for line in rest)
    yield from slice_table(scores["slices"])
    yield f"<p>In the pictures: {legend_item('found', BLUE)} {legend_item('labelled', ORANGE)} {legend_item('not counted', GRAY)}</p>"
    best = sorted(false_positives, key=lambda s: -s.score)
    what = "The highest scores first. Some may be faces that nobody labelled: mend the labels before you train again."
    yield from _section("False alarms", what, [s for s in best if s.iou < NEAR_MISS_IOU], threshold)
    what = "False alarms too: on a face that is labelled, or too small to count, but with too little overlap."
    yield from _section("Boxes beside their face", what, [s for s in best if s.iou >= NEAR_MISS_IOU], threshold)
    what = "The largest first. Where a score stands, a lower threshold would have found the face."
    yield from _section("Missed faces", what, sorted(missed, key=lambda s: -s.size), threshold)
    what = "The least overlap (IoU) first, of the faces that were found. Look who is right: box or label."
    yield from _section("Worst boxes", what, sorted(right, key=lambda s: s.iou), threshold)


def slice_table(tables: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The figures of each part of the faces, with bars for recall."""
    heads = "<th>faces<th>AP50<th>false<th>precision<th colspan=2>recall (95 %)<th>missed"
    yield f"<h2>Where it fails</h2><table><tr><th>{heads}</tr>"
    for kind, rows in tables.items():
        note = f' <span class="tag">{SLICE_NOTES[kind]}</span>' if kind in SLICE_NOTES else ""
        yield f'<tr><th colspan="8">by {escape(kind)}{note}</th></tr>'
        for row in rows:
            ap50, precision, recall = (
                "" if row[k] is None else f"{row[k]:.3f}" for k in ("ap50", "precision", "recall")
            )
            low, high = row["recall_95"]
            numbers = row["faces"], ap50, f"{row['false_alarms']:g}", precision, f"{recall} ({low:.2f} to {high:.2f})"
            note = ' <span class="tag">too few to say</span>' if row["few"] else ""
            means = f' <span class="tag">{escape(row["means"])}</span>' if row["means"] else ""
            yield (
                f"<tr><td>{escape(row['slice'])}{means}</td>"
                + "".join(f'<td class="n">{number}</td>' for number in numbers)
                + f'<td>{bar_span(round(120 * (row["recall"] or 0)))}{note}</td><td class="n">{row["missed"]}</td></tr>'
            )
    yield "</table>"


def legend_item(what: str, color: tuple[int, int, int]) -> str:
    return f'<span style="color:rgb{color}">&#9632;</span> {escape(what)}'


def _section(name: str, what: str, matches: Sequence[Match], threshold: float) -> Iterator[str]:
    shown = f"; the first {MAX_TILES}" if len(matches) > MAX_TILES else ""
    yield f"<h2>{name}: {len(matches)}{shown}</h2><p>{what}</p>"
    yield '<div class="tiles">'
    for spot in matches[:MAX_TILES]:
        name = escape(spot.image_result.path.name)
        yield (
            f"<figure><div>{img_tag(match_jpeg(spot, threshold), name)}</div>"
            f"<figcaption>{match_caption(spot)}<br>{name}</figcaption></figure>"
        )
    yield "</div>"


def match_caption(match: Match) -> str:
    """Score, overlap and size of a spot."""
    facts = [f"score {match.score:.2f}" if match.detection else "not found at any score"]
    if match.detection and match.iou:
        facts.append(f"overlap {match.iou:.2f}")
    return ", ".join([*facts, f"{match.size:.0f} px"])


def match_jpeg(match: Match, threshold: float) -> str:
    """A JPEG of the picture around a spot, in base64; empty when the picture cannot be read any more."""
    try:
        return jpeg_base64(draw_match(read_image(match.image_result.path), match, threshold))
    except DataError:
        return ""


def draw_match(image: Image, match: Match, threshold: float) -> Image:
    """The part of the picture around a spot, TILE x TILE, with what was labelled and what was found there."""
    scale = match.image_result.scale
    left, top, side = _context_window(
        match.box / scale, max(CONTEXT_SCALE * match.size, MIN_WINDOW_SIZE) / scale, image.shape
    )
    tile = resize(crop_window(image, left, top, left + side, top + side), (TILE_SIZE, TILE_SIZE)).copy()
    found = np.array(
        [face.box for face in match.image_result.detections if face.score >= threshold], np.float32
    ).reshape(-1, 4)
    own = np.array([match.detection.box], np.float32) if match.detection else np.empty((0, 4), np.float32)
    face = match.truth_box[None] if match.truth_box is not None else np.empty((0, 4), np.float32)
    for boxes, color, width in (
        (match.image_result.ignore_boxes, GRAY, 1),
        (match.image_result.truth_boxes, ORANGE, 1),
        (found, BLUE, 1),
        (face, ORANGE, 2),
        (own, BLUE, 2),
    ):
        for box in ((boxes / scale - (left, top, left, top)) * (TILE_SIZE / side)).round().astype(int).tolist():
            cv2.rectangle(tile, (box[0], box[1]), (box[2] - 1, box[3] - 1), color, width)
    return tile


def _context_window(box: Boxes, side: float, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Left, top and side of a square around a box (4,), moved inside the picture as far as it goes."""
    whole = min(round(side), max(shape[:2]))
    middle = (box[:2] + box[2:]) / 2
    left, top = (
        round(max(0.0, min(float(at) - whole / 2, length - whole)))
        for at, length in zip(middle, shape[1::-1], strict=True)
    )
    return left, top, max(whole, 1)
