"""How sure a classifier may sound: a temperature for its scores and a threshold, fitted to the file the board runs.

The temperature is that of Guo et al., "On calibration of modern neural networks" (2017): logits divided by one number.
It leaves open which class is the most likely. Fitted before quantization it would be that of another net.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device import sentiment as board
from pocketsight.device.errors import DataError
from pocketsight.device.interpreter import Loaded
from pocketsight.device.spec import ModelSpec
from pocketsight.device.tensor import Tensor
from pocketsight.train.answers import Judged, Named, calibration_error, judge
from pocketsight.train.expressions import Portrait, face_in, readable, shares
from pocketsight.train.pick import UNASKED, parse, pick_sentiment, settle
from pocketsight.train.say import say
from pocketsight.train.score import Numbers, Track
from pocketsight.train.slices import FEW
from pocketsight.train.verdict import scoring

BOUNDS = 0.25, 4.0  # a temperature beyond them says that something else is wrong
TOLERABLE = 0.05  # calibration error


def begin(spec: ModelSpec, asked: str | None, votes: Sequence[Path]) -> ModelSpec:
    """The spec of a run, at temperature 1: another one is of a file that was exported before.

    Raises DataError when what is `asked` is nothing that a classifier can promise, or it is a detector.
    """
    if spec.task == "detector" and (asked or votes):
        raise DataError(
            "--pick and --votes are for a classifier; choose a detector's threshold by: "
            "pocketsight score RUN --data DATA --pick PROMISE"
        )
    if asked:
        parse(asked, "sentiment")
    known = spec.training.get("votes", [])
    if known and not votes:
        say(f"it learned from the votes in {', '.join(known)}: give them by --votes, or its temperature will not fit")
    return replace(spec, temperature=1.0)


def finish(exported: Loaded, unseen: Sequence[Portrait], asked: str | None, votes: Sequence[Path]) -> ModelSpec:
    """The spec of the file with temperature and threshold; says what was done. A detector's stays as it is.

    Raises DataError when no threshold keeps what was asked.
    """
    if exported.spec.task == "detector":
        return exported.spec
    if unseen:
        spec, lines = make_sure(exported, unseen, asked, bool(votes), scoring)
    else:
        few = f"fewer than {FEW} pictures of {' and '.join(exported.spec.answers)} are held out from training"
        if asked:
            raise DataError(f"--pick {asked}: {few}, too few to choose a threshold on. Nothing was written")
        spec, lines = exported.spec, [f"{few}: too few to fit a temperature, so scores and threshold stay as trained"]
    for line in lines:
        say(line)
    return spec


def make_sure(
    exported: Loaded, unseen: Sequence[Portrait], asked: str | None, by_votes: bool, track: Track = iter
) -> tuple[ModelSpec, list[str]]:
    """The spec with a temperature and a threshold, and what was done, for people.

    `exported` is the file as it will be written, its temperature 1; `unseen` is what training held out. `asked` is a
    promise like "others_called<=0.1"; without one see `choose`. `by_votes`: the voters' majority is the truth.
    """
    spec, skipped = exported.spec, list[str]()
    seen, logits = weigh(exported, unseen, skipped, track)
    if not any(portrait.label < len(spec.labels) for portrait in seen):
        raise DataError(f"none of {len(unseen)} pictures that training held out can be read; {skipped[0]}")
    odds = np.array([portrait.odds for portrait in seen], np.float64)[:, : len(spec.labels)]
    known = odds.sum(1) > 0  # a class that the net has not got tells nothing about its scores
    drawn = shares([portrait for portrait, knows in zip(seen, known.tolist(), strict=True) if knows])
    facts = fitted(logits[known], odds[known] / odds[known].sum(1, keepdims=True), len(spec.answers), drawn)
    spec = replace(spec, temperature=facts["temperature"], calibration=spec.calibration | {"certainty": facts})
    named = [
        Named(portrait, board.name(board.softmax(Tensor(row), spec.temperature), spec))
        for portrait, row in zip(seen, logits.astype(np.float32), strict=True)
    ]
    picked = choose(judge(named, len(spec.answers), by_votes), spec, asked)
    spec = replace(spec, threshold=picked["threshold"], training=_promised(spec, picked))
    lines = [*(f"skipped: {line}" for line in skipped), *_text(spec, facts, picked), *_strangers(spec, len(unseen))]
    return spec, lines


def fitted(logits: Numbers, odds: Numbers, answers: int, weights: Numbers | None = None) -> dict[str, Any]:
    """The temperature, and loss and calibration error at 1 and at it, for the manifest.

    `weights` (N,) of the pictures are those of training, since other shares of the classes want other scores.
    """
    temperature = round(fit_temperature(logits, odds, weights), 4)
    return {
        "temperature": temperature,
        "pictures": len(logits),
        "nll": [round(loss(logits, odds, t, weights), 4) for t in (1.0, temperature)],
        "ece": [round(error(logits, odds, t, answers, weights), 4) for t in (1.0, temperature)],
    }


def weigh(
    loaded: Loaded, portraits: Sequence[Portrait], skipped: list[str], track: Track = iter
) -> tuple[list[Portrait], Numbers]:
    """Those that can be read, and their logits (N, classes) less a constant each, by the board's own `weigh`."""
    cold = Loaded(loaded.model, replace(loaded.spec, temperature=1.0))
    seen, rows = [], []
    for portrait, image in readable(track(portraits), skipped):
        rows.append(board.weigh(image, face_in(portrait, image), cold))
        seen.append(portrait)
    found = np.array(rows, np.float64).reshape(len(rows), len(loaded.spec.labels))
    return seen, np.log(np.maximum(found, np.finfo(np.float32).tiny))


