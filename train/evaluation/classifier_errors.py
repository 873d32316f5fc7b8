"""failures.html of a classifier: the wrong answers that it is surest of, and labels that may be wrong. One file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.html import img_tag, jpeg_base64, page_header

MAX_TILES = 12  # tiles of one pair
TILE_SIZE = 120  # px

ConfusedPairs = dict[
    tuple[str, str], list[int]
]  # numbers of the faces of one kind that got another label, surest first


def confused_pairs(predictions: Sequence[Prediction], outcomes: Outcomes, labels: Sequence[str]) -> ConfusedPairs:
    """The wrong answers by truth and answer. The truth of a face that is none of the classes is its folder's name."""
    found: ConfusedPairs = defaultdict(list)
    for n in np.argsort(-outcomes.scores, kind="stable").tolist():
        if (outcomes.known[n] or outcomes.rejects[n]) and not outcomes.is_correct[n]:
            found[_truth_name(predictions[n], outcomes, n, labels), labels[outcomes.predicted[n]]].append(n)
    return dict(found)


def _truth_name(prediction: Prediction, outcomes: Outcomes, n: int, labels: Sequence[str]) -> str:
    return labels[outcomes.truths[n]] if outcomes.known[n] else prediction.sample.path.parent.name.lstrip("_")


def likely_mislabeled(predictions: Sequence[Prediction], outcomes: Outcomes) -> list[int]:
    """Numbers of the faces that may lie in the wrong folder, surest first.

    The net must be as sure of another class as it is, on average, where that class is right ("confident learning",
    Northcutt et al. 2021). Where people voted, most of them must agree with the net; where nobody did, only folders
    of the answers are doubted.
    """
    voted = any(n.sample.voted_label >= 0 for n in predictions)
    right = np.array([n.sample.label for n in predictions], int) == outcomes.predicted
    usual = {
        int(b): float(outcomes.scores[right & (outcomes.predicted == b)].mean())
        for b in np.unique(outcomes.predicted[right])
    }

    def doubted(n: int) -> bool:
        best = int(outcomes.predicted[n])
        sure = not right[n] and outcomes.scores[n] >= usual.get(best, 2.0)
        return bool(sure and (predictions[n].sample.voted_label == best if voted else outcomes.known[n]))

    return [n for n in np.argsort(-outcomes.scores, kind="stable").tolist() if doubted(n)]


def recommendation(confused: ConfusedPairs, outcomes: Outcomes, threshold: float) -> str:
    """What to collect next: the pair with the most wrong answers that are said aloud."""
    reported = {pair: _count_reported(numbers, outcomes, threshold) for pair, numbers in confused.items()}
    if not any(reported.values()):
        return "No wrong answer is said at this threshold: collect faces of other people, places and lights."
    truth, answer = max(reported, key=lambda pair: reported[pair])
    share = reported[truth, answer] / sum(reported.values())
    return (
        f"Collect more {truth} faces, of the kind shown below: {reported[truth, answer]} of them are called {answer}, "
        f"{share:.0%} of all wrong answers that are said."
    )


def _count_reported(indices: Sequence[int], outcomes: Outcomes, threshold: float) -> int:
    """How many of them the threshold lets through."""
    return int((outcomes.scores[list(indices)] >= threshold).sum())


def write_classifier_errors(
    predictions: Sequence[Prediction], outcomes: Outcomes, scores: dict[str, Any], title: str, target: Path
) -> None:
    """Write the page for what `measure` made of the answers. Raises DataError when it cannot be written."""
    atomic_write(target, "\n".join(_page(predictions, outcomes, scores, title)))


def _page(predictions: Sequence[Prediction], outcomes: Outcomes, scores: dict[str, Any], title: str) -> Iterator[str]:
    labels, threshold = scores["labels"], scores["threshold"]
    found, mislabeled = confused_pairs(predictions, outcomes, labels), likely_mislabeled(predictions, outcomes)
    yield page_header(title)
    others = (
        f" {scores['others']} of other folders: {scores['reject_label_rate']:.1%} got a label."
        if scores["others"]
        else ""
    )
    yield (
        f"<p>{scores['images']} faces: {scores['accuracy']:.1%} right; at threshold {threshold:.2f} "
        f"{scores['unsure_rate']:.1%} unsure.{others}</p><p><b>{escape(recommendation(found, outcomes, threshold))}</b></p>"
    )
    for (truth, answer), numbers in sorted(
        found.items(), key=lambda item: -_count_reported(item[1], outcomes, threshold)
    ):
        reported = _count_reported(numbers, outcomes, threshold)
        yield (
            f"<h2>{escape(truth)}, taken for {escape(answer)}: {reported} said, {len(numbers) - reported} below the threshold"
            f"</h2>{_tiles(predictions, outcomes, numbers[:MAX_TILES], labels)}"
        )
    what = "The net is sure of another class than the folder's"
    what += (
        ", and most voters agree with it."
        if any(n.sample.voted_label >= 0 for n in predictions)
        else "; people should look."
    )
    yield f"<h2>Perhaps in the wrong folder: {len(mislabeled)}</h2><p>{what}</p>"
    yield _tiles(predictions, outcomes, mislabeled[: 4 * MAX_TILES], labels)


def _tiles(predictions: Sequence[Prediction], outcomes: Outcomes, indices: Sequence[int], labels: Sequence[str]) -> str:
    return f'<div class="tiles">{"".join(_tile(predictions[n], outcomes, n, labels) for n in indices)}</div>'


def _tile(prediction: Prediction, outcomes: Outcomes, n: int, labels: Sequence[str]) -> str:
    path = prediction.sample.path
    name = escape(f"{path.parent.name}/{path.name}")
    votes = (
        f", voted {escape(labels[prediction.sample.voted_label])}"
        if 0 <= prediction.sample.voted_label < len(labels)
        else ""
    )
    return (
        f"<figure><div>{img_tag(_thumbnail(path), name)}</div><figcaption>{escape(labels[outcomes.predicted[n]])} "
        f"{outcomes.scores[n]:.2f}{votes}<br>{name}</figcaption></figure>"
    )


def _thumbnail(path: Path) -> str:
    try:
        return jpeg_base64(letterbox(read_image(path), (TILE_SIZE, TILE_SIZE))[0])
    except DataError:
        return ""
