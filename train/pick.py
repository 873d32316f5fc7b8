"""`pocketsight score --pick`: the threshold that keeps a promise, what it costs, and the manifest that remembers it."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.files import write_whole
from pocketsight.device.spec import MANIFEST, ModelSpec, pack, unpack
from pocketsight.train.answers import Judged, best_certainty
from pocketsight.train.answers import tradeoff as answers_tradeoff
from pocketsight.train.match import Spot
from pocketsight.train.score import Looked, Numbers, at_least, scores_of, tradeoff
from pocketsight.train.slices import FEW, wilson

PROMISES = {  # what each task can promise, by example
    "detector": ("precision>=0.99", "recall>=0.9", "false_alarms_per_hour<=1 at 10 fps"),
    "sentiment": ("accuracy_when_sure>=0.97", "answered>=0.85", "others_called<=0.15"),
}
UNASKED = "others_called<=0.1"  # of a classifier that knows faces to be unsure about
FALLING = "recall", "answered"  # with the threshold: of those that keep the promise the highest costs least
FORM = re.compile(r"(?P<what>\w+)\s*(?P<sign>>=|<=)\s*(?P<limit>[\d.]+)(?:\s+at\s+(?P<fps>[\d.]+)\s*fps)?")


@dataclass(frozen=True)
class Promise:
    """A figure, and how it must be."""

    what: str
    sign: str  # ">=" or "<="
    limit: float
    fps: float  # frames a second, for what is counted by the hour; else 0
    text: str

    def best(self, levels: Numbers, values: Numbers) -> float:
        """The threshold that keeps it at the least cost: one of `levels`, rising, at which the figure has `values`.

        Raises DataError when none does.
        """
        kept = values >= self.limit if self.sign == ">=" else values <= self.limit
        (numbers,) = np.nonzero(kept)
        if not len(numbers):
            nearest = values.max() if self.sign == ">=" else values.min()
            raise DataError(
                f"--pick {self.text}: no threshold keeps it on these pictures; the nearest is {nearest:.4g}"
            )
        return between(levels, int(numbers[-1] if self.what in FALLING else numbers[0]))


def parse(text: str, task: str) -> Promise:
    """Read a promise like "precision>=0.99". Raises DataError that says what can be asked."""
    found = FORM.fullmatch(text.strip())
    models = {example.partition("=")[0][:-1]: example for example in PROMISES[task]}
    if not found or found["what"] not in models:
        examples = " or ".join(f'"{example}"' for example in PROMISES[task])
        raise DataError(f"--pick {text!r} is not what a {task} can promise; ask for {examples}")
    example = models[found["what"]]
    hourly = "fps" in example
    if found["sign"] not in example or bool(found["fps"]) != hourly:
        raise DataError(f'--pick {text!r} is not of the form "{example}"')
    try:
        limit, fps = float(found["limit"]), float(found["fps"] or 0)
    except ValueError:
        raise DataError(f'--pick {text!r} has a number that is none; write it like "{example}"') from None
    if not hourly and not 0 <= limit <= 1:
        raise DataError(f"--pick {text!r}: {limit:g} is not a share; 99 % is 0.99")
    if hourly and not fps:
        raise DataError(f"--pick {text!r}: at 0 frames a second nothing can be promised")
    return Promise(found["what"], found["sign"], limit, fps, text.strip())


def between(levels: Numbers, number: int) -> float:
    """The shortest decimal that lets through the score of that number and not the one below."""
    high, low = float(levels[number]), float(levels[number - 1]) if number else 0.0
    cuts = (int(high * 10**digits) / 10**digits for digits in range(2, 8))
    return next((cut for cut in cuts if low < cut <= high), high)


def pick_detector(promise: Promise, looked: Looked, was: float) -> dict[str, Any]:
    """The threshold that keeps the promise, and the figures at it and at the one that was. Raises DataError.

    False alarms are promised by the upper end of their 95 % interval: a few hundred pictures without one say little
    about the 36,000 frames of an hour. They are counted on pictures without faces, where there are FEW or more.
    """
    found, alarms = scores_of(looked.faces), scores_of(looked.alarms)
    counted, pictures = _counted(looked)
    per_hour = promise.fps * 3600 / pictures
    levels = np.unique(np.concatenate([found[found > 0], alarms]))

    def bound(thresholds: Numbers) -> Numbers:
        return most(at_least(scores_of(counted), thresholds)) * per_hour

    def figures(thresholds: Numbers) -> dict[str, Numbers]:
        precision, recall, _ = tradeoff(found, alarms, thresholds)
        hourly = {"false_alarms_per_hour": bound(thresholds)} if promise.fps else {}
        return {"precision": precision, "recall": recall} | hourly

    none = float(most(np.zeros(1))[0])
    if promise.fps and none * per_hour > promise.limit:
        needed = none * promise.fps * 3600 / promise.limit if promise.limit else float("inf")
        raise DataError(
            f"--pick {promise.text}: {pictures} pictures cannot show so small a rate; without a single false alarm in "
            f"them it could still be {none * per_hour:,.0f} an hour (95 %). It takes {needed:,.0f} pictures without "
            "one, best of the place where the camera will be"
        )
    threshold = promise.best(levels, figures(levels)[promise.what])
    at = np.array([threshold])
    right, wrong = int(at_least(found, at)[0]), int(at_least(alarms, at)[0])
    facts = _facts(promise.text, threshold, was, figures)
    facts["precision_95"] = [round(end, 4) for end in wilson(right, right + wrong)]
    if promise.fps:
        facts |= {"alarms": int(at_least(scores_of(counted), at)[0]), "of_pictures": pictures}
    return facts


def pick_sentiment(promise: Promise, judged: Judged, was: float) -> dict[str, Any]:
    """The threshold that keeps the promise, and the figures at it and at the one that was. Raises DataError."""
    if promise.what == "others_called" and not judged.others.any():
        raise DataError(f"--pick {promise.text}: the data has no folder of other faces, such as _neutral")
    levels = np.unique(judged.scores)
    threshold = promise.best(levels, _answers(judged, levels)[promise.what])
    return _facts(promise.text, threshold, was, partial(_answers, judged))


def settle(judged: Judged, was: float) -> dict[str, Any]:
    """The threshold of a classifier that nobody asked to promise anything, and the figures as of `pick_sentiment`.

    It is the one that serves best, raised to where UNASKED is kept if there are other faces; "asked" is "" where not.
    """
    threshold, asked = best_certainty(judged), ""
    if judged.others.any():
        with suppress(DataError):  # of few the surest may be another's face: then none keeps it
            threshold = max(threshold, pick_sentiment(parse(UNASKED, "sentiment"), judged, was)["threshold"])
            asked = UNASKED
    return _facts(asked, threshold, was, partial(_answers, judged))


def _answers(judged: Judged, thresholds: Numbers) -> dict[str, Numbers]:
    """What a classifier can promise, at each threshold."""
    table = answers_tradeoff(judged, thresholds)
    sure = 1 - table["wrong"] / np.maximum(table["answered"], 1e-9)
    others = {"others_called": table["others_called"]} if judged.others.any() else {}
    return {"accuracy_when_sure": np.where(table["answered"] > 0, sure, 0), "answered": table["answered"]} | others


def _facts(asked: str, threshold: float, was: float, figures: Any) -> dict[str, Any]:
    both = {key: [round(float(v), 4) for v in values] for key, values in figures(np.array([was, threshold])).items()}
    return {
        "asked": asked,
        "threshold": threshold,
        "threshold_before": was,
        "before": {key: values[0] for key, values in both.items()},
        "after": {key: values[1] for key, values in both.items()},
    }


def most(counts: Numbers) -> Numbers:
    """How often rare events of such counts may be expected at most (95 %, Garwood 1936); 3 times where none came."""
    from scipy.stats import chi2

    return np.asarray(chi2.ppf(0.95, 2 * counts + 2) / 2, np.float64)


def _counted(looked: Looked) -> tuple[list[Spot], int]:
    """The false alarms that speak for a camera's frames, and of how many pictures they are."""
    empty = sum(not len(seen.boxes) and not len(seen.ignore) for seen in looked.seen)
    if empty < FEW:
        return looked.alarms, len(looked.seen)
    return [spot for spot in looked.alarms if not len(spot.seen.boxes) and not len(spot.seen.ignore)], empty


