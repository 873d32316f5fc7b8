"""The manifest of a model: `ModelSpec`, everything the runtime must know about it, and its JSON form.

model_file.py stores it in the model file. Nothing here is an option on the board.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.legacy_manifest import upgrade
from pocketsight.device.inference.shipped import PRESETS

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
TASKS = "detector", "classifier"
FACE_ONLY = ("face",)
# Fields that are left out of a manifest where they have their default value: few models have them.
ADOPTED_FIELDS = "family", "pixel_range", "fit", "padding", "box_unit", "outputs"
OPTIONAL_FIELDS = "thresholds", "presets", "imx500", *ADOPTED_FIELDS
CLASSIFIER_FIELDS = "smoothing", "classifies"
FAMILIES = "ssd", "yolo", "blazeface"
FITS = "", "center", "stretch"
BOX_UNITS = "", "pixels", "fractions"
NOT_PROVED = "not proved against a trained net"
"""The parity of a model that another program made: nothing here knows what its network should answer."""
WHOLE_FRAME = "frame"
"""The label of the whole frame, which a classifier may be for instead of detections."""


@dataclass(frozen=True)
class SmoothingConfig:
    """How the label of a tracked face is smoothed over time, so that it does not flicker."""

    time_constant: float = 0.6
    """Seconds after which the weight of a frame has fallen to 1/e; 0: only the last frame counts."""
    hysteresis: float = 0.12
    """How far a reported label may fall below the threshold, or behind another label, 0..1."""
    min_duration: float = 0.4
    """Seconds for which another label must lead before it is reported."""


@dataclass(frozen=True)
class ModelSpec:
    """The manifest of one model, written by training and completed by export."""

    task: str
    """"detector" or "classifier"."""
    architecture: str
    """Name of the network in train/networks/registry.py."""
    input_size: tuple[int, int]
    """Height and width of the input, in pixels."""
    labels: tuple[str, ...]
    """Detector: the kinds of objects. Classifier: the classes; reject classes, which start with "_", come last."""
    score_threshold: float
    """Lowest score that counts, 0..1; of a detector with `thresholds` the lowest of them."""
    strides: tuple[int, ...] = ()
    """Detector: pixels between the cells of each grid; empty for a network that finds at most one box."""
    nms_iou_threshold: float = 0.0
    """Detector: two boxes with a larger intersection over union are one face, 0..1."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Detector of several labels: the lowest score that counts, 0..1, for each of them."""
    presets: dict[str, dict[str, float]] = field(default_factory=dict)
    """Detector: thresholds of each label by the names in PRESETS, chosen at export."""
    family: str = ""
    """Detector of another program: how its outputs are decoded, one of FAMILIES."""
    pixel_range: tuple[float, float] = (0, 255)
    """The real numbers that the values 0 and 255 of a pixel become in the input."""
    fit: str = ""
    """How an image is fitted into the input. Detector: "" scales it into the top left corner, "center" into the center,
    "stretch" ignores its aspect ratio. Classifier: "" takes the square around the longer side of a box, "center" the
    square inside its shorter side, "stretch" the box."""
    padding: int = 0
    """Detector: value of the pixels around an image, 0..255, with the fit "center"."""
    box_unit: str = ""
    """Detector of the family yolo: the unit of its boxes, "pixels" of the input or "fractions" of its sides."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Of another program: the tensor of each output."""
    classifies: tuple[str, ...] = FACE_ONLY
    """Classifier: the labels of detections that it was trained for; (): unknown."""
    crop_margin: float = 0.0
    """Classifier: how far the crop extends beyond the box on each side, as a fraction of its longer side."""
    temperature: float = 1.0
    """Classifier: divisor of the logits that calibrates the scores (temperature scaling, Guo et al. 2017)."""
    smoothing: SmoothingConfig = SmoothingConfig()
    """Classifier: smoothing of the label over time."""
    precision: str = "float32"
    """Type of the weights and the arithmetic."""
    license: str = ""
    """License of the weights, with the terms of the images that they were trained on."""
    training: dict[str, Any] = field(default_factory=dict)
    """Data, recipe and versions."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """The images that set the int8 ranges."""
    parity: dict[str, Any] = field(default_factory=dict)
    """Differences between the exported and the trained model."""
    edgetpu: dict[str, Any] = field(default_factory=dict)
    """For a file compiled for an Edge TPU: the compiler and the source file; empty for the CPU."""
    imx500: dict[str, Any] = field(default_factory=dict)
    """For a file for the AI Camera: its memory, operators and outputs with their scales; empty for others."""
    sha256: str = ""
    """Checksum of the flatbuffer, or of the packed network of an AI Camera."""
    min_runtime_version: str = ""
    """Oldest version of TFLite that has all its operators."""
    format: int = FORMAT_VERSION
    """Version of the manifest format."""

    @property
    def reported_labels(self) -> tuple[str, ...]:
        """The labels that a face can get. Reject classes, which start with "_", make the result "unsure" instead."""
        return tuple(label for label in self.labels if not label.startswith("_"))

    @property
    def short_sum(self) -> str:
        """The beginning of the checksum, to tell models apart; "unknown" before the export."""
        return self.sha256[:12] or "unknown"

    @property
    def label_thresholds(self) -> tuple[float, ...]:
        """Detector: the lowest score that counts, of each label."""
        return tuple(self.thresholds.get(label, self.score_threshold) for label in self.labels)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self:
        """The same detector with other thresholds, one for each label."""
        by_label = dict(thresholds) if len(self.labels) > 1 else {}
        return replace(self, score_threshold=min(thresholds.values()), thresholds=by_label)

    def to_dict(self) -> dict[str, Any]:
        """The manifest, ready for JSON. That of a detector has no `smoothing` and no `classifies`."""
        manifest = asdict(self)
        absent = [each.name for each in fields(self) if each.name in OPTIONAL_FIELDS and _is_default(each, manifest)]
        absent += CLASSIFIER_FIELDS if self.task == "detector" else ()
        if self.classifies == FACE_ONLY and self.task == "classifier":
            absent.append("classifies")
        for name in absent:
            del manifest[name]
        return manifest

    def to_json(self) -> str:
        """The manifest as indented JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: Path) -> Self:
        """Read a manifest of format 1 or 2. Raises ModelError, naming `origin`, when it is malformed."""
        try:
            manifest = json.loads(text)
            _require_keys(manifest, ("format",))
            if manifest["format"] == 1:
                manifest = upgrade(manifest)
            if manifest["format"] != FORMAT_VERSION:
                raise ModelError(
                    f"{origin} has manifest format {manifest['format']}, this pocketsight reads up to {FORMAT_VERSION}"
                )
            _require_keys(manifest, REQUIRED_FIELDS)
            smoothing = manifest.get("smoothing", {})
            if unknown := _unknown_keys(manifest, smoothing):
                raise ModelError(f"{origin} has unknown keys in its manifest: {', '.join(unknown)}")
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest.items()}
            spec = cls(**values | {"smoothing": SmoothingConfig(**smoothing)})
            _validate(spec)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{origin} has a malformed manifest ({error}); export the model again") from error
        return spec


