"""failures.html of a detector: its worst false alarms, the largest faces it missed, its worst boxes. One file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.annotate import GREY
from pocketsight.device.boxes import Boxes
from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.image import Image, cut, read_image, resize
from pocketsight.train.match import BESIDE, Spot
from pocketsight.train.page import bar, encoded, opening, picture
from pocketsight.train.report import BLUE, ORANGE
from pocketsight.train.score import Looked
from pocketsight.train.slices import NOTES

MOST = 24  # tiles of one kind
TILE = 200  # px
AROUND = 2.5  # how much of the picture a tile shows, in longer sides of its box
LEAST = 48.0  # px of the frame that a tile shows at least


def write_gallery(looked: Looked, scores: dict[str, Any], title: str, target: Path) -> None:
    """Write the page for what `measure` and `slices` made of `looked`. Raises DataError when it cannot be written."""
    write_whole(target, "\n".join(_page(looked, scores, title)))


def _page(looked: Looked, scores: dict[str, Any], title: str) -> Iterator[str]:
    threshold = scores["threshold"]
    alarms = [spot for spot in looked.alarms if spot.score >= threshold]
    missed = [spot for spot in looked.faces if spot.score < threshold]
    right = [spot for spot in looked.faces if spot.score >= threshold]
    yield opening(title)
    yield (
        f"<p>{scores['images']} pictures, {scores['faces']} faces of {looked.smallest:g} px and more. At threshold "
        f"{threshold:.2f}: {len(right)} found, {len(missed)} missed, {len(alarms)} false alarms.</p>"
    )
    first, *rest = scores["advice"]
    yield f"<p><b>{escape(first)}</b></p>"
    yield "".join(f"<p>{escape(line)}</p>" for line in rest)
    yield from slices_table(scores["slices"])
    yield f"<p>In the pictures: {legend('found', BLUE)} {legend('labelled', ORANGE)} {legend('not counted', GREY)}</p>"
    best = sorted(alarms, key=lambda s: -s.score)
    what = "The highest scores first. Some may be faces that nobody labelled: mend the labels before you train again."
    yield from _section("False alarms", what, [s for s in best if s.overlap < BESIDE], threshold)
    what = "False alarms too: on a face that is labelled, or too small to count, but with too little overlap."
    yield from _section("Boxes beside their face", what, [s for s in best if s.overlap >= BESIDE], threshold)
    what = "The largest first. Where a score stands, a lower threshold would have found the face."
    yield from _section("Missed faces", what, sorted(missed, key=lambda s: -s.size), threshold)
    what = "The least overlap (IoU) first, of the faces that were found. Look who is right: box or label."
    yield from _section("Worst boxes", what, sorted(right, key=lambda s: s.overlap), threshold)


def slices_table(tables: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The figures of each part of the faces, with bars for recall."""
    heads = "<th>faces<th>AP50<th>false<th>precision<th colspan=2>recall (95 %)<th>missed"
    yield f"<h2>Where it fails</h2><table><tr><th>{heads}</tr>"
    for kind, rows in tables.items():
        note = f' <span class="tag">{NOTES[kind]}</span>' if kind in NOTES else ""
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
                + f'<td>{bar(round(120 * (row["recall"] or 0)))}{note}</td><td class="n">{row["missed"]}</td></tr>'
            )
    yield "</table>"


def legend(what: str, colour: tuple[int, int, int]) -> str:
    return f'<span style="color:rgb{colour}">&#9632;</span> {escape(what)}'


def _section(name: str, what: str, spots: Sequence[Spot], threshold: float) -> Iterator[str]:
    shown = f"; the first {MOST}" if len(spots) > MOST else ""
    yield f"<h2>{name}: {len(spots)}{shown}</h2><p>{what}</p>"
    yield '<div class="tiles">'
    for spot in spots[:MOST]:
        name = escape(spot.seen.path.name)
        yield (
            f"<figure><div>{picture(encoded_spot(spot, threshold), name)}</div>"
            f"<figcaption>{caption(spot)}<br>{name}</figcaption></figure>"
        )
    yield "</div>"


def caption(spot: Spot) -> str:
    """Score, overlap and size of a spot."""
    facts = [f"score {spot.score:.2f}" if spot.found else "not found at any score"]
    if spot.found and spot.overlap:
        facts.append(f"overlap {spot.overlap:.2f}")
    return ", ".join([*facts, f"{spot.size:.0f} px"])


def encoded_spot(spot: Spot, threshold: float) -> str:
    """A JPEG of the picture around a spot, in base64; empty when the picture cannot be read any more."""
    try:
        return encoded(drawn(read_image(spot.seen.path), spot, threshold))
    except DataError:
        return ""


def drawn(image: Image, spot: Spot, threshold: float) -> Image:
    """The part of the picture around a spot, TILE x TILE, with what was labelled and what was found there."""
    scale = spot.seen.scale
    left, top, side = _window(spot.box / scale, max(AROUND * spot.size, LEAST) / scale, image.shape)
    tile = resize(cut(image, left, top, left + side, top + side), (TILE, TILE)).copy()
    found = np.array([face.box for face in spot.seen.found if face.score >= threshold], np.float32).reshape(-1, 4)
    own = np.array([spot.found.box], np.float32) if spot.found else np.empty((0, 4), np.float32)
    face = spot.face[None] if spot.face is not None else np.empty((0, 4), np.float32)
    for boxes, colour, width in (
        (spot.seen.ignore, GREY, 1), (spot.seen.boxes, ORANGE, 1), (found, BLUE, 1), (face, ORANGE, 2), (own, BLUE, 2)
    ):  # fmt: skip
        for box in ((boxes / scale - (left, top, left, top)) * (TILE / side)).round().astype(int).tolist():
            cv2.rectangle(tile, (box[0], box[1]), (box[2] - 1, box[3] - 1), colour, width)
    return tile


def _window(box: Boxes, side: float, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Left, top and side of a square around a box (4,), moved inside the picture as far as it goes."""
    whole = min(round(side), max(shape[:2]))
    middle = (box[:2] + box[2:]) / 2
    left, top = (
        round(max(0.0, min(float(at) - whole / 2, length - whole)))
        for at, length in zip(middle, shape[1::-1], strict=True)
    )
    return left, top, max(whole, 1)
