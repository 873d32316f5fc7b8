"""The presets of an exported detector: thresholds for `pocketsight run --threshold`, chosen on the file itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketsight.device.inference.shipped import PRESETS
from pocketsight.train.evaluation.detector import DetectionResults, match_scores
from pocketsight.train.evaluation.metrics import FloatArray, precision_recall_at
from pocketsight.train.evaluation.threshold_choice import best_f1_threshold, shortest_threshold

MIN_PRECISION = {"precise": 0.97, "sensitive": 0.80}  # "balanced" has the best F1


def choose_presets(
    results: DetectionResults, thresholds: Mapping[str, float]
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The thresholds of each label by preset, and a line for each that misses its precision on these images.

    A precise threshold is never below the balanced one, a sensitive one never above it. A label without an object in
    the images keeps that of `thresholds`.
    """
    presets: dict[str, dict[str, float]] = {name: {} for name in PRESETS}
    notes = []
    for label, part in (results.by_label or {results.labels[0]: results}).items():
        right, wrong = match_scores(part.faces), part.false_positives.scores()
        if not len(right):
            notes.append(f"the images have no {label}: its threshold is {thresholds[label]:g} in all presets")
            for chosen in presets.values():
                chosen[label] = thresholds[label]
            continue
        balanced = best_f1_threshold(right, wrong)
        presets["balanced"][label] = balanced
        for name, limit in MIN_PRECISION.items():
            threshold, precision = lowest_threshold(right, wrong, limit)
            presets[name][label] = max(threshold, balanced) if name == "precise" else min(threshold, balanced)
            if precision < limit:
                notes.append(f"{name}: the highest precision for {label} is {precision:.3f}, not {limit:g}")
    return presets, notes


def lowest_threshold(true_scores: FloatArray, false_scores: FloatArray, precision: float) -> tuple[float, float]:
    """The lowest threshold from which on the precision is reached, or else that of the highest; and its precision.

    The scores are as in `precision_recall_at`.
    """
    levels = np.unique(np.concatenate([true_scores[true_scores > 0], false_scores]))
    if not len(levels):
        return 0.5, 0.0
    found = precision_recall_at(true_scores, false_scores, levels)[0]
    index = int(np.argmax(found >= precision)) if (found >= precision).any() else int(found.argmax())
    return shortest_threshold(levels, index), float(found[index])
