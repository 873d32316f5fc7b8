"""ModelSpec: the facts about one model, and the file that carries both.

A `.tflite` of ours is a flatbuffer with a zip behind it, TFLite's own container for associated files: every interpreter
ignores the zip, `zipfile` (or `unzip -p FILE manifest.json`) reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest_format1 import upgrade

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
TASKS = "detector", "classifier"


@dataclass(frozen=True)
class SmoothingConfig:
    """How what is said of a followed face is kept from flapping."""

    time_constant: float = 0.6  # seconds after which a frame still counts by 1/e; 0: only the last one counts
    hysteresis: float = 0.12  # 0..1: how far a label that was said may fall below the threshold, or behind another
    min_duration: float = 0.4  # seconds for which another label must hold before it is said


@dataclass(frozen=True)
class ModelSpec:
    """Facts about one model, written by training and completed by export. Nothing here is an option on the board."""

    task: str  # "detector" or "classifier"
    architecture: str  # the net that training builds again
    input_size: tuple[int, int]  # input height and width, pixels
    labels: tuple[str, ...]  # what is found, or one for each logit; answers first, then those that start with "_"
    score_threshold: float  # lowest score that counts, 0..1
    strides: tuple[int, ...] = ()  # detector: pixels between the cells of each grid; none: it finds one box at most
    nms_iou_threshold: float = 0.0  # detector: intersection over union above which two boxes are one face
    crop_margin: float = 0.0  # classifier: how far the crop reaches beyond the box on each side, in its longer side
    temperature: float = 1.0  # classifier: what logits are divided by, so that scores are as often right as they say
    smoothing: SmoothingConfig = SmoothingConfig()  # classifier: of the label over time
    precision: str = "float32"  # of weights and arithmetic
    license: str = ""  # of the weights, with the terms of the pictures they learned from
    training: dict[str, Any] = field(default_factory=dict)  # data, recipe, versions
    calibration: dict[str, Any] = field(default_factory=dict)  # pictures that set the int8 ranges
    parity: dict[str, Any] = field(default_factory=dict)  # what export lost against the trained model
    edgetpu: dict[str, Any] = field(default_factory=dict)  # for an Edge TPU: by what, from which file; {}: for the CPU
    sha256: str = ""  # of the flatbuffer
    min_runtime_version: str = ""  # the oldest version of TFLite that has its operators
    format: int = FORMAT_VERSION

    @property
    def reported_labels(self) -> tuple[str, ...]:
        """The labels that may be said; a class whose name starts with "_" is known so as to be unsure about it."""
        return tuple(label for label in self.labels if not label.startswith("_"))

    def to_dict(self) -> dict[str, Any]:
        """All that the manifest holds; a detector says nothing that would have to be steady."""
        found = asdict(self)
        if self.task == "detector":
            del found["smoothing"]
        return found

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: Path) -> Self:
        """Read a manifest. Raises ModelError, naming `origin`, when it is not one or of another format."""
        try:
            found = json.loads(text)
            if found["format"] == 1:
                found = upgrade(found)
            if found["format"] != FORMAT_VERSION:
                raise ModelError(
                    f"{origin} has manifest format {found['format']}, this pocketsight reads {FORMAT_VERSION}"
                )
            known = {f.name for f in fields(cls)} - ({"smoothing"} if found["task"] == "detector" else set())
            if strange := sorted(set(found) - known) + _unknown_smoothing_keys(smoothing := found.get("smoothing", {})):
                raise ModelError(f"{origin} has unknown facts in its manifest: {', '.join(strange)}")
            facts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
            spec = cls(**facts | {"smoothing": SmoothingConfig(**smoothing)})
            _validate(spec)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{origin} has a malformed manifest ({error}); export the model again") from error
        return spec


def _unknown_smoothing_keys(smoothing: object) -> list[str]:
    """What of it is not known. Raises ValueError when it has no names at all."""
    if not isinstance(smoothing, dict):
        raise ValueError(f"smoothing {smoothing!r} does not name time_constant, hysteresis and min_duration")
    return [f"smoothing {name}" for name in sorted(set(smoothing) - {f.name for f in fields(SmoothingConfig)})]


def _validate(spec: ModelSpec) -> None:
    """Raise ValueError on a fact that no model can have."""
    if spec.task not in TASKS:
        raise ValueError(f"task {spec.task!r} is none of {', '.join(TASKS)}")
    if len(spec.input_size) != 2 or not all(isinstance(n, int) and 0 < n <= 8192 for n in spec.input_size):
        raise ValueError(f"input_size {spec.input_size} is not (height, width)")
    if not spec.labels or not all(isinstance(label, str) for label in spec.labels):
        raise ValueError("labels are not names")
    if spec.labels[: len(spec.reported_labels)] != spec.reported_labels or not spec.reported_labels:
        raise ValueError("labels do not begin with those that are reported")
    if not all(isinstance(n, int) and n > 0 for n in spec.strides):
        raise ValueError(f"strides {spec.strides} are not pixels")
    if not isinstance(spec.edgetpu, dict) or not isinstance(spec.edgetpu.get("outputs", {}), dict):
        raise ValueError("edgetpu is not an object with outputs")
    for name in ("score_threshold", "nms_iou_threshold", "crop_margin"):
        number = getattr(spec, name)
        if not isinstance(number, int | float) or not 0 <= number <= 4:
            raise ValueError(f"{name} {number!r} is not a share")
    heat = spec.temperature
    if isinstance(heat, bool) or not isinstance(heat, int | float) or not 0.01 <= heat <= 100:
        raise ValueError(f"temperature {heat!r} is not a number from 0.01 to 100")
    for name, most, unit in (
        ("time_constant", 3600, "seconds"),
        ("hysteresis", 1, "a share"),
        ("min_duration", 3600, "seconds"),
    ):
        number = getattr(spec.smoothing, name)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= most:
            raise ValueError(f"smoothing {name} {number!r} is not {unit}, 0 to {most}")
