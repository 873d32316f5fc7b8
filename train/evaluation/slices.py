"""Where a detector fails: metrics of slices of the faces, and which faces to collect next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.train.evaluation.compact import MatchColumns, face_columns
from pocketsight.train.evaluation.detector import DetectionResults, match_scores
from pocketsight.train.evaluation.matching import NEAR_MISS_IOU, PATCH_SIZE
from pocketsight.train.evaluation.metrics import MIN_SAMPLES, FloatArray, average_precision, wilson_interval
from pocketsight.train.evaluation.reports import SliceRow

SIZE_EDGES = 8, 16, 32, 64  # px of the frame
BRIGHTNESS_RANGES = {"dark": "below 64", "dim": "64 to 128", "light": "128 to 192", "bright": "192 and more"}
MAX_SOURCES = 12  # sources in a table; the rest share one row
MAX_RECOMMENDATIONS = 4
SLICE_NOTES = {
    "size": "longer side in the frame",
    "brightness": "mean gray value of the face",
    "blur": f"variance of the Laplacian of the face at {PATCH_SIZE} px",
}
SLICE_PHRASES = {"size": "{noun} of {}", "source": "images like those of {}"}  # a row in a sentence
NO_WEAK_SLICE = "No slice is clearly worse: collect more of all, from places and people that are not in the data yet."

SliceTables = Mapping[str, Sequence[SliceRow]]


class SliceBy(NamedTuple):
    """One way to slice the faces."""

    name: str
    rows: dict[str, str]  # name of a slice -> its description
    rows_of: Callable[[MatchColumns], NDArray[np.int64]]  # of faces or false positives; negative: unknown


def slice_metrics(results: DetectionResults, threshold: float) -> dict[str, list[SliceRow]]:
    """One table for each way to slice the faces. Tables with a single filled row are left out."""
    tables = {slicing.name: _table(slicing, results, threshold) for slicing in _slicings(results)}
    filled = {name: sum(row["faces"] + row["false_positives"] > 0 for row in rows) for name, rows in tables.items()}
    return {name: rows for name, rows in tables.items() if filled[name] > 1}


def _slicings(results: DetectionResults) -> list[SliceBy]:
    return [
        _by_size(results),
        _by_source(results),
        SliceBy("mask", {"bare": "", "masked": ""}, lambda columns: columns.mask_states),
        SliceBy("brightness", BRIGHTNESS_RANGES, lambda columns: _bin_indexes(columns.brightness, (64, 128, 192))),
        _by_sharpness(results),
    ]


def _by_size(results: DetectionResults) -> SliceBy:
    edges = [results.min_face_size, *(edge for edge in SIZE_EDGES if edge > results.min_face_size)]
    names = [f"{low:g} to {high:g} px" for low, high in pairwise(edges)]
    rows = dict.fromkeys([*names, f"{edges[-1]:g} px and more"], "")
    return SliceBy("size", rows, lambda columns: _bin_indexes(columns.sizes, edges[1:]))


def _by_source(results: DetectionResults) -> SliceBy:
    """By the origin of the image; the sources with the fewest faces share a row."""
    # Zero for each source first: an image without faces may still have false positives.
    counts = Counter(dict.fromkeys((image.source for image in results.images), 0))
    counts.update(match.image_result.source for match in results.faces)
    names = [name for name, _ in counts.most_common(MAX_SOURCES)]
    rest = {f"{len(counts) - MAX_SOURCES} others": "with fewer faces"} if len(counts) > MAX_SOURCES else {}

    def rows_of(columns: MatchColumns) -> NDArray[np.int64]:
        row = names.index(columns.source) if columns.source in names else len(names)
        return np.full(len(columns.scores), row)

    return SliceBy("source", {name or "unnamed": "" for name in names} | rest, rows_of)


def _by_sharpness(results: DetectionResults) -> SliceBy:
    """In thirds of the faces."""
    low, high = np.quantile([match.appearance.sharpness for match in results.faces], [1 / 3, 2 / 3])
    rows = {"blurred": f"below {low:.0f}", "middling": f"{low:.0f} to {high:.0f}", "sharp": f"{high:.0f} and more"}
    return SliceBy("blur", rows, lambda columns: _bin_indexes(columns.sharpness, (low, high)))


def _bin_indexes(values: NDArray[np.floating[Any]], edges: Sequence[float]) -> NDArray[np.int64]:
    """The number of edges that each value reaches."""
    return np.asarray(np.searchsorted(edges, values, side="right"), np.int64)


def _table(slicing: SliceBy, results: DetectionResults, threshold: float) -> list[SliceRow]:
    """A row for each slice.

    A face of another slice is ignored, and so is a false positive of another slice, as with pycocotools' areaRng. A
    false positive below the smallest face counts with the smallest ones. A false positive has no mask state: each
    slice gets a share of them in proportion to its faces, or the largest slice would look best (normalized precision
    of Hoiem et al., ECCV 2012).
    """
    face_rows, false_rows = (
        np.concatenate([slicing.rows_of(columns).astype(np.int8) for columns in parts] or [np.empty(0, np.int8)])
        for parts in (map(face_columns, results.faces), results.false_positives.columns())
    )
    true_scores, false_scores = match_scores(results.faces), results.false_positives.scores()
    rows = []
    for number, (name, description) in enumerate(slicing.rows.items()):
        faces = true_scores[face_rows == number]
        wrong = false_scores[(false_rows == number) | (false_rows == -1)]
        known = int((face_rows >= 0).sum())
        weight = len(faces) / max(known, 1) if slicing.name == "mask" else 1.0
        rows.append(_row_metrics((name, description), faces, wrong, weight, len(results.faces), threshold))
    return rows


def _row_metrics(
    name: tuple[str, str],
    true_scores: FloatArray,
    false_scores: FloatArray,
    false_positive_weight: float,
    total: int,
    threshold: float,
) -> SliceRow:
    count = len(true_scores)
    right = int((true_scores >= threshold).sum())
    wrong = false_positive_weight * int((false_scores >= threshold).sum())
    low, high = wilson_interval(right, count)
    return {
        "slice": name[0],
        "description": name[1],
        "faces": count,
        "share": round(count / total, 4),
        "too_small": count < MIN_SAMPLES,
        "ap50": round(average_precision(true_scores, false_scores, false_positive_weight), 4) if count else None,
        "recall": round(right / count, 4) if count else None,
        "recall_95": [round(low, 4), round(high, 4)],
        "precision": round(right / (right + wrong), 4) if right + wrong else None,
        "missed": count - right,
        "false_positives": round(wrong, 1),
    }


def recommendations(results: DetectionResults, threshold: float, tables: SliceTables) -> list[str]:
    """What to collect next: the slices whose recall is significantly below that of the other faces.

    They are ordered by how many more faces would be found at the recall of the others. A last line may be about loose
    boxes, which more images do not fix.
    """
    candidates = []
    for name, rows in tables.items():
        for row in rows:
            others = [other for other in rows if other is not row]
            count = sum(other["faces"] for other in others)
            if row["too_small"] or row["recall"] is None or not count:
                continue
            elsewhere = 1 - sum(other["missed"] for other in others) / count
            if row["recall_95"][1] < elsewhere:
                gain = row["faces"] * (elsewhere - row["recall"])
                candidates.append((gain, _recommendation(name, row, elsewhere, rows, results.noun)))
    lines = [line for _, line in sorted(candidates, reverse=True)[:MAX_RECOMMENDATIONS]] or [NO_WEAK_SLICE]
    false_positives = list(results.false_positives.at_least(threshold))
    near_misses = sum(match.iou >= NEAR_MISS_IOU for match in false_positives)
    if len(false_positives) >= 10 and 2 * near_misses > len(false_positives):
        lines.append(
            f"{near_misses} of the {len(false_positives)} false positives overlap a labeled {results.noun[:-1]}, "
            "but too little: check how tightly the boxes are drawn before you collect more images."
        )
    return lines


def _recommendation(
    name: str, row: SliceRow, recall_elsewhere: float, rows: Sequence[SliceRow], noun: str = "faces"
) -> str:
    phrase = SLICE_PHRASES.get(name, "{} {noun}").format(row["slice"], noun=noun)
    if name == "brightness":
        phrase += f" (mean gray value {row['description']})"
    missed = row["missed"] / sum(other["missed"] for other in rows)
    return (
        f"Collect more {phrase}: {row['share']:.0%} of all {noun} and {missed:.0%} of the missed ones; "
        f"their recall is {row['recall']:.0%}, that of the other {noun} {recall_elsewhere:.0%}."
    )


def small_slices(tables: SliceTables, noun: str = "faces") -> list[str]:
    """Names of the slices with too few faces for a conclusion."""
    return [
        f"{SLICE_PHRASES.get(name, '{} {noun}').format(row['slice'], noun=noun)} ({row['faces']})"
        for name, rows in tables.items()
        for row in rows
        if row["too_small"] and (row["faces"] or name != "source")
    ]
