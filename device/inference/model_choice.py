"""Which classifier belongs to a detector, and which of its thresholds count. Needs neither numpy nor an interpreter."""

from __future__ import annotations

from pathlib import Path

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import CLASSIFIER, NO_CLASSIFIER


def find_classifier(path: Path | None, detector: ModelSpec) -> Path | None:
    """The file of the classifier for a detector: `path`, or the shipped one if that is for what the detector finds.

    None where there is none. Raises ModelError when the shipped one cannot be read.
    """
    if path:
        return None if path == NO_CLASSIFIER else path
    return CLASSIFIER if set(read_model_file(CLASSIFIER)[1].classifies) & set(detector.labels) else None


def use_preset(spec: ModelSpec, name: str, origin: Path) -> ModelSpec:
    """The manifest of a detector with the thresholds of a preset. Raises ModelError when `origin` has none."""
    if name not in spec.presets:
        raise ModelError(
            f"{origin} has no threshold {name!r}; export the detector again with labeled images: "
            "pocketsight export tflite RUN --calibration-data DATA"
        )
    return spec.with_thresholds(spec.presets[name])
