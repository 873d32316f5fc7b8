"""Golden inputs: inputs and outputs recorded at export, so that every machine can verify that it computes the same.

The zip of a model file holds them as raw bytes: `golden/0/input` is (H, W, 3) uint8, and `golden/0/NAME` an output of
the model without batch axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_file import ZIP_ERRORS

ZIP_FOLDER = "golden"
INPUT_ENTRY = "input"

# One "step" of a float output, relative to its size; machines differ by about 1e-6.
FLOAT_STEP = 1e-3

# Accepted differences, in quantization steps. Other TFLite builds round differently: tflite-runtime has 14 and 2.
MAX_STEPS, MAX_MEAN_STEPS = 32, 4.0


class Golden(NamedTuple):
    """One recorded input and the outputs of the model, as bytes."""

    image: bytes
    outputs: dict[str, bytes]


class GoldenDiff(NamedTuple):
    """How far the outputs on this machine are from the golden ones."""

    max_steps: float
    """Largest difference, in quantization steps."""
    mean_steps: float
    """Mean difference of the output that differs most, in steps."""
    num_different: int
    """Number of values that differ."""
    num_values: int
    location: str
    """Where the largest difference is, such as "output score_8 of input 0 at (3, 4, 0)"; "" if nothing differs."""

    @property
    def failed(self) -> bool:
        """Whether the differences are larger than rounding explains; also true for NaN."""
        return not (self.max_steps <= MAX_STEPS and self.mean_steps <= MAX_MEAN_STEPS)

    @property
    def verdict(self) -> str:
        """The result in words, for people."""
        if not self.num_different:
            return "bit-exact"
        return "FAILED" if self.failed else f"within {self.max_steps:.3g} step{'s' if self.max_steps > 1 else ''}"


def zip_entries(goldens: Sequence[Golden]) -> dict[str, bytes]:
    """The entries of the zip in a model file: {name: data}."""
    return {
        f"{ZIP_FOLDER}/{number}/{name}": data
        for number, golden in enumerate(goldens)
        for name, data in ({INPUT_ENTRY: golden.image} | golden.outputs).items()
    }


def read(path: Path, max_count: int | None = None) -> list[Golden]:
    """Read the golden inputs of a model file, at most `max_count`. Raises ModelError when they are damaged."""
    entries: dict[int, dict[str, bytes]] = {}
    try:
        with ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.startswith(f"{ZIP_FOLDER}/"):
                    number, name = entry.removeprefix(f"{ZIP_FOLDER}/").split("/")
                    if max_count is None or int(number) < max_count:
                        entries.setdefault(int(number), {})[name] = archive.read(entry)
        return [Golden(parts.pop(INPUT_ENTRY), parts) for _, parts in sorted(entries.items())]
    except ZIP_ERRORS as error:
        raise ModelError(f"{path} has damaged golden inputs ({error}); copy or export it again") from error


def replay(model: Model, goldens: Sequence[Golden], origin: Path) -> GoldenDiff:
    """Run the golden inputs and compare the outputs. Raises ModelError when they do not fit the model of `origin`."""
    largest, location, mean, num_different, num_values = 0.0, "", 0.0, 0, 0
    for number, golden in enumerate(goldens):
        image = _array_from_bytes(golden.image, np.zeros((*model.spec.input_size, 3), np.uint8), origin)
        outputs = model.infer(image)
        if outputs.keys() != golden.outputs.keys():
            raise ModelError(f"{origin} has golden outputs of another model; export it again")
        for name, output in outputs.items():
            expected = _array_from_bytes(golden.outputs[name], output.values, origin)
            steps = _difference_in_steps(output.values, expected)
            num_different += int(np.count_nonzero(steps))
            num_values += steps.size
            mean = max(mean, float(steps.mean()))
            if steps.max() > largest:
                index = tuple(int(n) for n in np.unravel_index(int(steps.argmax()), steps.shape))
                largest, location = float(steps.max()), f"output {name} of input {number} at {index}"
    return GoldenDiff(largest, mean, num_different, num_values, location)


def _array_from_bytes(data: bytes, template: NDArray[Any], origin: Path) -> NDArray[Any]:
    if len(data) != template.nbytes:
        raise ModelError(f"{origin} has golden inputs or outputs of another size; export it again")
    return np.frombuffer(data, template.dtype).reshape(template.shape)


def _difference_in_steps(actual: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences in quantization steps; NaN counts as infinite."""
    steps = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    if expected.dtype.kind == "f":
        steps /= FLOAT_STEP * np.maximum(1, np.abs(expected))
    return np.nan_to_num(steps, nan=np.inf)


def check_golden(model: Model, path: Path, on_coral: bool = False) -> None:
    """Run one golden input, which takes no longer than one image. Raises ModelError when the output is wrong.

    Does nothing for a file without golden inputs. `on_coral` is for the message: a Coral runs the model.
    """
    goldens = read(path, max_count=1)
    if not goldens:
        return
    diff = replay(model, goldens, path)
    if diff.failed:
        where, option = ("on this Coral", " --delegate edgetpu") if on_coral else ("here", "")
        raise ModelError(
            f"{path} gives other results {where} than at export: {diff.max_steps:.3g} steps apart in "
            f"{diff.location}; see: pocketsight verify {path}{option}"
        )


def golden_report(path: Path, model: Model) -> Mapping[str, Any]:
    """The report of `pocketsight verify` on one model, ready for JSON. Raises ModelError if they are damaged."""
    goldens = read(path)
    diff = replay(model, goldens, path)
    verdict = diff.verdict if goldens else "has no golden inputs"
    return {"file": str(path), "inputs": len(goldens), "verdict": verdict, **diff._asdict()}