REQUIRED_FIELDS = [each.name for each in fields(ModelSpec) if each.default is each.default_factory is MISSING]


def _require_keys(manifest: object, names: Sequence[str]) -> None:
    """Raise ValueError where a manifest lacks one of these keys."""
    if not isinstance(manifest, dict):
        raise ValueError("it is not a JSON object")
    if missing := [name for name in names if name not in manifest]:
        raise ValueError(f"it lacks {', '.join(missing)}")


def _unknown_keys(manifest: dict[str, Any], smoothing: object) -> list[str]:
    """Keys that the format does not have. Raises ValueError when `smoothing` is not an object."""
    if not isinstance(smoothing, dict):
        raise ValueError(f"smoothing {smoothing!r} does not name time_constant, hysteresis and min_duration")
    known = {f.name for f in fields(ModelSpec)} - set(CLASSIFIER_FIELDS if manifest["task"] == "detector" else ())
    known_smoothing = {f.name for f in fields(SmoothingConfig)}
    return sorted(set(manifest) - known) + [f"smoothing {name}" for name in sorted(set(smoothing) - known_smoothing)]


def _validate(spec: ModelSpec) -> None:
    """Raise ValueError for a value that no model can have."""
    if spec.task not in TASKS:
        raise ValueError(f"task {spec.task!r} is not one of {', '.join(TASKS)}")
    if len(spec.input_size) != 2 or not all(isinstance(n, int) and 0 < n <= 8192 for n in spec.input_size):
        raise ValueError(f"input_size {spec.input_size} is not (height, width)")
    if not spec.labels or not all(isinstance(label, str) for label in spec.labels):
        raise ValueError("labels are not names")
    if spec.labels[: len(spec.reported_labels)] != spec.reported_labels or not spec.reported_labels:
        raise ValueError("the labels do not begin with the reported ones")
    if not all(isinstance(n, int) and n > 0 for n in spec.strides):
        raise ValueError(f"strides {spec.strides} are not pixels")
    if not isinstance(spec.edgetpu, dict) or not isinstance(spec.edgetpu.get("outputs", {}), dict):
        raise ValueError("edgetpu is not an object with outputs")
    for name in ("score_threshold", "nms_iou_threshold", "crop_margin"):
        number = getattr(spec, name)
        if not isinstance(number, int | float) or not 0 <= number <= 4:
            raise ValueError(f"{name} {number!r} is not a fraction")
    _validate_adopted(spec)
    for thresholds in (spec.thresholds, *spec.presets.values()):
        if thresholds and set(thresholds) != set(spec.labels):
            raise ValueError(f"thresholds of {', '.join(thresholds)} are not those of the labels")
        if not all(_is_number(number, 0, 1) for number in thresholds.values()):
            raise ValueError(f"thresholds {thresholds} are not fractions")
    if unknown := set(spec.presets) - set(PRESETS):
        raise ValueError(f"presets {', '.join(sorted(unknown))} are not of {', '.join(PRESETS)}")
    if not all(isinstance(label, str) for label in spec.classifies):
        raise ValueError("classifies are not names")
    if not _is_number(spec.temperature, 0.01, 100):
        raise ValueError(f"temperature {spec.temperature!r} is not a number from 0.01 to 100")
    for name, highest, unit in (
        ("time_constant", 3600, "seconds"),
        ("hysteresis", 1, "a fraction"),
        ("min_duration", 3600, "seconds"),
    ):
        number = getattr(spec.smoothing, name)
        if not _is_number(number, 0, highest):
            raise ValueError(f"smoothing {name} {number!r} is not {unit}, 0 to {highest}")


