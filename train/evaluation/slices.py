"""Where a detector fails: its figures for parts of the faces, and which faces to collect next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pocketsight.train.evaluation.detector import DetectionResults, match_scores
from pocketsight.train.evaluation.matching import NEAR_MISS_IOU, PATCH_SIZE, Match
from pocketsight.train.evaluation.metrics import MIN_SAMPLES, average_precision, wilson_interval

SIZE_EDGES = 8, 16, 32, 64  # px of the frame
BRIGHTNESS_RANGES = {"dark": "below 64", "dim": "64 to 128", "light": "128 to 192", "bright": "192 and more"}
MAX_SOURCES = 12  # sources in a table; the rest is joined
MAX_RECOMMENDATIONS = 4  # lines of advice
SLICE_NOTES = {
    "size": "longer side in the frame",
    "brightness": "mean grey of the face",
    "blur": f"variance of the Laplacian of the face at {PATCH_SIZE} px",
}
SLICE_PHRASES = {"size": "faces of {}", "source": "pictures like those of {}"}  # how the rows of a table are spoken of


class SliceBy(NamedTuple):
    """One way to part the faces."""

    name: str
    rows: dict[str, str]  # what a row is called, and what that means
    row_of: Callable[[Match], int]  # the row of a face or a false alarm; below 0: not said


def slice_metrics(results: DetectionResults, threshold: float) -> dict[str, list[dict[str, Any]]]:
    """For each way to part the faces a table; those that leave all in one row are left out."""
    tables = {kind.name: _table(kind, results, threshold) for kind in _slicings(results)}
    filled = {name: sum(row["faces"] + row["false_alarms"] > 0 for row in rows) for name, rows in tables.items()}
    return {name: rows for name, rows in tables.items() if filled[name] > 1}


def _slicings(results: DetectionResults) -> list[SliceBy]:
    smallest = results.min_face_size
    edges = [smallest, *(edge for edge in SIZE_EDGES if edge > smallest)]
    sizes = [f"{low:g} to {high:g} px" for low, high in pairwise(edges)]
    longer = dict.fromkeys([*sizes, f"{edges[-1]:g} px and more"], "")
    counts = Counter(dict.fromkeys((seen.source for seen in results.images), 0))  # some have no face, but false alarms
    counts.update(spot.image_result.source for spot in results.faces)
    names = [name for name, _ in counts.most_common(MAX_SOURCES)]
    rest = {f"{len(counts) - MAX_SOURCES} others": "with fewer faces"} if len(counts) > MAX_SOURCES else {}
    low, high = np.quantile([spot.appearance.sharpness for spot in results.faces], [1 / 3, 2 / 3])
    detail = {
        "blurred": f"below {low:.0f}",
        "middling": f"{low:.0f} to {high:.0f}",
        "sharp": f"{high:.0f} and more",
    }
    return [
        SliceBy("size", longer, lambda spot: _bin_index(spot.size, edges[1:])),
        SliceBy(
            "source",
            {name or "unnamed": "" for name in names} | rest,
            lambda spot: names.index(spot.image_result.source) if spot.image_result.source in names else len(names),
        ),
        SliceBy("mask", {"bare": "", "masked": ""}, lambda spot: spot.mask_state),
        SliceBy("brightness", BRIGHTNESS_RANGES, lambda spot: _bin_index(spot.appearance.brightness, (64, 128, 192))),
        SliceBy("blur", detail, lambda spot: _bin_index(spot.appearance.sharpness, (low, high))),
    ]


def _bin_index(value: float, edges: Sequence[float]) -> int:
    """How many edges the value reaches."""
    return int(np.searchsorted(edges, value, side="right"))


def _table(slicing: SliceBy, results: DetectionResults, threshold: float) -> list[dict[str, Any]]:
    """A row for each part.

    What is found and is of another part is ignored there, and so is a false alarm, as with pycocotools' areaRng; one
    that is smaller than the smallest face counts with the small ones. A false alarm wears no mask and is not bare: of
    those each part bears its share, or the largest would look best (normalized precision of Hoiem et al., ECCV 2012).
    """
    faces = [slicing.row_of(spot) for spot in results.faces]
    false_positives = [slicing.row_of(spot) for spot in results.false_positives]
    rows = []
    for number, (name, meaning) in enumerate(slicing.rows.items()):
        ours = [spot for spot, part in zip(results.faces, faces, strict=True) if part == number]
        wrong = [
            spot for spot, part in zip(results.false_positives, false_positives, strict=True) if part in (number, -1)
        ]
        known = sum(part >= 0 for part in faces)
        share = len(ours) / max(known, 1) if slicing.name == "mask" else 1.0
        rows.append({"slice": name, "means": meaning} | _row_metrics(ours, wrong, share, len(results.faces), threshold))
    return rows


def _row_metrics(
    faces: list[Match], false_positives: list[Match], false_positive_weight: float, total: int, threshold: float
) -> dict[str, Any]:
    found, wrong = match_scores(faces), match_scores(false_positives)
    right, false = int((found >= threshold).sum()), false_positive_weight * int((wrong >= threshold).sum())
    low, high = wilson_interval(right, len(faces))
    return {
        "faces": len(faces),
        "share": round(len(faces) / total, 4),
        "few": len(faces) < MIN_SAMPLES,
        "ap50": round(average_precision(found, wrong, false_positive_weight), 4) if faces else None,
        "recall": round(right / len(faces), 4) if faces else None,
        "recall_95": [round(low, 4), round(high, 4)],
        "precision": round(right / (right + false), 4) if right + false else None,
        "missed": len(faces) - right,
        "false_alarms": round(false, 1),
    }


def recommendations(results: DetectionResults, threshold: float, tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What to collect next, most rewarding first: the parts whose recall is surely below that of the other faces.

    What a part would reward is how many more of its faces would be found at the recall of the others. The last line
    may be about boxes: more pictures do not mend those.
    """
    candidates = []
    for kind, rows in tables.items():
        for row in rows:
            others = [other for other in rows if other is not row]
            count = sum(other["faces"] for other in others)
            if row["few"] or not count:
                continue
            rest = 1 - sum(other["missed"] for other in others) / count
            if row["recall_95"][1] < rest:
                candidates.append((row["faces"] * (rest - row["recall"]), _recommendation(kind, row, rest, rows)))
    lines = [wish for _, wish in sorted(candidates, reverse=True)[:MAX_RECOMMENDATIONS]] or [
        "No kind of face stands out: collect more of everything, from places and people that are not in the data yet."
    ]
    false_positives = [spot for spot in results.false_positives if spot.score >= threshold]
    near_misses = sum(spot.iou >= NEAR_MISS_IOU for spot in false_positives)
    if len(false_positives) >= 10 and 2 * near_misses > len(false_positives):
        lines.append(
            f"{near_misses} of the {len(false_positives)} false alarms lie on a labelled face, but overlap it too little: look at "
            "how tightly the boxes are drawn, before you look for more pictures."
        )
    return lines


def _recommendation(kind: str, row: dict[str, Any], recall_elsewhere: float, rows: list[dict[str, Any]]) -> str:
    what = SLICE_PHRASES.get(kind, "{} faces").format(row["slice"]) + (
        f" (mean grey {row['means']})" if kind == "brightness" else ""
    )
    missed = row["missed"] / sum(other["missed"] for other in rows)
    return (
        f"Collect more {what}: they are {row['share']:.0%} of the faces and {missed:.0%} of the missed; "
        f"{row['recall']:.0%} of them are found, {recall_elsewhere:.0%} of the others."
    )


def small_slices(tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The parts with too few faces to say anything about."""
    return [
        f"{SLICE_PHRASES.get(kind, '{} faces').format(row['slice'])} ({row['faces']})"
        for kind, rows in tables.items()
        for row in rows
        if row["few"] and (row["faces"] or kind != "source")
    ]