def log_softmax(logits: Numbers, temperature: float) -> Numbers:
    """(N, classes): logarithms of the probabilities at a temperature."""
    cool = (logits - logits.max(1, keepdims=True)) / temperature
    return np.asarray(cool - np.log(np.exp(cool).sum(1, keepdims=True)), np.float64)


def loss(logits: Numbers, odds: Numbers, temperature: float, weights: Numbers | None = None) -> float:
    """Mean negative log-likelihood of soft labels `odds` (N, classes) at a temperature."""
    return float(-np.average((odds * log_softmax(logits, temperature)).sum(1), weights=weights))


def error(logits: Numbers, odds: Numbers, temperature: float, answers: int, weights: Numbers | None = None) -> float:
    """Calibration error (ECE) of the most likely answers at a temperature; each is right by its odds."""
    best = logits[:, :answers].argmax(1)[:, np.newaxis]
    scores = np.exp(np.take_along_axis(log_softmax(logits, temperature), best, 1))
    return calibration_error(scores[:, 0], np.take_along_axis(odds, best, 1)[:, 0], weights)


def fit_temperature(logits: Numbers, odds: Numbers, weights: Numbers | None = None) -> float:
    """The temperature at which `loss` is least, within BOUNDS.

    One picture's weight of labels that say nothing is added: where a few pictures are all right, the best score would
    else be 1 without end.
    """
    from scipy.optimize import minimize_scalar

    nothing = np.full_like(odds, 1 / odds.shape[1])
    mixed = (odds * len(odds) + nothing) / (len(odds) + 1)
    low, high = map(log, BOUNDS)
    found = minimize_scalar(
        lambda t: loss(logits, mixed, exp(t), weights), bounds=(low, high), method="bounded", options={"xatol": 1e-5}
    )
    return next((bound for bound in BOUNDS if abs(exp(found.x) - bound) < 1e-3), exp(found.x))


def choose(judged: Judged, spec: ModelSpec, asked: str | None) -> dict[str, Any]:
    """The threshold that keeps what was asked now; or else what the run was picked by, if that can be kept here."""
    if asked:
        return pick_sentiment(parse(asked, "sentiment"), judged, spec.threshold)
    before = spec.training.get("picked", {}).get("asked", UNASKED)
    if before != UNASKED:  # which `settle` keeps too
        with suppress(DataError):
            return pick_sentiment(parse(before, "sentiment"), judged, spec.threshold)
    return settle(judged, spec.threshold)


def _promised(spec: ModelSpec, picked: dict[str, Any]) -> dict[str, Any]:
    """Training facts with the promise, as `pocketsight score --pick` writes them."""
    facts = {name: fact for name, fact in spec.training.items() if name != "picked"}
    if not picked["asked"]:
        return facts
    data = spec.calibration.get("data", [])
    return facts | {"picked": {"asked": picked["asked"], "data": data, "figures": picked["after"]}}


def _text(spec: ModelSpec, facts: dict[str, Any], picked: dict[str, Any]) -> list[str]:
    before, after = facts["ece"]
    answers = " and ".join(spec.answers)
    does = f"keeps {picked['asked']} and" if picked["asked"] else "serves best and"
    lines = [
        f"temperature {spec.temperature:.2f}: calibration error {before:.3f} -> {after:.3f} on {facts['pictures']:,} "
        "pictures held out",
        f"threshold {spec.threshold:g} {does} answers {picked['after']['answered']:.0%} of {answers}",
    ]
    if spec.temperature in BOUNDS:
        way = "low" if spec.temperature == BOUNDS[0] else "high"
        lines.append(f"its scores are still too {way}, but no temperature goes further: are the labels right?")
    if after > max(before, TOLERABLE):
        lines.append("no temperature mends that: these labels are of another kind than those it learned from, or other "
                     "classes are frequent; was it trained with --votes?")  # fmt: skip
    return lines


def _strangers(spec: ModelSpec, count: int) -> list[str]:
    """A warning where the pictures that are held out now are surely not those that training held out."""
    held = spec.training.get("val_pictures", 0)
    if held == count:
        return []
    return [f"training held out {held:,} pictures, and here are {count:,}: if it learned from some of them, the scores "
            "come out too high; calibrate with the data of the training"]  # fmt: skip
