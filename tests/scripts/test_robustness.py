"""The table of corruptions, face crops from labeled images, and the agreement of voters."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, read_image
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation.classifier import evaluate_classifier
from tests.support.images import SENTIMENT, coco, save
from tests.support.scripts import script

BOX = Box(20, 30, 60, 70)


def bright(image: Image) -> dict[str, QuantizedTensor]:
    """Happy means bright; the confidence is high beyond 40 gray levels from the middle."""
    return {"logits": QuantizedTensor(np.array([(image.mean() - 128) / 40, 0], np.float32))}


MODEL = Model(bright, replace(SENTIMENT, crop_margin=0.14, temperature=2.0))


def test_boxes_are_shifted_and_scaled_as_asked() -> None:
    robustness, rng = script("benchmarks/robustness"), np.random.default_rng(0)
    moved = [robustness.shift_box(BOX, 0.1, rng) for _ in range(20)]
    assert np.allclose([np.hypot(b.left - BOX.left, b.top - BOX.top) for b in moved], 4)
    assert all(np.isclose(b.right - b.left, 40) for b in moved) and np.ptp([b.left for b in moved]) > 4
    assert np.allclose(robustness.scale_box(BOX, 1.5), (10, 20, 70, 80))


def test_each_corruption_changes_the_crop_and_only_that() -> None:
    robustness, rng = script("benchmarks/robustness"), np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 100, 3)).astype(np.uint8)
    rows = list(robustness.corruptions(MODEL))
    plain = rows[0].crop(image, BOX, rng)
    for row in rows[1:]:
        changed = row.crop(image, BOX, np.random.default_rng(1))
        assert changed.shape == plain.shape == (48, 48, 3) and changed.dtype == np.uint8
        assert (changed != plain).mean() > 0.1, row.name
    names = [f"{row.name} {row.severity}" for row in rows]
    assert len(set(names)) == len(names) > 20


def test_the_first_row_is_what_evaluate_says_and_darkness_shows(tmp_path: Path) -> None:
    samples = []
    for n, (label, gray) in enumerate([(0, 250), (0, 200), (1, 20), (1, 230), (-1, 140)]):
        save(tmp_path / f"{n}" / "a.png", np.full((50, 50, 3), gray, np.uint8))
        samples.append(ClassificationSample(tmp_path / f"{n}" / "a.png", label, (0.5, 0.5)))
    rows = {
        (r["corruption"], r["severity"]): r
        for r in script("benchmarks/robustness").score_corruptions(MODEL, samples, False)
    }
    truth = dict(evaluate_classifier(MODEL, samples))
    assert all(rows["none", ""][key] == truth[key] for key in script("benchmarks/robustness").METRICS)
    assert rows["none", ""]["accuracy"] == 0.75 and rows["low light", "12%, noise 6"]["accuracy"] == 0.5


def test_the_command_prints_a_row_for_each(tmp_path: Path) -> None:
    for label in ("happy", "sad"):
        save(tmp_path / label / "a.png", read_image(EXAMPLE_IMAGE)[40:200, 100:230])
    words = [str(MODELS_DIR / "sentiment.tflite"), "--data", str(tmp_path)]
    done = CliRunner().invoke(script("benchmarks/robustness").main, [*words, "--json"], catch_exceptions=False)
    rows = json.loads(done.output[done.output.index("[") :])
    assert rows[0]["accuracy"] == 0.5 and len(rows) > 20  # the same face in both folders


def test_faces_are_cut_with_room_and_masked_ones_apart(tmp_path: Path) -> None:
    boxes = [[2, 2, 30, 30], [40, 10, 24, 20], [5, 40, 12, 12]]
    notes = [
        {"id": n, "image_id": 7, "category_id": 1, "bbox": box, "iscrowd": 0, "mask": mask}
        for n, (box, mask) in enumerate(zip(boxes, (1, 0, 1), strict=True))
    ]
    faces, crops = coco(tmp_path, annotations=notes), script("training/face_crops")
    done = CliRunner().invoke(crops.main, [str(faces), str(tmp_path / "out")], catch_exceptions=False)
    assert "1 classes/_masked, 1 unlabeled" in done.output  # the third is too small
    (masked,), (other,) = ((tmp_path / "out" / kind).glob("*.jpg") for kind in ("classes/_masked", "unlabeled"))
    assert read_image(masked).shape == (48, 48, 3) and read_image(other).shape == (38, 38, 3)
    again = CliRunner().invoke(crops.main, [str(faces), str(tmp_path / "out")])
    assert "is not empty" in str(again.exception)
    few = CliRunner().invoke(crops.main, [str(faces), str(tmp_path / "few"), "--masked-every", "2"])
    assert few.output.strip() == "1 unlabeled"


def test_voters_choose_among_the_classes_of_the_net(tmp_path: Path) -> None:
    for label, count in (("happy", 3), ("sad", 2)):
        for n in range(count):
            save(tmp_path / label / f"{n}.png", np.zeros((8, 8, 3), np.uint8))
    rows = ("happy/0", 9, 0, 1), ("happy/1", 2, 3, 5), ("happy/2", 3, 3, 4), ("sad/0", 0, 1, 9)
    lines = ["file,happy,sad,neutral", *(",".join([f"{name}.png", *map(str, votes)]) for name, *votes in rows)]
    (tmp_path / "votes.csv").write_text("\n".join(lines))
    words = ["label-agreement", str(tmp_path), str(tmp_path / "votes.csv")]
    done = CliRunner().invoke(script("benchmarks/data_studies").main, words, catch_exceptions=False)
    assert done.output.strip() == "4 images: 50.0% agree with the folder, 25.0% are split"


@pytest.mark.parametrize("words", [["none.tflite", "--data", "none"]])
def test_what_is_missing_is_said(words: list[str]) -> None:
    done = CliRunner().invoke(script("benchmarks/robustness").main, words)
    assert "cannot be read" in str(done.exception)
