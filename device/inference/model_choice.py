"""Which classifier belongs to a detector, and which of its thresholds count. Needs neither numpy nor an interpreter."""

from __future__ import annotations

from pathlib import Path

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest import WHOLE_FRAME, ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import CLASSIFIER, NO_MODEL

FRAME_SPEC = ModelSpec("detector", "", (1, 1), (WHOLE_FRAME,), 0.0, family=WHOLE_FRAME)
"""Of no detector: each frame is one object that fills it."""


def read_detector_spec(path: Path) -> ModelSpec:
    """The manifest of a detector, or FRAME_SPEC for none. Raises ModelError."""
    return FRAME_SPEC if path == NO_MODEL else read_model_file(path)[1]


def require_pair(detector: ModelSpec, classifier: ModelSpec | None, path: Path | None) -> None:
    """Raise ModelError when the classifier of `path` is for whole frames and there is a detector, or the other way."""
    if detector.family != WHOLE_FRAME:
        if classifier and classifier.classifies == (WHOLE_FRAME,):
            raise ModelError(f"{path} classifies whole frames, not what a detector finds; give --detector none")
    elif classifier is None:
        raise ModelError("--detector none classifies whole frames; give a model for that with --classifier FILE")
    elif WHOLE_FRAME not in classifier.classifies:
        raise ModelError(
            f"{path} classifies {' or '.join(classifier.classifies) or 'detections'}, not whole frames; leave "
            "--detector none out"
        )


def find_classifier(path: Path | None, detector: ModelSpec) -> Path | None:
    """The file of the classifier for a detector: `path`, or the shipped one if that is for what the detector finds.

    None where there is none. Raises ModelError when the shipped one cannot be read.
    """
    if path:
        return None if path == NO_MODEL else path
    return CLASSIFIER if set(read_model_file(CLASSIFIER)[1].classifies) & set(detector.labels) else None


def use_preset(spec: ModelSpec, name: str, origin: Path) -> ModelSpec:
    """The manifest of a detector with the thresholds of a preset. Raises ModelError when `origin` has none."""
    if name not in spec.presets:
        raise ModelError(
            f"{origin} has no threshold {name!r}; export the detector again with labeled images: "
            "pocketsight export tflite RUN --calibration-data DATA"
        )
    return spec.with_thresholds(spec.presets[name])
