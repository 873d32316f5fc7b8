"""`pocketsight evaluate pipeline`: detector and classifier on whole photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import UNSURE, Classification, classify
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation.reports import PipelineMetrics

PIPELINE_FRAME_SIZE = 480, 640  # height, width that photographs are letterboxed to: the default of `pocketsight run`
OUTCOMES = "right", "wrong", "unsure", "no face"


@dataclass(frozen=True)
class PipelineResult:
    """One photograph of a person: the label of its largest face, and those of the other faces in it."""

    sample: ClassificationSample
    box: Box | None  # px of the frame; None: no face was detected
    classification: Classification | None
    other_labels: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        if not self.classification:
            return "no face"
        if self.classification.label == UNSURE:
            return "unsure"
        return "right" if self.classification.best_index == self.sample.label else "wrong"


def iter_pipeline_results(
    detector: Model,
    classifier: Model,
    samples: Iterable[ClassificationSample],
    frame_size: tuple[int, int],
    skipped: list[str],
) -> Iterator[PipelineResult]:
    """Run both models on each readable photograph. The errors of unreadable ones are appended to `skipped`."""
    for sample in samples:
        try:
            image = letterbox(read_image(sample.path), frame_size)[0]
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes = sorted((face.box for face in detect(image, detector)), key=lambda box: box.area, reverse=True)
        classifications = [classify(image, box, classifier) for box in boxes]
        largest, first = (boxes[0], classifications[0]) if boxes else (None, None)
        yield PipelineResult(sample, largest, first, tuple(c.label for c in classifications[1:]))


def compute_pipeline_metrics(results: Sequence[PipelineResult], labels: Sequence[str]) -> PipelineMetrics:
    """Count the outcomes of the photographs of each class. Raises DataError when none is of a class of the model.

    Photographs of other folders are rejects: "reject_label_rate" is the share of them whose largest face gets a label.
    """
    known = [result for result in results if is_known(result, labels)]
    rejects = [result for result in results if not is_known(result, labels)]
    if not known:
        raise DataError(f"none of {len(results)} photographs is of a class that the model knows")
    classes = {
        label: _count_outcomes([result for result in known if result.sample.label == n])
        for n, label in enumerate(labels)
    }
    labeled = sum(result.outcome == "wrong" for result in rejects)
    return {
        "all": _count_outcomes(known),
        "classes": classes,
        "rejects": len(rejects),
        "reject_label_rate": round(labeled / len(rejects), 4) if rejects else None,
        "other_faces": dict(Counter(label for result in results for label in result.other_labels)),
    }


def is_known(result: PipelineResult, labels: Sequence[str]) -> bool:
    """Whether the folder of a photograph is one of the labels."""
    return 0 <= result.sample.label < len(labels)


def _count_outcomes(results: Sequence[PipelineResult]) -> dict[str, int]:
    counts = Counter(result.outcome for result in results)
    return {"images": len(results)} | {outcome: counts[outcome] for outcome in OUTCOMES}
