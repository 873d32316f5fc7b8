"""False positives as images without a face."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.shipped import DETECTOR, EXAMPLE_IMAGE
from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.evaluation.evaluate import open_model
from tests.support.images import coco
from tests.support.scripts import script


def example_faces(folder: Path, *, with_label: bool) -> Path:
    """A COCO file of the example image; its face has a label or not."""
    image = read_image(EXAMPLE_IMAGE)
    entry = {"id": 7, "file_name": "images/b.jpg", "height": image.shape[0], "width": image.shape[1], "group": "g"}
    ((left, top, right, bottom),) = [face.box for face in detect(image, open_model(DETECTOR), score_threshold=0.5)]
    note = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}
    faces = coco(folder, images=[entry], annotations=[note] * with_label)
    shutil.copy(EXAMPLE_IMAGE, folder / "images" / "b.jpg")
    return faces


def run(faces: Path, out: Path, *options: str) -> Result:
    words = [str(DETECTOR), str(faces), str(out), "--threshold", "0.5", *options]
    return CliRunner().invoke(script("training/hard_negatives").main, words)


def test_a_detection_without_a_label_becomes_an_image_of_the_data(tmp_path: Path) -> None:
    """The example has a face. Without its label, the detection counts as a false positive."""
    done = run(example_faces(tmp_path, with_label=False), tmp_path / "out")
    assert done.output.startswith("1 regions in 1 of 1 images"), done.output
    data = json.loads((tmp_path / "out" / "train.json").read_text())
    assert [(image.get("source"), image["group"]) for image in data["images"]] == [(None, "g"), ("hard_negatives", "g")]
    samples = read_detection_dataset(tmp_path / "out" / "train.json").splits["train"]
    assert [len(sample.boxes) for sample in samples] == [0, 0]
    assert samples[1].read().std() > 20 and (tmp_path / "out" / "regions.png").exists()
    assert "is not empty" in str(run(tmp_path / "faces.json", tmp_path / "out").exception)


@pytest.mark.parametrize("options", [(), ("--labeled",)])
def test_a_labeled_face_is_no_region(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(example_faces(tmp_path, with_label=True), tmp_path / "out", *options)
    assert done.output.startswith(f"0 regions in 0 of {len(options)} images"), done.output
    assert len(json.loads((tmp_path / "out" / "train.json").read_text())["images"]) == 1


def test_a_window_shrinks_until_it_is_free_of_labels() -> None:
    free_window = script("training/hard_negatives").free_window
    box, nothing = np.array([100, 100, 120, 120], np.float32), np.empty((0, 4), np.float32)
    assert free_window(box, nothing, (400, 400)) == [30, 50, 190, 170]
    assert free_window(box, nothing, (130, 130)) == [30, 50, 130, 130]
    near = np.array([[150, 100, 160, 110]], np.float32)
    assert free_window(box, near, (400, 400)) == [80, 88, 140, 132]  # three times the detection
    assert free_window(box, np.array([[112, 100, 140, 130]], np.float32), (400, 400)) is None