def text(picked: dict[str, Any]) -> list[str]:
    """What was picked and what it costs, for people."""
    before, after = picked["before"], picked["after"]
    lines = [f"{picked['asked']}: threshold {picked['threshold']:g}, it was {picked['threshold_before']:g}"]
    for key, value in after.items():
        name = key.replace("_", " ")
        wide = f"{value:,.0f} at most, was {before[key]:,.0f}" if value > 1 else f"{value:.3f}, was {before[key]:.3f}"
        cost = before[key] - value
        price = f": {cost:.1%} of the faces are the price" if key in ("recall", "answered") and cost > 0 else ""
        lines.append(f"  {name:22} {wide}{price}")
    if "precision_95" in picked:
        low, high = picked["precision_95"]
        lines.append(f"  on other pictures of this kind precision is {low:.3f} to {high:.3f} (95 %)")
    if "of_pictures" in picked:
        lines.append(
            f"  counted: {picked['alarms']} false alarms in {picked['of_pictures']} pictures; the figure is the upper "
            "end of its 95 % interval.\n  Frames of one camera are not independent, though: one coat on a hook passes "
            "for a face in every frame, or in none"
        )
    return lines


def write(model: Path, picked: dict[str, Any], data: list[str]) -> None:
    """Put the threshold into the manifest of a run folder or a .tflite file. Raises ModelError or DataError."""
    facts = {"asked": picked["asked"], "data": data, "figures": picked["after"]}

    def changed(spec: ModelSpec) -> ModelSpec:
        return replace(spec, threshold=picked["threshold"], training=spec.training | {"picked": facts})

    if model.is_dir():
        manifest = model / MANIFEST
        return write_whole(manifest, changed(ModelSpec.from_json(manifest.read_text(), manifest)).to_json())
    flatbuffer, spec = unpack(model)
    whole = io.BytesIO(pack(flatbuffer, changed(spec)))
    with ZipFile(model) as old, ZipFile(whole, "a") as new:
        for entry in old.infolist():
            if entry.filename != MANIFEST:
                new.writestr(entry, old.read(entry))
    write_whole(model.resolve(), whole.getvalue())
