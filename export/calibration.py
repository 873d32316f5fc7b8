"""The representative data set: pixels as the board will see them, and other pictures to prove that nothing was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.image import Image, crop, fit, pictures, read_image
from pocketsight.device.spec import ModelSpec
from pocketsight.train.aligned import as_trained
from pocketsight.train.expressions import Expressions, Portrait, face_in, hold_out, read_expressions
from pocketsight.train.faces import NONE, Example, read_faces
from pocketsight.train.recipe import SENTIMENT
from pocketsight.train.slices import FEW

COUNT = 300  # pictures that set the int8 ranges
HELD_OUT = 300  # pictures for parity


@dataclass(frozen=True)
class Calibration:
    """What one data set gives to an export."""

    samples: list[Image] = field(default_factory=list)  # model inputs; the last two are all black and all white
    facts: dict[str, Any] = field(default_factory=dict)  # for the manifest
    held_out: list[Any] = field(default_factory=list)  # Example or Portrait, none a sample; none where without labels
    skipped: list[str] = field(default_factory=list)  # pictures that cannot be read
    unseen: Sequence[Portrait] = field(
        default_factory=list
    )  # all that a classifier's training held out; none where few


def read_calibration(
    spec: ModelSpec, data: Sequence[Path], votes: Sequence[Path] = (), detector: Path | None = None, count: int = COUNT
) -> Calibration:
    """Draw samples from labelled data, as for training, or for a detector from a plain folder of pictures.

    What training held out proves the export of a classifier, where it is enough; else, and for a detector, what is no
    sample does. `detector` finds the faces in portraits, as for training. The same files give the same samples. Raises
    DataError when nothing can be read.
    """
    items: list[Any]
    items, unseen = _portraits(spec, data, votes) if spec.task == "sentiment" else (_examples(data), [])
    drawn = _shuffled(items)
    count = min(count, max(1, len(drawn) // 2))  # of few, half prove what the other half has set
    chosen, rest = drawn[:count], drawn[count : count + HELD_OUT]
    if spec.task == "sentiment":
        unseen = as_trained(unseen, spec, detector)
        rest = _shuffled(_said(unseen, spec))[:HELD_OUT] if unseen else as_trained(rest, spec, detector)
        chosen = as_trained(chosen, spec, detector)
    samples: list[Image] = []
    used: list[Any] = []
    skipped: list[str] = []
    for item in chosen:
        try:
            samples.append(_input(item, spec))
            used.append(item)
        except DataError as error:
            skipped.append(str(error))
    if not samples:
        raise DataError(f"{', '.join(map(str, data))} holds no picture to calibrate with")
    extremes = [np.full((*spec.size, 3), grey, np.uint8) for grey in (0, 255)]  # so that a pixel is exactly one step
    samples += extremes
    facts = {
        "data": [path.name for path in data],
        "pictures": len(used),
        "sha256": sha256(b"".join(sample.tobytes() for sample in samples)).hexdigest(),
        "balance": dict(sorted(Counter(_kind(item, spec) for item in used).items())),
    }
    labelled = [item for item in rest if isinstance(item, Portrait) or item.labelled]
    return Calibration(samples, facts, labelled, skipped, unseen)


@dataclass(frozen=True)
class Drawn(Example):
    """An example, and whether anybody looked for faces in it."""

    labelled: bool = True


def _examples(data: Sequence[Path]) -> list[Drawn]:
    found: list[Drawn] = []
    for path in data:
        if path.is_dir() and not any((path / part).is_dir() for part in ("images", "train", "val", "test")):
            found += [Drawn(file, NONE, labelled=False) for file in pictures(path)]
        else:
            found += [
                Drawn(e.path, e.boxes, e.ignore, e.group, e.size)
                for part in read_faces(path).parts.values()
                for e in part
            ]
    return found


def _portraits(spec: ModelSpec, data: Sequence[Path], votes: Sequence[Path]) -> tuple[list[Portrait], list[Portrait]]:
    """Answers that the training learned from, and all faces that it held out: none when they are too few."""
    found = read_expressions(list(data), list(votes), spec.answers, silent=spec.labels[len(spec.answers) :])
    if not found.parts.get("train"):  # such as a part for testing alone
        found = Expressions({"train": [p for part in found.parts.values() for p in part]}, found.classes)
    train, val = hold_out(found, spec.training.get("recipe", {}).get("held_out", SENTIMENT.held_out))
    unseen = val if val is not train and len(_said(val, spec)) >= FEW else []
    every = [p for part in found.parts.values() for p in part]
    return _said(train if unseen else every, spec), unseen


def _said(portraits: Sequence[Portrait], spec: ModelSpec) -> list[Portrait]:
    return [p for p in portraits if 0 <= p.label < len(spec.answers)]


def _shuffled(items: list[Any]) -> list[Any]:
    """In a random order, always the same; portraits in turn from each class."""
    items = [items[n] for n in np.random.default_rng(0).permutation(len(items))]
    if not items or not isinstance(items[0], Portrait):
        return items
    classes = sorted({item.label for item in items})
    rank: Counter[int] = Counter()
    places = []
    for item in items:
        places.append((rank[item.label], classes.index(item.label)))
        rank[item.label] += 1
    return [items[n] for n in sorted(range(len(items)), key=places.__getitem__)]


def _input(item: Any, spec: ModelSpec) -> Image:
    if isinstance(item, Portrait):
        image = read_image(item.path)
        return crop(image, face_in(item, image), spec.margin, spec.size)
    return fit(item.read(), spec.size)[0]


def _kind(item: Any, spec: ModelSpec) -> str:
    if isinstance(item, Portrait):
        return spec.labels[item.label]
    if not item.labelled:
        return "not labelled"
    return "with faces" if len(item.boxes) else "without faces"


def feed(samples: Sequence[Image]) -> Iterator[list[NDArray[np.float32]]]:
    """One [(1, H, W, 3) float32, 0..255] for each sample, the form that the TFLite converter asks for."""
    for sample in samples:
        yield [sample[np.newaxis].astype(np.float32)]
