"""Score an adopted model on labeled images: a wrong scale or order of labels shows nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model, TfliteModel
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.export.adopt import Adopted
from pocketsight.export.parity import score_model
from pocketsight.export.pixel_scale import PIXEL_RANGES
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.detection import read_samples_for

MAX_SAMPLES = 200
MIN_GAIN = 0.1  # of AP50 or accuracy, by which another scale must be better


def check_on_data(adopted: Adopted, data: Sequence[Path]) -> str:
    """The score in words. Raises DataError when the model is clearly better with another scale of pixels."""
    spec = adopted.model.spec
    samples = _read_samples(spec, data)
    metric = "ap50" if spec.task == "detector" else "accuracy"
    score = score_model(adopted.model, samples)
    if not adopted.is_scale_proved:
        for name, pixel_range in PIXEL_RANGES.items():
            if tuple(spec.pixel_range) != pixel_range:
                other = score_model(_with_range(adopted, spec, pixel_range), samples)
                if other > score + MIN_GAIN:
                    low, high = spec.pixel_range
                    raise DataError(
                        f"with pixels as {low:g}..{high:g} the {metric} on {len(samples)} images is {score:.3f}, with "
                        f"{name} it is {other:.3f}: give --pixels {name}"
                    )
    return f"{metric} {score:.3f} on {len(samples)} images of {', '.join(map(str, data))}"


def _with_range(adopted: Adopted, spec: ModelSpec, pixel_range: tuple[float, float]) -> Model:
    spec = replace(spec, pixel_range=pixel_range)
    return Model(TfliteModel(adopted.contents.flatbuffer, 1, Path(spec.architecture), spec), spec)


def _read_samples(spec: ModelSpec, data: Sequence[Path]) -> list[Any]:
    """Images of all splits, from all parts of the data."""
    samples: list[Any] = []
    if spec.task == "classifier":
        samples = sum(read_classification_dataset(list(data), [], spec.labels).splits.values(), samples)
    else:
        for path in data:
            for split in read_samples_for(path, spec.labels).splits.values():
                samples += split
    return samples[:: -(-len(samples) // MAX_SAMPLES)]
