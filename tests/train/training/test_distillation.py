"""A small network learns from a larger one: its probabilities become targets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.classifier import crop71k
from pocketsight.train.recipe import RECIPES
from pocketsight.train.training.distillation import distillation_targets
from tests.support.commands import pocketsight
from tests.support.images import save

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own


def test_targets_are_mixed_with_the_teachers_odds() -> None:
    teacher = crop71k((32, 32), 3)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    odds = keras.ops.convert_to_numpy(keras.ops.softmax(teacher(pixels, training=False)["logits"]))
    targets = np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]], np.float32)
    mixed = distillation_targets(teacher, replace(RECIPES["classifier"]["crop71k"], distill_weight=0.75))(
        targets, pixels
    )
    mixed = keras.ops.convert_to_numpy(mixed)
    assert np.allclose(mixed[:2], 0.25 * targets[:2] + 0.75 * odds[:2], atol=1e-5)
    assert np.allclose(mixed[2], odds[2], atol=1e-5)  # nobody knows: the teacher alone speaks


def test_a_net_learns_from_a_teacher_and_from_faces_without_a_class(tmp_path: Path) -> None:
    for name, grey in (("dark", 40), ("light", 210)):
        for n in range(12):
            save(tmp_path / "data" / name / f"{n}.png", np.full((40, 40, 3), grey + n, np.uint8))
    for n in range(8):
        save(tmp_path / "more" / f"{n}.png", np.full((40, 40, 3), 20 + 30 * n, np.uint8))
    data, teacher, student = tmp_path / "data", tmp_path / "teacher", tmp_path / "student"
    short = "train", "classifier", "--data", data, "--samples", 320, "--batch-size", 16, "--workers", 1
    said = pocketsight(*short, "--out", teacher)
    assert "faces were found in 0 of 24 images only" in said
    said = pocketsight(*short, "--teacher", teacher, "--unlabeled", tmp_path / "more", "--out", student)
    assert "validation: accuracy" in said
    manifest = (student / "manifest.json").read_text()
    assert '"teacher": "teacher"' in manifest and '"more"' in manifest and '"align_faces": false' in manifest
    said = pocketsight(*short, "--unlabeled", tmp_path / "more", status=2)
    assert "--unlabeled needs --teacher" in said
    (tmp_path / "data" / "third").mkdir()
    save(tmp_path / "data" / "third" / "a.png", np.full((40, 40, 3), 120, np.uint8))
    said = pocketsight(*short, "--teacher", teacher, "--out", tmp_path / "other", status=1)
    assert "cannot be the teacher: labels differs" in said and "Traceback" not in said
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("folder", ["none"])
def test_a_teacher_that_is_none(tmp_path: Path, folder: str) -> None:
    for name in ("a", "b"):
        save(tmp_path / "data" / name / "1.png", np.full((40, 40, 3), 90, np.uint8))
    said = pocketsight("train", "classifier", "--data", tmp_path / "data", "--teacher", tmp_path / folder, status=1)
    assert "is not a run folder" in said and "Traceback" not in said
