"""errors.html of a classifier: wrong labels with the highest scores, and labels of the data that may be wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.error_page import Section, Tile, write_error_page
from pocketsight.train.evaluation.reports import ClassifierScores
from pocketsight.train.html_page import jpeg_base64

MAX_TILES = 12  # tiles of one pair
TILE_SIZE = 120  # px

# (truth, predicted label) -> indexes of the faces, highest score first
ConfusedPairs = dict[tuple[str, str], list[int]]


def confused_pairs(predictions: Sequence[Prediction], outcomes: Outcomes, labels: Sequence[str]) -> ConfusedPairs:
    """The wrong predictions by truth and predicted label. The truth of a reject is the name of its folder."""
    pairs: ConfusedPairs = defaultdict(list)
    for n in np.argsort(-outcomes.scores, kind="stable").tolist():
        if (outcomes.known[n] or outcomes.rejects[n]) and not outcomes.is_correct[n]:
            pairs[_truth_name(predictions[n], outcomes, n, labels), labels[outcomes.predicted[n]]].append(n)
    return dict(pairs)


def _truth_name(prediction: Prediction, outcomes: Outcomes, n: int, labels: Sequence[str]) -> str:
    return labels[outcomes.truths[n]] if outcomes.known[n] else prediction.sample.path.parent.name.lstrip("_")


def likely_mislabeled(predictions: Sequence[Prediction], outcomes: Outcomes) -> list[int]:
    """Indexes of the faces that may be in the wrong folder, highest score first.

    The score of another class must reach the mean score of that class where it is right ("confident learning",
    Northcutt et al. 2021). With votes, most voters must agree with the prediction; without, only the folders of
    reported classes are checked.
    """
    has_votes = any(p.sample.voted_label >= 0 for p in predictions)
    right = np.array([p.sample.label for p in predictions], int) == outcomes.predicted
    mean_scores = {
        int(label): float(outcomes.scores[right & (outcomes.predicted == label)].mean())
        for label in np.unique(outcomes.predicted[right])
    }

    def is_suspect(n: int) -> bool:
        best = int(outcomes.predicted[n])
        if right[n] or outcomes.scores[n] < mean_scores.get(best, 2.0):
            return False
        return bool(predictions[n].sample.voted_label == best if has_votes else outcomes.known[n])

    return [n for n in np.argsort(-outcomes.scores, kind="stable").tolist() if is_suspect(n)]


def recommendation(pairs: ConfusedPairs, outcomes: Outcomes, threshold: float) -> str:
    """What to collect next: the pair with the most wrong labels at the threshold."""
    counts = {pair: _count_labeled(indexes, outcomes, threshold) for pair, indexes in pairs.items()}
    if not any(counts.values()):
        return "No wrong label at this threshold: collect faces of other people, places and lights."
    truth, label = max(counts, key=lambda pair: counts[pair])
    count = counts[truth, label]
    return (
        f"Collect more {truth} faces of the kind shown below: {count} of them are labeled {label}, "
        f"{count / sum(counts.values()):.0%} of all wrong labels."
    )


def _count_labeled(indexes: Sequence[int], outcomes: Outcomes, threshold: float) -> int:
    """How many of the faces reach the threshold."""
    return int((outcomes.scores[list(indexes)] >= threshold).sum())


def write_classifier_errors(
    predictions: Sequence[Prediction], outcomes: Outcomes, scores: ClassifierScores, title: str, target: Path
) -> None:
    """Write the page. Raises DataError when it cannot be written."""
    summary = (
        f"{scores['images']} faces: accuracy {scores['accuracy']:.1%}; {scores['unsure_rate']:.1%} are unsure at "
        f"threshold {scores['threshold']:.2f}."
    )
    if scores["rejects"]:
        summary += f" {scores['rejects']} rejects: {scores['reject_label_rate']:.1%} got a label."
    pairs = confused_pairs(predictions, outcomes, scores["labels"])
    sections = _pair_sections(predictions, outcomes, pairs, scores)
    sections.append(_mislabeled_section(predictions, outcomes, scores["labels"]))
    lines = [recommendation(pairs, outcomes, scores["threshold"])]
    write_error_page(target, title, summary, lines, sections)


def _pair_sections(
    predictions: Sequence[Prediction], outcomes: Outcomes, pairs: ConfusedPairs, scores: ClassifierScores
) -> list[Section]:
    """A section for each confused pair, the most wrong labels first."""
    sections = []
    counted = [(_count_labeled(numbers, outcomes, scores["threshold"]), pair) for pair, numbers in pairs.items()]
    for count, (truth, label) in sorted(counted, key=lambda item: -item[0]):
        numbers = pairs[truth, label]
        title = f"{truth}, labeled {label}: {count}, and {len(numbers) - count} below the threshold"
        tiles = [_tile(predictions[n], outcomes, n, scores["labels"]) for n in numbers[:MAX_TILES]]
        sections.append(Section(title, "", tiles))
    return sections


def _mislabeled_section(predictions: Sequence[Prediction], outcomes: Outcomes, labels: Sequence[str]) -> Section:
    numbers = likely_mislabeled(predictions, outcomes)
    note = "The score of another class is higher than usual"
    voted = any(p.sample.voted_label >= 0 for p in predictions)
    note += ", and most voters agree with it." if voted else "; check these by eye."
    tiles = [_tile(predictions[n], outcomes, n, labels) for n in numbers[: 4 * MAX_TILES]]
    return Section(f"Possibly in the wrong folder: {len(numbers)}", note, tiles)


def _tile(prediction: Prediction, outcomes: Outcomes, n: int, labels: Sequence[str]) -> Tile:
    path, voted = prediction.sample.path, prediction.sample.voted_label
    name = f"{path.parent.name}/{path.name}"
    votes = f", voted {labels[voted]}" if 0 <= voted < len(labels) else ""
    caption = f"{labels[outcomes.predicted[n]]} {outcomes.scores[n]:.2f}{votes}"
    return Tile([(_thumbnail(path), name)], [caption, name])


def _thumbnail(path: Path) -> str:
    try:
        return jpeg_base64(letterbox(read_image(path), (TILE_SIZE, TILE_SIZE))[0])
    except DataError:
        return ""
