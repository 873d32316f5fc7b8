"""failures.html of a classifier: the wrong answers that it is surest of, and labels that may be wrong. One file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.image import fit, read_image
from pocketsight.train.answers import Judged, Named
from pocketsight.train.page import encoded, opening, picture

MOST = 12  # tiles of one pair
TILE = 120  # px

Pairs = dict[tuple[str, str], list[int]]  # numbers of the faces of one kind that got another label, surest first


def pairs(named: Sequence[Named], judged: Judged, labels: Sequence[str]) -> Pairs:
    """The wrong answers by truth and answer. The truth of a face that is none of the classes is its folder's name."""
    found: Pairs = defaultdict(list)
    for n in np.argsort(-judged.scores, kind="stable").tolist():
        if (judged.ours[n] or judged.others[n]) and not judged.right[n]:
            found[_truth(named[n], judged, n, labels), labels[judged.best[n]]].append(n)
    return dict(found)


def _truth(named: Named, judged: Judged, n: int, labels: Sequence[str]) -> str:
    return labels[judged.truths[n]] if judged.ours[n] else named.portrait.path.parent.name.lstrip("_")


def suspects(named: Sequence[Named], judged: Judged) -> list[int]:
    """Numbers of the faces that may lie in the wrong folder, surest first.

    The net must be as sure of another class as it is, on average, where that class is right ("confident learning",
    Northcutt et al. 2021). Where people voted, most of them must agree with the net; where nobody did, only folders
    of the answers are doubted.
    """
    voted = any(n.portrait.voted >= 0 for n in named)
    right = np.array([n.portrait.label for n in named], int) == judged.best
    usual = {int(b): float(judged.scores[right & (judged.best == b)].mean()) for b in np.unique(judged.best[right])}

    def doubted(n: int) -> bool:
        best = int(judged.best[n])
        sure = not right[n] and judged.scores[n] >= usual.get(best, 2.0)
        return bool(sure and (named[n].portrait.voted == best if voted else judged.ours[n]))

    return [n for n in np.argsort(-judged.scores, kind="stable").tolist() if doubted(n)]


def wish(found: Pairs, judged: Judged, threshold: float) -> str:
    """What to collect next: the pair with the most wrong answers that are said aloud."""
    said = {pair: _said(numbers, judged, threshold) for pair, numbers in found.items()}
    if not any(said.values()):
        return "No wrong answer is said at this threshold: collect faces of other people, places and lights."
    truth, answer = max(said, key=lambda pair: said[pair])
    share = said[truth, answer] / sum(said.values())
    return (
        f"Collect more {truth} faces, of the kind shown below: {said[truth, answer]} of them are called {answer}, "
        f"{share:.0%} of all wrong answers that are said."
    )


def _said(numbers: Sequence[int], judged: Judged, threshold: float) -> int:
    """How many of them the threshold lets through."""
    return int((judged.scores[list(numbers)] >= threshold).sum())


def write_mistakes(named: Sequence[Named], judged: Judged, scores: dict[str, Any], title: str, target: Path) -> None:
    """Write the page for what `measure` made of the answers. Raises DataError when it cannot be written."""
    write_whole(target, "\n".join(_page(named, judged, scores, title)))


def _page(named: Sequence[Named], judged: Judged, scores: dict[str, Any], title: str) -> Iterator[str]:
    labels, threshold = scores["labels"], scores["threshold"]
    found, doubts = pairs(named, judged, labels), suspects(named, judged)
    yield opening(title)
    others = (
        f" {scores['others']} of other folders: {scores['others_called']:.1%} got a label." if scores["others"] else ""
    )
    yield (
        f"<p>{scores['images']} faces: {scores['accuracy']:.1%} right; at threshold {threshold:.2f} "
        f"{scores['unsure_rate']:.1%} unsure.{others}</p><p><b>{escape(wish(found, judged, threshold))}</b></p>"
    )
    for (truth, answer), numbers in sorted(found.items(), key=lambda item: -_said(item[1], judged, threshold)):
        said = _said(numbers, judged, threshold)
        yield (
            f"<h2>{escape(truth)}, taken for {escape(answer)}: {said} said, {len(numbers) - said} below the threshold"
            f"</h2>{_tiles(named, judged, numbers[:MOST], labels)}"
        )
    what = "The net is sure of another class than the folder's"
    what += ", and most voters agree with it." if any(n.portrait.voted >= 0 for n in named) else "; people should look."
    yield f"<h2>Perhaps in the wrong folder: {len(doubts)}</h2><p>{what}</p>"
    yield _tiles(named, judged, doubts[: 4 * MOST], labels)


def _tiles(named: Sequence[Named], judged: Judged, numbers: Sequence[int], labels: Sequence[str]) -> str:
    return f'<div class="tiles">{"".join(_tile(named[n], judged, n, labels) for n in numbers)}</div>'


def _tile(face: Named, judged: Judged, n: int, labels: Sequence[str]) -> str:
    path = face.portrait.path
    name = escape(f"{path.parent.name}/{path.name}")
    votes = f", voted {escape(labels[face.portrait.voted])}" if 0 <= face.portrait.voted < len(labels) else ""
    return (
        f"<figure><div>{picture(_portrait(path), name)}</div><figcaption>{escape(labels[judged.best[n]])} "
        f"{judged.scores[n]:.2f}{votes}<br>{name}</figcaption></figure>"
    )


def _portrait(path: Path) -> str:
    try:
        return encoded(fit(read_image(path), (TILE, TILE))[0])
    except DataError:
        return ""
