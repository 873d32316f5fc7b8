"""Train, export and run in small, on drawn faces, with the commands a user types: a check for train/serve skew.

The trainings begin with the shipped weights, which find only half of the drawn faces and do not know their mouths.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.synthetic.faces import (
    Scene,
    write_classification_dataset,
    write_detection_dataset,
    write_frame_folder,
)
from pocketsight.device.vision.boxes import Box
from tests.support.commands import pocketsight, pocketsight_json

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

DETECTOR = "--weights", "shipped", "--samples", 1280, "--batch-size", 16
CLASSIFIER = "--weights", "shipped", "--samples", 2400, "--batch-size", 32


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    return Box(*a).iou(Box(*b))


@dataclass(frozen=True)
class Way:
    """The files after the whole way."""

    folder: Path
    scenes: list[Scene]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Way:
    folder = tmp_path_factory.mktemp("way")
    for number, (part, count) in enumerate((("train", 300), ("val", 40))):
        write_detection_dataset(folder / "faces" / part, count, seed=number)
        write_classification_dataset(folder / "moods" / part, 2 * count, seed=10 + number)
    scenes = write_frame_folder(folder / "clip", 60, seed=20)
    train = folder / "faces" / "train"
    (train / "images" / "broken.jpg").write_bytes(b"no picture")
    (train / "labels" / "broken.json").write_text((train / "labels" / "0000.json").read_text())
    said = pocketsight("train", "detector", "--data", folder / "faces", "--out", folder / "detector", *DETECTOR)
    assert said.startswith("training on ")
    assert "broken.jpg is not an image" in said and "1 images were skipped" in said
    pocketsight("train", "classifier", "--data", folder / "moods", "--out", folder / "classifier", *CLASSIFIER)
    for task, data in (("detector", "faces"), ("classifier", "moods")):
        said = pocketsight("export", "tflite", folder / task, "--calibration-data", folder / data)
        assert "parity" in said and "next: pocketsight run" in said
    return Way(folder, scenes)


def test_nine_in_ten_faces_are_found_and_their_mouths_read(way: Way) -> None:
    log = way.folder / "log.jsonl"
    models = [
        word for task in ("detector", "classifier") for word in (f"--{task}", way.folder / task / f"{task}.tflite")
    ]
    pocketsight("run", "--camera", way.folder / "clip", "--log", log, *models)
    drawn = found = right = false = 0
    for line, scene in zip(map(json.loads, log.read_text().splitlines()), way.scenes, strict=True):
        left = list(line["faces"])
        for box, mood in zip(scene.boxes, scene.expressions, strict=True):
            drawn += 1
            best = max(left, key=lambda face: overlap(box, face["box"]), default=None)
            if best and overlap(box, best["box"]) >= 0.5:
                left.remove(best)
                found += 1
                right += best["label"] == mood
        false += len(left)
    assert found >= 0.9 * drawn, f"{found} of {drawn} found"
    assert right >= 0.9 * found, f"{right} of {found} named right"
    assert false <= 0.1 * drawn, f"{false} false positives"


@pytest.mark.parametrize(
    ("task", "data", "metric"), [("detector", "faces", "ap50"), ("classifier", "moods", "accuracy")]
)
def test_the_file_scores_like_the_run(way: Way, task: str, data: str, metric: str) -> None:
    run, model = (
        pocketsight_json("evaluate", path, "--data", way.folder / data)[metric]
        for path in (way.folder / task, way.folder / task / f"{task}.tflite")
    )
    assert model > 0.85
    assert abs(run - model) < 0.02


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_a_run_folder_holds_pictures_and_facts(way: Way, task: str) -> None:
    run = way.folder / task
    pictures = {"curves.png", "samples.png"} | {
        "detector": {"detections.png", "precision_recall.png"},
        "classifier": {"predictions.png", "confusion.png"},
    }[task]
    assert pictures <= {path.name for path in run.iterdir()}
    assert {"scores.json", "history.csv", MANIFEST_NAME} <= {path.name for path in run.iterdir()}
    _, spec = read_model_file(run / f"{task}.tflite")
    assert spec.precision == "int8"
    assert spec.calibration["images"] > 100 and len(spec.calibration["sha256"]) == 64
    assert spec.parity["loss"] <= 0.02
    assert spec.training["recipe"]["batch_size"]
    if task == "classifier":
        assert spec.calibration["temperature_scaling"]["images"] == spec.training["val_images"] >= 80
        assert spec.temperature == spec.calibration["temperature_scaling"]["temperature"]


def test_a_training_is_not_overwritten_and_a_finished_one_resumes_to_the_same(way: Way) -> None:
    words = "train", "classifier", "--data", way.folder / "moods", "--out", way.folder / "classifier", *CLASSIFIER
    weights = (way.folder / "classifier" / "model.weights.h5").read_bytes()
    assert "has a training" in pocketsight(*words, status=1)
    pocketsight(*words, "--resume")
    assert (way.folder / "classifier" / "model.weights.h5").read_bytes() == weights
    assert "trained with other settings" in pocketsight(*words, "--resume", "--seed", 5, status=1)


def test_an_export_that_loses_too_much_writes_nothing(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketsight.export import parity

    lost = {"output_difference": {}, "metric": "accuracy", "images": 1000, "trained": 0.9, "exported": 0.8, "loss": 0.1}
    monkeypatch.setattr(parity, "compare_models", lambda *_: lost)
    run, data, target = way.folder / "classifier", way.folder / "moods", tmp_path / "m.tflite"
    said = pocketsight("export", "tflite", run, "--calibration-data", data, "--out", target, status=1)
    assert "Nothing was written" in said
    assert not list(tmp_path.iterdir())
