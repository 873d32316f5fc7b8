"""Give another program's .tflite a manifest and golden inputs, so that it runs as our own models do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference import golden, yolo
from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.foreign import guess_precision
from pocketsight.device.inference.interpreter import LoadedGraph, Model, TfliteModel
from pocketsight.device.inference.manifest import MANIFEST_NAME, NOT_PROVED, WHOLE_FRAME, ModelSpec
from pocketsight.device.inference.model_file import Contents, pack_model_file, read_contents
from pocketsight.device.inference.model_input import input_size
from pocketsight.export.adopt_labels import choose_labels
from pocketsight.export.golden_inputs import draw_inputs, make_golden_inputs
from pocketsight.export.graph import read_graph
from pocketsight.export.label_files import read_facts
from pocketsight.export.pixel_scale import PixelScale, choose_pixel_range
from pocketsight.export.recognize import Kind, recognize
from pocketsight.export.tflite import read_min_runtime_version
from pocketsight.export.tflite_metadata import read_metadata

# The values of a manifest that a family uses with its own software.
FAMILY_FIELDS: dict[str, dict[str, Any]] = {
    "ssd": {"fit": "stretch", "score_threshold": 0.5, "nms_iou_threshold": 1.0},  # the operator did NMS
    "yolo": {"fit": "center", "padding": 114, "score_threshold": 0.25, "nms_iou_threshold": 0.7},
    "blazeface": {"fit": "center", "score_threshold": 0.5, "nms_iou_threshold": 0.3},
}
MAX_GOLDEN_BYTES = 1 << 20  # of the outputs of an input; a larger model gets one golden input


@dataclass(frozen=True)
class AdoptOptions:
    """What the user says about a file; None or empty: what the file shows, or what is usual for the family."""

    task: str
    labels: Path | None = None
    family: str | None = None
    pixels: str | None = None
    output: str | None = None
    """Classifier: "probabilities" or "logits"."""
    classifies: tuple[str, ...] = ()
    fit: str | None = None
    margin: float | None = None
    threshold: float | None = None
    license: str = ""


class Adopted(NamedTuple):
    """A model with its new manifest."""

    model: Model
    contents: Contents
    is_scale_proved: bool
    warnings: list[str]

    def to_bytes(self) -> bytes:
        """The model file: what was in the file, the manifest, and golden inputs made here."""
        model = self.model
        goldens = make_golden_inputs(model.infer, model.spec.input_size)
        if sum(map(len, goldens[0].outputs.values())) > MAX_GOLDEN_BYTES:
            goldens = goldens[:1]
        return pack_model_file(
            self.contents.flatbuffer, model.spec, self.contents.entries | golden.zip_entries(goldens)
        )


def adopt(path: Path, options: AdoptOptions) -> Adopted:
    """Recognize the model in a .tflite and describe it. Nothing is written.

    Raises ModelError when it cannot be adopted, DataError when `options` or its labels do not fit.
    """
    contents = read_contents(path)
    if MANIFEST_NAME in contents.entries:
        raise ModelError(f"{path} has a manifest already; see it with: pocketsight info {path}")
    loaded = LoadedGraph(contents.flatbuffer, 1, path)
    size, detail = _read_input(loaded, path)
    graph, facts = read_graph(contents.flatbuffer), read_facts(contents.entries)
    try:
        kind = recognize(graph, size)
    except ModelError as error:
        raise ModelError(f"{path} cannot be adopted: {error}") from error
    _require_declared(kind, options, facts, path)
    metadata = read_metadata(contents.flatbuffer)
    scale = choose_pixel_range(options.pixels, kind.family, detail, graph, metadata.pixel_range, facts)
    labels, label_source, warnings = choose_labels(kind, options.labels, contents.entries, graph, size)
    spec = ModelSpec(
        task=kind.task,
        architecture=path.stem,
        input_size=size,
        labels=labels,
        score_threshold=0.5,
        pixel_range=scale.pixel_range,
        outputs=kind.outputs,
        precision=guess_precision(loaded),
        license=options.license or metadata.license or str(facts.get("license", "")),
        training={
            "adopted_from": path.name,
            "recognized": kind.reason,
            "pixel_range": scale.reason,
            "labels": label_source,
        },
        parity={"proof": NOT_PROVED},
        sha256=compute_checksum(contents.flatbuffer),
        min_runtime_version=read_min_runtime_version(contents.flatbuffer),
    )
    spec = _add_fields(spec, kind, options, contents.flatbuffer, path)
    ModelSpec.from_json(spec.to_json(), path)  # as a board will read it
    model = Model(TfliteModel(contents.flatbuffer, 1, path, spec), spec)
    return Adopted(model, contents, scale.is_proved, [*warnings, *_scale_warnings(model, scale)])


def _read_input(loaded: LoadedGraph, path: Path) -> tuple[tuple[int, int], dict[str, Any]]:
    """Height and width of the only input, and its description."""
    details = loaded.interpreter.get_input_details()
    shape = tuple(map(int, details[0]["shape"])) if details else ()
    if len(details) != 1 or len(shape) != 4 or shape[0] != 1 or input_size(shape)[2] not in (1, 3):
        shapes = ", ".join(str(tuple(map(int, detail["shape"]))) for detail in details)
        raise ModelError(f"{path} cannot be adopted: its input is {shapes}, not one image of 3 channels or 1")
    signature = [int(n) for n in details[0]["shape_signature"]]
    if min(signature[1:]) < 0:
        raise ModelError(f"{path} cannot be adopted: the size of its input is not fixed; export it with a size")
    height, width, _ = input_size(shape)
    return (height, width), details[0]


def _require_declared(kind: Kind, options: AdoptOptions, facts: Mapping[str, Any], path: Path) -> None:
    """Raise DataError where the user or the file itself says something else than the graph."""
    if kind.task != options.task:
        raise DataError(f"{path} is no {options.task}, {kind.reason}: give --task {kind.task}")
    if options.family and options.family != kind.family:
        actual = f"the family {kind.family}" if kind.family else "a classifier"
        raise DataError(f"{path} is not of the family {options.family}, {kind.reason}: that is {actual}")
    if kind.family == "yolo" and facts.get("task", "detect") != "detect":
        raise DataError(f"{path} is a YOLO for the task {facts['task']}; only those for detect can be adopted")
    (output, *_) = kind.outputs
    if options.output and options.output != output:
        raise DataError(f"{path} does not give {options.output}, {kind.reason}: it gives {output}; leave --output out")


def _add_fields(spec: ModelSpec, kind: Kind, options: AdoptOptions, flatbuffer: bytes, path: Path) -> ModelSpec:
    """The manifest with what its family or the user adds."""
    if kind.task == "classifier":
        on_frame = options.classifies == (WHOLE_FRAME,)
        spec = replace(
            spec,
            classifies=options.classifies or spec.classifies,
            fit=options.fit or ("center" if on_frame else ""),
            crop_margin=0.0 if on_frame else FACE_CROP_MARGIN,
        )
        if options.margin is not None:
            spec = replace(spec, crop_margin=options.margin)
    else:
        spec = replace(spec, family=kind.family, **FAMILY_FIELDS[kind.family])
        if kind.family == "yolo":
            spec = replace(spec, box_unit=_measure_box_unit(replace(spec, box_unit="pixels"), flatbuffer, path))
    return spec if options.threshold is None else replace(spec, score_threshold=options.threshold)


def _measure_box_unit(spec: ModelSpec, flatbuffer: bytes, path: Path) -> str:
    """The unit of the boxes of a YOLO. Its cells are spread over the whole image, whatever that shows."""
    output = TfliteModel(flatbuffer, 1, path, spec)(draw_inputs(spec.input_size)[0])[yolo.OUTPUT]
    values = output.dequantize()
    values = values if len(values) == yolo.BOX_ROWS + len(spec.labels) else values.T
    return "fractions" if float(np.median(values[:2])) < 2 else "pixels"


def _scale_warnings(model: Model, scale: PixelScale) -> list[str]:
    """What the user should know about a pixel range that nothing in the file shows."""
    if scale.is_proved:
        return []
    low, high = scale.pixel_range
    return [
        f"nothing in the file proves that pixels become {low:g}..{high:g} ({scale.reason}); a wrong scale gives wrong "
        "answers without an error: check it with --check DATA, or with pocketsight evaluate"
    ]
