"""`pocketsight score pipeline`: detector and classifier on whole photographs, so that one sees what a user gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.boxes import Box
from pocketsight.device.detector import detect
from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.image import crop, fit, read_image
from pocketsight.device.interpreter import Loaded
from pocketsight.device.sentiment import UNSURE, Sentiment, classify
from pocketsight.device.spec import ModelSpec
from pocketsight.train.expressions import Portrait
from pocketsight.train.page import encoded, opening, picture, small
from pocketsight.train.report import BLUE, boxed
from pocketsight.train.score import Track

FRAME = 480, 640  # height, width that photographs are fitted to: what `pocketsight run` asks of a camera
MOST, TILE, FACE = 24, 140, (80, 80)  # tiles of one kind on the page; px of a photograph, and of its face beside it
OUTCOMES = "right", "wrong", "unsure", "no face"


@dataclass(frozen=True)
class Photo:
    """One photograph of a person: what became of its largest face, and what the others in it were called."""

    portrait: Portrait
    box: Box | None  # px of the frame; None: no face was found
    answer: Sentiment | None
    others: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        if not self.answer:
            return "no face"
        if self.answer.label == UNSURE:
            return "unsure"
        return "right" if self.answer.best == self.portrait.label else "wrong"


def watch(
    detector: Loaded, sentiment: Loaded, portraits: Sequence[Portrait], frame: tuple[int, int], skipped: list[str],
    track: Track = iter,
) -> Iterator[Photo]:  # fmt: skip
    """Run both models on each readable photograph; names of the others go to `skipped`."""
    for portrait in track(portraits):
        try:
            image = fit(read_image(portrait.path), frame)[0]
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes = sorted((face.box for face in detect(image, detector)), key=_area, reverse=True)
        answers = [classify(image, box, sentiment) for box in boxes]
        largest, first = (boxes[0], answers[0]) if boxes else (None, None)
        yield Photo(portrait, largest, first, tuple(answer.label for answer in answers[1:]))


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def measure(photos: Sequence[Photo], labels: Sequence[str]) -> dict[str, Any]:
    """How many photographs of each class ended how. Raises DataError when none is of a class that the model knows.

    Photographs of other folders count apart: "others_called" is the share of them whose largest face gets a label.
    """
    ours = [photo for photo in photos if 0 <= photo.portrait.label < len(labels)]
    others = [photo for photo in photos if not 0 <= photo.portrait.label < len(labels)]
    if not ours:
        raise DataError(f"none of {len(photos)} photographs is of a class that the model knows")
    classes = {
        label: _outcomes([photo for photo in ours if photo.portrait.label == n]) for n, label in enumerate(labels)
    }
    return {
        "all": _outcomes(ours),
        "classes": classes,
        "others": len(others),
        "others_called": round(sum(photo.outcome == "wrong" for photo in others) / len(others), 4) if others else None,
        "more_faces": dict(Counter(label for photo in photos for label in photo.others)),
    }


def _outcomes(photos: Sequence[Photo]) -> dict[str, int]:
    counts = Counter(photo.outcome for photo in photos)
    return {"photographs": len(photos)} | {outcome: counts[outcome] for outcome in OUTCOMES}


def text(scores: dict[str, Any]) -> str:
    """The figures for people."""
    width, height = scores["frame"]
    whole = scores["all"]
    wide = max(len(label) for label in [*scores["classes"], "all"]) + 2
    lines = [
        f"{whole['photographs']} photographs of part {scores['part']}, fitted to {width}x{height}; "
        "the largest face of each counts",
        f"{'':{wide}}{'photos':>7}" + "".join(f"{outcome:>16}" for outcome in OUTCOMES),
    ]
    for label, row in [*scores["classes"].items(), ("all", whole)]:
        shares = "".join(f"{row[o]:8} {row[o] / max(row['photographs'], 1):6.1%}" for o in OUTCOMES)
        lines.append(f"{label:{wide}}{row['photographs']:7}{shares}")
    found = whole["photographs"] - whole["no face"]
    said = whole["right"] + whole["wrong"]
    lines.append(
        f"a face was found in {found} ({found / whole['photographs']:.1%}), {said} got a label"
        + (f", {whole['right'] / said:.1%} of those the right one" if said else "")
    )
    if scores["others"]:
        lines.append(f"{scores['others']} photographs of other folders: {scores['others_called']:.1%} got a label")
    if more := scores["more_faces"]:
        each = ", ".join(f"{count} {label}" for label, count in more.items())
        lines.append(f"{sum(more.values())} smaller faces beside the largest: {each}")
    if scores["skipped"]:
        lines.append(f"{len(scores['skipped'])} pictures could not be read and were skipped")
    return "\n".join(lines)


def write_page(photos: Sequence[Photo], spec: ModelSpec, frame: tuple[int, int], target: Path) -> None:
    """Write a page with what went wrong, the surest first. Raises DataError when it cannot be written."""
    write_whole(target, "\n".join(_page(photos, spec, frame)))


def _page(photos: Sequence[Photo], spec: ModelSpec, frame: tuple[int, int]) -> Iterator[str]:
    yield opening("What a user would get from these photographs")
    ours = [photo for photo in photos if 0 <= photo.portrait.label < len(spec.answers) or photo.outcome == "wrong"]
    for outcome, what in (
        ("wrong", "The surest first."),
        ("no face", "Look whether there is one to be found: turned away, hidden, small, cut off."),
        ("unsure", "The nearest to an answer first."),
    ):
        chosen = sorted((p for p in ours if p.outcome == outcome), key=lambda p: -(p.answer.score if p.answer else 0))
        yield f"<h2>{outcome}: {len(chosen)}</h2><p>{what}</p>"
        yield '<div class="tiles">'
        yield from (_tile(photo, spec, frame) for photo in chosen[:MOST])
        yield "</div>"


def _tile(photo: Photo, spec: ModelSpec, frame: tuple[int, int]) -> str:
    path = photo.portrait.path
    name = escape(f"{path.parent.name}/{path.name}")
    said = f"{escape(spec.labels[photo.answer.best])} {photo.answer.score:.2f}<br>" if photo.answer else ""
    try:
        image = read_image(path)
    except DataError:
        return f"<figure><div>{picture('', name)}</div><figcaption>{said}{name}</figcaption></figure>"
    tile, scale = small(image, TILE)
    shown = picture(encoded(tile), name)
    if photo.box:
        framed, to_frame = fit(image, frame)
        box = np.array(photo.box, np.float32) * (scale / to_frame)
        shown = picture(encoded(boxed(tile, [(box, BLUE)])), name)
        shown += picture(encoded(crop(framed, photo.box, spec.margin, FACE)), f"the face in {name}")
    return f"<figure><div>{shown}</div><figcaption>{said}{name}</figcaption></figure>"
