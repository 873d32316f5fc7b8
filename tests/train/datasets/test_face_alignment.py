"""Training cuts faces where the board's detector finds them, hides some of them, and learns from a larger net."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.augmentation import draw_mask
from pocketsight.train.datasets.classification import (
    MASKED_CLASS,
    ClassificationBatches,
    ClassificationSample,
    read_unlabeled,
)
from pocketsight.train.datasets.face_alignment import align_faces, align_splits, apply_training_alignment, find_face
from pocketsight.train.recipe import RECIPES
from tests.support.images import save

RECIPE = replace(RECIPES["classifier"]["crop71k"], batch_size=16, input_size=(48, 48))
STILL = replace(RECIPE, augmentation="none", horizontal_flip=0.0, max_shift=0.0, max_scale_change=0.0, mask_prob=0.0)
SPEC = ModelSpec("classifier", "crop71k", (48, 48), ("happy", "sad"), 0.5, crop_margin=RECIPE.crop_margin)
FINDER = load_on_cpu(MODELS_DIR / "detector.tflite", "detector")


def face(path: Path) -> ClassificationSample:
    """A portrait whose face fills the left two thirds of the picture."""
    image = read_image(EXAMPLE_IMAGE)
    box = detect(image, FINDER)[0].box
    left, top, right, bottom = (round(side) for side in box)
    save(path, image[top - 4 : bottom + 4, left - 4 : left + round(1.5 * (right - left))])
    return ClassificationSample(path, 0, (1.0, 0.0))


def blank(path: Path, label: int = 0) -> ClassificationSample:
    save(path, np.full((60, 60, 3), 90, np.uint8))
    return ClassificationSample(path, label, (1.0, 0.0))


def test_the_face_is_found_in_a_picture_that_it_fills(tmp_path: Path) -> None:
    portrait = face(tmp_path / "a.png")
    box = find_face(read_image(portrait.path), FINDER)
    assert box is not None
    height = read_image(portrait.path).shape[0]
    assert np.allclose([box.left, box.top, box.bottom], [4, 4, height - 4], atol=0.12 * height)
    assert box.right < 0.8 * read_image(portrait.path).shape[1]
    assert find_face(np.full((60, 60, 3), 90, np.uint8), FINDER) is None


def test_training_cuts_at_the_box_that_the_board_would_cut_at(tmp_path: Path) -> None:
    (portrait,) = align_faces([face(tmp_path / "a.png")], FINDER)
    assert portrait.box is not None
    batches = ClassificationBatches([portrait], SPEC, STILL)
    image = read_image(portrait.path)
    cut = crop_face(
        image, portrait.box, SPEC.crop_margin, SPEC.input_size
    )  # of `jittered`, a square of the same longer side
    assert np.abs(batches(0).images[0].astype(int) - cut).mean() < 6
    whole = ClassificationBatches([replace(portrait, box=None)], SPEC, STILL)(0).images[0]
    assert np.abs(whole.astype(int) - cut).mean() > 20


def test_what_cannot_be_read_stays_as_it_is(tmp_path: Path) -> None:
    broken = ClassificationSample(tmp_path / "none.png", 0, (1.0, 0.0))
    assert align_faces([broken], FINDER) == [broken]


def test_where_hardly_any_face_is_found_pictures_are_taken_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = [face(tmp_path / f"face{n}.png") for n in range(2)]
    others = [blank(tmp_path / f"blank{n}.png") for n in range(3)]
    (train, val), recipe = align_splits((faces, others), RECIPE, None)
    assert (train, val) == (faces, others) and not recipe.align_faces
    assert "found in 2 of 5 images only" in capsys.readouterr().err
    (train, val), recipe = align_splits((faces, others[:1]), RECIPE, None)
    assert all(p.box for p in train) and val == others[:1] and recipe.align_faces
    assert "found in 2 of 3 images; the others" in capsys.readouterr().err
    (train, val), _ = align_splits((faces, faces), RECIPE, None)
    assert train is val  # or nobody would know that none was held out


def test_scores_are_made_on_pictures_cut_as_for_training(tmp_path: Path) -> None:
    portraits = [face(tmp_path / "a.png")]
    assert apply_training_alignment(portraits, SPEC) is portraits
    (found,) = apply_training_alignment(portraits, replace(SPEC, training={"recipe": {"align_faces": True}}))
    assert found.box is not None


def test_a_mask_hides_mouth_and_nose_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for colour in (False, True):
        plain = np.repeat(rng.integers(60, 200, (64, 64, 1)), 3, 2).astype(np.uint8)
        if colour:
            plain[..., 0] = 20
        for _ in range(50):
            changed = np.abs(draw_mask(plain, 0.04, rng).astype(int) - plain).sum(-1) > 12
            assert not changed[:22].any() and changed[44:52, 26:38].mean() > 0.8 and changed.mean() < 0.45
            assert colour or (np.ptp(draw_mask(plain, 0.04, rng), axis=2) == 0).all()


def test_masks_are_drawn_where_a_class_is_for_them(tmp_path: Path) -> None:
    portraits = [replace(blank(tmp_path / "a.png"), soft_label=(1.0, 0.0, 0.0))]
    spec = replace(SPEC, labels=("happy", "sad", MASKED_CLASS))
    targets = ClassificationBatches(portraits, spec, replace(STILL, mask_prob=0.5, batch_size=64))(0).targets
    assert 15 < (targets[:, 2] == 1).sum() < 49 and (targets.sum(1) == 1).all()
    batch = ClassificationBatches(
        portraits, replace(SPEC, labels=("happy", "sad", "_angry")), replace(STILL, mask_prob=1.0)
    )(0)
    assert (batch.targets[:, 0] == 1).all() and (batch.images == batch.images[0]).all()


def test_faces_without_a_class_have_no_odds(tmp_path: Path) -> None:
    blank(tmp_path / "deep" / "er" / "a.png")
    (found,) = read_unlabeled([tmp_path], ("happy", "sad", "_angry"))
    assert (found.label, found.soft_label) == (-1, (0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="has no images"):
        read_unlabeled([tmp_path / "deep" / "none"], ("happy", "sad"))
