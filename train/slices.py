"""Where a detector fails: its figures for parts of the faces, and which faces to collect next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pocketsight.train.match import BESIDE, PATCH, Spot
from pocketsight.train.score import Looked, average_precision, scores_of

FEW = 30  # faces; fewer say nothing
EDGES = 8, 16, 32, 64  # px of the frame
LIGHTS = {"dark": "below 64", "dim": "64 to 128", "light": "128 to 192", "bright": "192 and more"}
MOST = 12  # sources in a table; the rest is joined
WISHES = 4  # lines of advice
NOTES = {
    "size": "longer side in the frame",
    "brightness": "mean grey of the face",
    "blur": f"variance of the Laplacian of the face at {PATCH} px",
}
OF = {"size": "faces of {}", "source": "pictures like those of {}"}  # how the rows of a table are spoken of


class Kind(NamedTuple):
    """One way to part the faces."""

    name: str
    parts: dict[str, str]  # what a row is called, and what that means
    part: Callable[[Spot], int]  # the row of a face or a false alarm; below 0: not said


def slices(looked: Looked, threshold: float) -> dict[str, list[dict[str, Any]]]:
    """For each way to part the faces a table; those that leave all in one row are left out."""
    tables = {kind.name: _table(kind, looked, threshold) for kind in _kinds(looked)}
    filled = {name: sum(row["faces"] + row["false_alarms"] > 0 for row in rows) for name, rows in tables.items()}
    return {name: rows for name, rows in tables.items() if filled[name] > 1}


def _kinds(looked: Looked) -> list[Kind]:
    smallest = looked.smallest
    edges = [smallest, *(edge for edge in EDGES if edge > smallest)]
    sizes = [f"{low:g} to {high:g} px" for low, high in pairwise(edges)]
    longer = dict.fromkeys([*sizes, f"{edges[-1]:g} px and more"], "")
    counts = Counter(dict.fromkeys((seen.source for seen in looked.seen), 0))  # some have no face, but false alarms
    counts.update(spot.seen.source for spot in looked.faces)
    names = [name for name, _ in counts.most_common(MOST)]
    rest = {f"{len(counts) - MOST} others": "with fewer faces"} if len(counts) > MOST else {}
    low, high = np.quantile([spot.look.detail for spot in looked.faces], [1 / 3, 2 / 3])
    detail = {
        "blurred": f"below {low:.0f}",
        "middling": f"{low:.0f} to {high:.0f}",
        "sharp": f"{high:.0f} and more",
    }
    return [
        Kind("size", longer, lambda spot: _bin(spot.size, edges[1:])),
        Kind(
            "source",
            {name or "unnamed": "" for name in names} | rest,
            lambda spot: names.index(spot.seen.source) if spot.seen.source in names else len(names),
        ),
        Kind("mask", {"bare": "", "masked": ""}, lambda spot: spot.masked),
        Kind("brightness", LIGHTS, lambda spot: _bin(spot.look.light, (64, 128, 192))),
        Kind("blur", detail, lambda spot: _bin(spot.look.detail, (low, high))),
    ]


def _bin(value: float, edges: Sequence[float]) -> int:
    """How many edges the value reaches."""
    return int(np.searchsorted(edges, value, side="right"))


def _table(kind: Kind, looked: Looked, threshold: float) -> list[dict[str, Any]]:
    """A row for each part.

    What is found and is of another part is ignored there, and so is a false alarm, as with pycocotools' areaRng; one
    that is smaller than the smallest face counts with the small ones. A false alarm wears no mask and is not bare: of
    those each part bears its share, or the largest would look best (normalized precision of Hoiem et al., ECCV 2012).
    """
    faces = [kind.part(spot) for spot in looked.faces]
    alarms = [kind.part(spot) for spot in looked.alarms]
    rows = []
    for number, (name, meaning) in enumerate(kind.parts.items()):
        ours = [spot for spot, part in zip(looked.faces, faces, strict=True) if part == number]
        wrong = [spot for spot, part in zip(looked.alarms, alarms, strict=True) if part in (number, -1)]
        known = sum(part >= 0 for part in faces)
        share = len(ours) / max(known, 1) if kind.name == "mask" else 1.0
        rows.append({"slice": name, "means": meaning} | _figures(ours, wrong, share, len(looked.faces), threshold))
    return rows


def _figures(faces: list[Spot], alarms: list[Spot], share: float, total: int, threshold: float) -> dict[str, Any]:
    found, wrong = scores_of(faces), scores_of(alarms)
    right, false = int((found >= threshold).sum()), share * int((wrong >= threshold).sum())
    low, high = wilson(right, len(faces))
    return {
        "faces": len(faces),
        "share": round(len(faces) / total, 4),
        "few": len(faces) < FEW,
        "ap50": round(average_precision(found, wrong, share), 4) if faces else None,
        "recall": round(right / len(faces), 4) if faces else None,
        "recall_95": [round(low, 4), round(high, 4)],
        "precision": round(right / (right + false), 4) if right + false else None,
        "missed": len(faces) - right,
        "false_alarms": round(false, 1),
    }


def wilson(good: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); all of 0 to 1 where there is nothing to count."""
    if not total:
        return 0.0, 1.0
    z = 1.96
    middle, spread = good + z * z / 2, z * (good * (total - good) / total + z * z / 4) ** 0.5
    return max(0.0, (middle - spread) / (total + z * z)), min(1.0, (middle + spread) / (total + z * z))


def advice(looked: Looked, threshold: float, tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What to collect next, most rewarding first: the parts whose recall is surely below that of the other faces.

    What a part would reward is how many more of its faces would be found at the recall of the others. The last line
    may be about boxes: more pictures do not mend those.
    """
    wishes = []
    for kind, rows in tables.items():
        for row in rows:
            others = [other for other in rows if other is not row]
            count = sum(other["faces"] for other in others)
            if row["few"] or not count:
                continue
            rest = 1 - sum(other["missed"] for other in others) / count
            if row["recall_95"][1] < rest:
                wishes.append((row["faces"] * (rest - row["recall"]), _wish(kind, row, rest, rows)))
    lines = [wish for _, wish in sorted(wishes, reverse=True)[:WISHES]] or [
        "No kind of face stands out: collect more of everything, from places and people that are not in the data yet."
    ]
    alarms = [spot for spot in looked.alarms if spot.score >= threshold]
    beside = sum(spot.overlap >= BESIDE for spot in alarms)
    if len(alarms) >= 10 and 2 * beside > len(alarms):
        lines.append(
            f"{beside} of the {len(alarms)} false alarms lie on a labelled face, but overlap it too little: look at "
            "how tightly the boxes are drawn, before you look for more pictures."
        )
    return lines


def _wish(kind: str, row: dict[str, Any], rest: float, rows: list[dict[str, Any]]) -> str:
    what = OF.get(kind, "{} faces").format(row["slice"]) + (
        f" (mean grey {row['means']})" if kind == "brightness" else ""
    )
    missed = row["missed"] / sum(other["missed"] for other in rows)
    return (
        f"Collect more {what}: they are {row['share']:.0%} of the faces and {missed:.0%} of the missed; "
        f"{row['recall']:.0%} of them are found, {rest:.0%} of the others."
    )


def unknown(tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The parts with too few faces to say anything about."""
    return [
        f"{OF.get(kind, '{} faces').format(row['slice'])} ({row['faces']})"
        for kind, rows in tables.items()
        for row in rows
        if row["few"] and (row["faces"] or kind != "source")
    ]
