"""Golden inputs: what a model file computes, written into it at export, to ask every machine for the same.

They stand in the zip behind the flatbuffer, as plain bytes: `golden/0/input` is (H, W, 3) uint8, and `golden/0/NAME`
an output as the model wrote it, without batch axis.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import Model

ZIP_FOLDER = "golden"
INPUT_ENTRY = "input"
FLOAT_STEP = 1e-3  # what counts as one step of an output that is not quantized; machines differ by some 1e-6
MAX_STEPS, MAX_MEAN_STEPS = (
    32,
    4.0,
)  # steps that are forgiven: kernels that round otherwise are 14 and 2 apart (tflite-runtime)
ZIP_ERRORS = BadZipFile, KeyError, ValueError, EOFError, OSError, RuntimeError, zlib.error


class Golden(NamedTuple):
    """One input and what the model made of it where it was exported, as bytes."""

    image: bytes
    outputs: dict[str, bytes]


class GoldenDiff(NamedTuple):
    """How far this machine is from the golden outputs."""

    max_steps: float  # the largest difference, in steps of the output's quantization
    mean_steps: float  # the mean difference of the output that differs most, in steps
    num_different: int  # values that differ at all
    num_values: int
    location: str  # "output score_8 of input 0 at (3, 4, 0)"; "" where nothing differs

    @property
    def failed(self) -> bool:
        return not (self.max_steps <= MAX_STEPS and self.mean_steps <= MAX_MEAN_STEPS)

    @property
    def verdict(self) -> str:
        if not self.num_different:
            return "bit-exact"
        return "FAILED" if self.failed else f"within {self.max_steps:.3g} step{'s' if self.max_steps > 1 else ''}"


def zip_entries(goldens: Sequence[Golden]) -> dict[str, bytes]:
    """What the zip of a model file holds of them, by name."""
    return {
        f"{ZIP_FOLDER}/{number}/{name}": data
        for number, golden in enumerate(goldens)
        for name, data in ({INPUT_ENTRY: golden.image} | golden.outputs).items()
    }


def read(path: Path, max_count: int | None = None) -> list[Golden]:
    """The golden inputs of a model file, `most` at most; none where it has none. Raises ModelError."""
    found: dict[int, dict[str, bytes]] = {}
    try:
        with ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.startswith(f"{ZIP_FOLDER}/"):
                    number, name = entry.removeprefix(f"{ZIP_FOLDER}/").split("/")
                    if max_count is None or int(number) < max_count:
                        found.setdefault(int(number), {})[name] = archive.read(entry)
        return [Golden(parts.pop(INPUT_ENTRY), parts) for _, parts in sorted(found.items())]
    except ZIP_ERRORS as error:
        raise ModelError(f"{path} has damaged golden inputs ({error}); copy or export it again") from error


def replay(model: Model, goldens: Sequence[Golden], origin: Path) -> GoldenDiff:
    """Run the golden inputs and lay the outputs beside the golden ones. Raises ModelError where they do not fit."""
    worst, mean, unequal, values = (0.0, ""), 0.0, 0, 0
    for number, golden in enumerate(goldens):
        image = _array_from_bytes(golden.image, np.zeros((*model.spec.input_size, 3), np.uint8), origin)
        outputs = model.infer(image)
        if outputs.keys() != golden.outputs.keys():
            raise ModelError(f"{origin} has golden outputs of another model; export it again")
        for name, found in outputs.items():
            gap = _difference_in_steps(found.values, _array_from_bytes(golden.outputs[name], found.values, origin))
            unequal += int(np.count_nonzero(gap))
            values += gap.size
            mean = max(mean, float(gap.mean()))
            if gap.max() > worst[0]:
                place = tuple(int(n) for n in np.unravel_index(int(gap.argmax()), gap.shape))
                worst = float(gap.max()), f"output {name} of input {number} at {place}"
    return GoldenDiff(worst[0], mean, unequal, values, worst[1])


def _array_from_bytes(data: bytes, template: NDArray[Any], origin: Path) -> NDArray[Any]:
    if len(data) != template.nbytes:
        raise ModelError(f"{origin} has golden inputs or outputs of another size; export it again")
    return np.frombuffer(data, template.dtype).reshape(template.shape)


def _difference_in_steps(actual: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences in steps. What is not a number is infinitely far away."""
    gap = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    if expected.dtype.kind == "f":
        gap /= FLOAT_STEP * np.maximum(1, np.abs(expected))
    return np.nan_to_num(gap, nan=np.inf)


def check_golden(model: Model, path: Path, on_coral: bool = False) -> None:
    """Replay one golden input, which takes no longer than one picture. Raises ModelError when it comes out wrong.

    `coral` says what to blame: what runs the model is a Coral.
    """
    goldens = read(path, max_count=1)
    if not goldens:
        return
    gap = replay(model, goldens, path)
    if gap.failed:
        here, option = ("on this Coral", " --delegate edgetpu") if on_coral else ("here", "")
        raise ModelError(
            f"{path} computes something else {here} than where it was exported: {gap.max_steps:.3g} steps apart in "
            f"{gap.location}; see: pocketsight verify {path}{option}"
        )


def golden_report(path: Path, model: Model) -> Mapping[str, Any]:
    """The report of `pocketsight verify` on one model."""
    goldens = read(path)
    gap = replay(model, goldens, path)
    verdict = gap.verdict if goldens else "has no golden inputs"
    return {"file": str(path), "inputs": len(goldens), "verdict": verdict, **gap._asdict()}
