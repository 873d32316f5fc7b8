"""Other programs' models: adopted, they answer as a plain interpreter with decoding by hand. Needs TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference.classifier import predict_probabilities
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.golden import golden_report
from pocketsight.device.inference.interpreter import Model, import_runtime
from pocketsight.device.inference.manifest import NOT_PROVED
from pocketsight.device.inference.model_file import read_contents
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import write_png
from pocketsight.export.adopt import AdoptOptions, adopt
from pocketsight.export.adopt_check import check_on_data
from pocketsight.export.cli import export
from tests.support import foreign

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

LABELS = "go", "stop", "yield"
LABEL_MAP = """item {
  name: "/m/1"
  id: 1
  display_name: "go"
}
item { id: 2 name: 'stop' }
item { id: 3 name: "yield" }
"""
PIXELS = np.random.default_rng(5)


def image(height: int, width: int) -> Any:
    """Large patches, so that the parts of an image differ."""
    small = PIXELS.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    return small.repeat(8, 0).repeat(8, 1)


@cache
def made(name: str, **options: Any) -> bytes:
    return bytes(getattr(foreign, name)(**options))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(f"{number} {label}" for number, label in enumerate(LABELS)))
    return path


def write(folder: Path, data: bytes) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(data)
    return path


def adopted(path: Path, task: str, **options: Any) -> Model:
    """The model as a board loads it, after its golden inputs were replayed."""
    found = adopt(path, AdoptOptions(task, **options))
    out = path.with_name("adopted.tflite")
    out.write_bytes(found.to_bytes())
    model = load_model(out, threads=1, verify=True)
    assert golden_report(out, model)["verdict"] == "bit-exact"
    assert model.spec.parity == {"proof": NOT_PROVED}
    assert read_contents(out).flatbuffer == read_contents(path).flatbuffer
    return model


def suppressed(boxes: Sequence[tuple[Any, ...]], limit: float) -> list[tuple[Any, ...]]:
    """Of (score, label, left, top, right, bottom) those that no better one of the same label overlaps."""
    kept: list[tuple[Any, ...]] = []
    for each in sorted(boxes, key=lambda each: -each[0]):
        if all(each[1] != other[1] or Box(*each[2:]).iou(Box(*other[2:])) <= limit for other in kept):
            kept.append(each)
    return kept


def assert_same(model: Model, picture: Any, expected: Sequence[tuple[Any, ...]], least: int) -> None:
    """The detections are the expected ones, inside the image."""
    height, width = picture.shape[:2]
    found = detect(picture, model)
    assert len(found) == len(expected) >= least
    for one, (score, label, *sides) in zip(found, expected, strict=True):
        assert one.label == label and one.score == pytest.approx(score, abs=1e-5)
        assert one.box == pytest.approx(Box(*sides).clip(width, height), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({}, "rows"),
        ({"transposed": True, "channels_first": True, "unit": 64.0}, "columns"),
        ({"quantized": "int8"}, "rows"),
    ],
)
def test_a_yolo_finds_what_decoding_by_hand_finds(tmp_path: Path, options: dict[str, Any], layout: str) -> None:
    path = write(tmp_path, foreign.add_files(made("yolo", **options), foreign.ultralytics_facts()))
    model = adopted(path, "detector")
    assert model.spec.box_unit == ("pixels" if "unit" in options else "fractions") and model.spec.labels == LABELS
    picture = image(48, 64)
    canvas = np.full((64, 64, 3), 114, np.uint8)
    canvas[8:56] = picture
    values = canvas.astype(np.int16) - 128 if "quantized" in options else canvas / np.float32(255)
    (output,) = foreign.run_plain(path, values.transpose(2, 0, 1) if "channels_first" in options else values)
    boxes = []
    for cell in output if layout == "columns" else output.T:
        x, y, width, height = cell[:4] * (1 if "unit" in options else 64)
        score, label = max(cell[4:]), LABELS[int(np.argmax(cell[4:]))]
        if score >= 0.25:
            boxes.append((score, label, x - width / 2, y - height / 2 - 8, x + width / 2, y + height / 2 - 8))
    kept = [each for each in suppressed(boxes, 0.7) if each[3] < 48 and each[5] > 0]
    assert_same(model, picture, kept, 10)


def test_an_ssd_finds_what_its_operator_finds(tmp_path: Path, labels: Path) -> None:
    path = write(tmp_path, made("ssd"))
    found = adopt(path, AdoptOptions("detector", labels))
    assert "nothing in the file proves" in found.warnings[0]
    model = adopted(path, "detector", labels=labels, threshold=0.4)
    picture = image(32, 32)
    outputs = dict(zip(output_names(path), foreign.run_plain(path, picture / np.float32(127.5) - 1), strict=True))
    sides, classes, scores = (outputs[model.spec.outputs[name]] for name in ("boxes", "classes", "scores"))
    expected = [
        (score, LABELS[int(number)], *(32 * side[[1, 0, 3, 2]]))
        for score, number, side in zip(scores, classes, sides, strict=True)
        if score >= 0.4
    ]
    assert_same(model, picture, [each for each in expected if Box(*each[2:]).clip(32, 32).area > 0], 2)


def output_names(path: Path) -> list[str]:
    interpreter = import_runtime()[0].Interpreter(model_content=path.read_bytes())
    return [detail["name"] for detail in interpreter.get_output_details()]


def test_a_blazeface_finds_what_decoding_by_hand_finds(tmp_path: Path) -> None:
    path = write(tmp_path, made("blazeface"))
    model = adopted(path, "detector")
    assert model.spec.labels == ("face",) and model.spec.pixel_range == (-1, 1)
    picture = image(96, 128)
    canvas = np.zeros((128, 128, 3), np.uint8)
    canvas[16:112] = picture
    outputs = foreign.run_plain(path, canvas / np.float32(127.5) - 1)
    logits, regressors = sorted(outputs, key=lambda each: each.shape[-1])
    centers = [(x + 0.5, y + 0.5, 8) for y in range(16) for x in range(16) for _ in range(2)]
    centers += [(x + 0.5, y + 0.5, 16) for y in range(8) for x in range(8) for _ in range(6)]
    boxes = []
    for (x, y, stride), logit, (dx, dy, width, height, *_) in zip(centers, logits[:, 0], regressors, strict=True):
        if (score := 1 / (1 + np.exp(-logit))) >= 0.5:
            cx, cy = x * stride + dx, y * stride + dy - 16
            boxes.append((score, "face", cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
    kept = [each for each in suppressed(boxes, 0.3) if Box(*each[2:]).clip(128, 96).area > 0]
    assert_same(model, picture, kept, 2)


@pytest.mark.parametrize("ending", ["softmax", "logits"])
@pytest.mark.parametrize("quantized", [None, "uint8"])
def test_a_classifier_of_crops_and_of_frames(tmp_path: Path, labels: Path, ending: str, quantized: str | None) -> None:
    path = write(tmp_path, made("classifier", ending=ending, quantized=quantized))
    pixels = None if quantized else "-1..1"
    picture = image(32, 64)
    square = picture[:, 16:48]  # the square in the center of the frame
    model = adopted(path, "classifier", labels=labels, pixels=pixels, classifies=("frame",))
    found = predict_probabilities(picture, Box(0, 0, 64, 32), model)
    (output,) = foreign.run_plain(path, square if quantized else square / np.float32(127.5) - 1)
    powers = np.exp(output - output.max())
    assert found == pytest.approx(output if ending == "softmax" else powers / powers.sum(), abs=1e-5)
    assert model.spec.labels == LABELS and model.spec.classifies == ("frame",)
    crops = adopted(path, "classifier", labels=labels, pixels=pixels, margin=0.0)
    assert predict_probabilities(picture, Box(16, 0, 48, 32), crops) == pytest.approx(found, abs=1e-5)


WRONG = [
    (
        "classifier",
        {"quantized": "uint8"},
        {"task": "classifier", "pixels": "0..1"},
        "--pixels 0..1 is wrong: its quanti",
    ),
    ("classifier", {"rescaling": True}, {"task": "classifier", "pixels": "-1..1"}, "its first operators make -1..1"),
    ("classifier", {}, {"task": "classifier"}, "nothing in the file shows .* give --pixels"),
    ("classifier", {}, {"task": "detector"}, "is no detector, its last operator is SOFTMAX: give --task classifier"),
    ("classifier", {}, {"task": "classifier", "pixels": "-1..1", "output": "logits"}, "it gives probabilities"),
    ("yolo", {}, {"task": "classifier"}, "is no classifier, its output is .*: give --task detector"),
    ("yolo", {}, {"task": "detector", "family": "ssd"}, "is not of the family ssd, .* that is the family yolo"),
    ("ssd", {}, {"task": "detector", "family": "yolo"}, "it has the operator TFLite_Detection_PostProcess"),
    ("blazeface", {}, {"task": "detector"}, "labels.txt has 3 labels, but the network has 1"),
]


@pytest.mark.parametrize(("name", "making", "declared", "reason"), WRONG)
def test_a_wrong_declaration_is_refused_with_its_reason(
    tmp_path: Path, labels: Path, name: str, making: dict[str, Any], declared: dict[str, Any], reason: str
) -> None:
    with pytest.raises((DataError, ModelError), match=reason):
        adopt(write(tmp_path, made(name, **making)), AdoptOptions(labels=labels, **declared))


@pytest.mark.parametrize(("name", "task"), [("classifier", "classifier"), ("yolo", "detector"), ("ssd", "detector")])
@pytest.mark.parametrize("text", ["go\nstop\n", "go\nstop\nyield\nslow\n", "1 go\n2 stop\n3 yield"])
def test_a_wrong_number_of_labels_is_refused(tmp_path: Path, name: str, task: str, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(DataError, match=r"labels.txt has \d labels, but the network has 3"):
        adopt(write(tmp_path, made(name)), AdoptOptions(task, tmp_path / "labels.txt", pixels="0..1"))


def test_what_ultralytics_wrote_behind_the_file_counts(tmp_path: Path, labels: Path) -> None:
    data = made("yolo")
    facts = foreign.ultralytics_facts(task="pose")
    with pytest.raises(DataError, match="a YOLO for the task pose"):
        adopt(write(tmp_path, foreign.add_files(data, facts)), AdoptOptions("detector"))
    facts = foreign.ultralytics_facts()
    path = write(tmp_path, foreign.add_files(data, facts))
    with pytest.raises(DataError, match=r"--pixels -1..1 is wrong: its metadata is that of Ultralytics"):
        adopt(path, AdoptOptions("detector", pixels="-1..1"))
    found = adopt(path, AdoptOptions("detector"))
    assert not found.warnings and found.model.spec.license == "AGPL-3.0"
    out = write(tmp_path, found.to_bytes())
    assert read_contents(out).entries["metadata.json"] == facts["metadata.json"]  # kept next to the manifest
    with pytest.raises(ModelError, match="has a manifest already"):
        adopt(out, AdoptOptions("detector"))
    labels.write_text("stop\ngo\nyield\n")
    turned = adopt(write(tmp_path, foreign.add_files(data, facts)), AdoptOptions("detector", labels))
    assert "the order of labels.txt is not that of" in turned.warnings[0]
    bare = adopt(write(tmp_path, data), AdoptOptions("detector", labels, pixels="-1..1"))
    assert "which is not usual for yolo: 0..1" in bare.warnings[0]


def test_the_command_writes_a_file_that_info_and_run_take(tmp_path: Path, labels: Path) -> None:
    from pocketsight.device.cli.main import main as pocketsight

    path = write(tmp_path, made("classifier"))
    done = CliRunner().invoke(
        export,
        [
            "adopt",
            str(path),
            "--task",
            "classifier",
            "--labels",
            str(labels),
            "--pixels",
            "-1..1",
            "--classifies",
            "frame",
        ],
    )
    assert not done.exit_code, done.output
    out = tmp_path / "net_adopted.tflite"
    assert NOT_PROVED in CliRunner().invoke(pocketsight, ["info", str(out)]).output
    log = tmp_path / "log.jsonl"
    source = ["--camera", str(write_frame(tmp_path)), "--log", str(log)]
    done = CliRunner().invoke(pocketsight, ["run", "--detector", "none", "--classifier", str(out), *source])
    assert not done.exit_code, done.output
    (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    (found,) = entry["faces"]
    assert found["object"] == "frame" and found["box"] == [0, 0, 64, 32] and found["label"] in (*LABELS, "unsure")
    refused = CliRunner().invoke(pocketsight, ["run", "--classifier", str(out), *source])
    assert refused.exit_code and "classifies whole frames" in refused.output


def write_frame(folder: Path) -> Path:
    write_png(folder / "frame.png", image(32, 64))
    return folder / "frame.png"


def test_labels_of_each_kind_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, made("ssd"))
    texts = {
        "???\ngo\nstop\nyield\n": LABELS,
        "0  go\n2  yield\n": ("go", "unnamed 1", "yield"),
        LABEL_MAP: LABELS,
    }
    for text, expected in texts.items():
        (tmp_path / "map.txt").write_text(text)
        assert adopt(path, AdoptOptions("detector", tmp_path / "map.txt")).model.spec.labels == expected
    inside = foreign.add_files(made("ssd"), {"labelmap.txt": b"go\nstop\nyield\n"})
    assert adopt(write(tmp_path, inside), AdoptOptions("detector")).model.spec.labels == LABELS
    (tmp_path / "map.txt").write_text("go\n_stop\nyield")
    with pytest.raises(DataError, match=r"_stop .* begins with _"):
        adopt(path, AdoptOptions("detector", tmp_path / "map.txt"))


def test_a_manifest_that_does_not_fit_is_refused_at_load(tmp_path: Path, labels: Path) -> None:
    from pocketsight.device.inference.model_file import pack_model_file

    found = adopt(write(tmp_path, made("yolo")), AdoptOptions("detector", labels))
    spec, flatbuffer = found.model.spec, found.contents.flatbuffer
    wrong = {
        "its input is 64x64": replace(spec, input_size=(32, 64)),
        "it must be": replace(spec, labels=LABELS[:2]),
        "it has no output score_8": replace(spec, family="", box_unit="", strides=(8,)),
    }
    for reason, each in wrong.items():
        path = tmp_path / "wrong.tflite"
        path.write_bytes(pack_model_file(flatbuffer, each))
        with pytest.raises(ModelError, match=f"does not fit its manifest: .*{reason}"):
            load_model(path, threads=1)


def test_labeled_images_show_a_wrong_scale(tmp_path: Path, labels: Path) -> None:
    """The folders are what the network answers with pixels of -1 to 1."""
    path = write(tmp_path, made("classifier"))
    declared: dict[str, Any] = {"labels": labels, "classifies": ("frame",)}
    right = adopt(path, AdoptOptions("classifier", pixels="-1..1", **declared))
    for number in range(60):
        picture = image(32, 32)
        best = int(predict_probabilities(picture, Box(0, 0, 32, 32), right.model).argmax())
        folder = tmp_path / "data" / LABELS[best]
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"{number}.png", picture)
    assert check_on_data(right, [tmp_path / "data"]).startswith("accuracy 1.000 on 60 images")
    wrong = adopt(path, AdoptOptions("classifier", pixels="0..255", **declared))
    with pytest.raises(DataError, match=r"with -1..1 it is 1.000: give --pixels -1..1"):
        check_on_data(wrong, [tmp_path / "data"])
