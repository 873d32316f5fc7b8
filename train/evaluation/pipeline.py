"""`pocketsight evaluate pipeline`: detector and classifier on whole photographs, so that one sees what a user gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import UNSURE, Classification, classify
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import ProgressFn
from pocketsight.train.contact_sheet import BLUE, draw_boxes
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation.html import img_tag, jpeg_base64, page_header, shrink

PIPELINE_FRAME_SIZE = 480, 640  # height, width that photographs are fitted to: what `pocketsight run` asks of a camera
MAX_TILES, TILE_SIZE, FACE_TILE_SIZE = (
    24,
    140,
    (80, 80),
)  # tiles of one kind on the page; px of a photograph, and of its face beside it
OUTCOMES = "right", "wrong", "unsure", "no face"


@dataclass(frozen=True)
class PipelineResult:
    """One photograph of a person: what became of its largest face, and what the others in it were called."""

    sample: ClassificationSample
    box: Box | None  # px of the frame; None: no face was found
    classification: Classification | None
    other_labels: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        if not self.classification:
            return "no face"
        if self.classification.label == UNSURE:
            return "unsure"
        return "right" if self.classification.best_index == self.sample.label else "wrong"


def iter_pipeline_results(
    detector: Model,
    classifier: Model,
    samples: Sequence[ClassificationSample],
    frame_size: tuple[int, int],
    skipped: list[str],
    progress: ProgressFn = iter,
) -> Iterator[PipelineResult]:
    """Run both models on each readable photograph; names of the others go to `skipped`."""
    for portrait in progress(samples):
        try:
            image = letterbox(read_image(portrait.path), frame_size)[0]
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes = sorted((face.box for face in detect(image, detector)), key=lambda box: box.area, reverse=True)
        answers = [classify(image, box, classifier) for box in boxes]
        largest, first = (boxes[0], answers[0]) if boxes else (None, None)
        yield PipelineResult(portrait, largest, first, tuple(answer.label for answer in answers[1:]))


def compute_pipeline_metrics(results: Sequence[PipelineResult], labels: Sequence[str]) -> dict[str, Any]:
    """How many photographs of each class ended how. Raises DataError when none is of a class that the model knows.

    Photographs of other folders count apart: "reject_label_rate" is the share of them whose largest face gets a label.
    """
    ours = [photo for photo in results if 0 <= photo.sample.label < len(labels)]
    others = [photo for photo in results if not 0 <= photo.sample.label < len(labels)]
    if not ours:
        raise DataError(f"none of {len(results)} photographs is of a class that the model knows")
    classes = {
        label: _count_outcomes([photo for photo in ours if photo.sample.label == n]) for n, label in enumerate(labels)
    }
    return {
        "all": _count_outcomes(ours),
        "classes": classes,
        "others": len(others),
        "reject_label_rate": round(sum(photo.outcome == "wrong" for photo in others) / len(others), 4)
        if others
        else None,
        "more_faces": dict(Counter(label for photo in results for label in photo.other_labels)),
    }


def _count_outcomes(results: Sequence[PipelineResult]) -> dict[str, int]:
    counts = Counter(photo.outcome for photo in results)
    return {"photographs": len(results)} | {outcome: counts[outcome] for outcome in OUTCOMES}


def format_pipeline_scores(scores: dict[str, Any]) -> str:
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
    reported = whole["right"] + whole["wrong"]
    lines.append(
        f"a face was found in {found} ({found / whole['photographs']:.1%}), {reported} got a label"
        + (f", {whole['right'] / reported:.1%} of those the right one" if reported else "")
    )
    if scores["others"]:
        lines.append(f"{scores['others']} photographs of other folders: {scores['reject_label_rate']:.1%} got a label")
    if more := scores["more_faces"]:
        each = ", ".join(f"{count} {label}" for label, count in more.items())
        lines.append(f"{sum(more.values())} smaller faces beside the largest: {each}")
    if scores["skipped"]:
        lines.append(f"{len(scores['skipped'])} pictures could not be read and were skipped")
    return "\n".join(lines)


def write_pipeline_errors(
    results: Sequence[PipelineResult], spec: ModelSpec, frame_size: tuple[int, int], target: Path
) -> None:
    """Write a page with what went wrong, the surest first. Raises DataError when it cannot be written."""
    atomic_write(target, "\n".join(_page(results, spec, frame_size)))


def _page(results: Sequence[PipelineResult], spec: ModelSpec, frame_size: tuple[int, int]) -> Iterator[str]:
    yield page_header("What a user would get from these photographs")
    ours = [
        photo for photo in results if 0 <= photo.sample.label < len(spec.reported_labels) or photo.outcome == "wrong"
    ]
    for outcome, what in (
        ("wrong", "The surest first."),
        ("no face", "Look whether there is one to be found: turned away, hidden, small, cut off."),
        ("unsure", "The nearest to an answer first."),
    ):
        chosen = sorted(
            (p for p in ours if p.outcome == outcome),
            key=lambda p: -(p.classification.score if p.classification else 0),
        )
        yield f"<h2>{outcome}: {len(chosen)}</h2><p>{what}</p>"
        yield '<div class="tiles">'
        yield from (_tile(photo, spec, frame_size) for photo in chosen[:MAX_TILES])
        yield "</div>"


def _tile(result: PipelineResult, spec: ModelSpec, frame_size: tuple[int, int]) -> str:
    path = result.sample.path
    name = escape(f"{path.parent.name}/{path.name}")
    reported = (
        f"{escape(spec.labels[result.classification.best_index])} {result.classification.score:.2f}<br>"
        if result.classification
        else ""
    )
    try:
        image = read_image(path)
    except DataError:
        return f"<figure><div>{img_tag('', name)}</div><figcaption>{reported}{name}</figcaption></figure>"
    tile, scale = shrink(image, TILE_SIZE)
    shown = img_tag(jpeg_base64(tile), name)
    if result.box:
        framed, to_frame = letterbox(image, frame_size)
        box = np.array(result.box, np.float32) * (scale / to_frame)
        shown = img_tag(jpeg_base64(draw_boxes(tile, [(box, BLUE)])), name)
        shown += img_tag(
            jpeg_base64(crop_face(framed, result.box, spec.crop_margin, FACE_TILE_SIZE)), f"the face in {name}"
        )
    return f"<figure><div>{shown}</div><figcaption>{reported}{name}</figcaption></figure>"