def _is_default(each: Field[Any], manifest: Mapping[str, Any]) -> bool:
    return bool(manifest[each.name] == ({} if each.default is MISSING else each.default))


def _validate_adopted(spec: ModelSpec) -> None:
    """Raise ValueError for a value of ADOPTED_FIELDS that no model can have."""
    for name, known in (("family", ("", *FAMILIES)), ("fit", FITS), ("box_unit", BOX_UNITS)):
        if getattr(spec, name) not in known:
            raise ValueError(f"{name} {getattr(spec, name)!r} is not one of {', '.join(filter(None, known))}")
    if spec.family and spec.task != "detector":
        raise ValueError(f"family {spec.family} is for detectors")
    if (spec.family == "yolo") != bool(spec.box_unit):
        raise ValueError('box_unit, "pixels" or "fractions", is for the family yolo, which needs it')
    if not isinstance(spec.padding, int) or not 0 <= spec.padding <= 255:
        raise ValueError(f"padding {spec.padding!r} is not the value of a pixel, 0 to 255")
    ends = spec.pixel_range
    if len(ends) != 2 or not all(_is_number(end, -1e6, 1e6) for end in ends) or ends[0] >= ends[1]:
        raise ValueError(f"pixel_range {ends!r} is not two numbers, of which the second is larger")
    if not isinstance(spec.outputs, dict) or not all(isinstance(tensor, str) for tensor in spec.outputs.values()):
        raise ValueError("outputs are not names of tensors")


def _is_number(value: object, lowest: float, highest: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and lowest <= value <= highest
