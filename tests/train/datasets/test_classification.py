from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.classification import (
    ClassificationBatches,
    jitter_box,
    read_classification_dataset,
    validation_batch,
    whole_image_box,
)
from pocketsight.train.datasets.holdout import hold_out_classification
from pocketsight.train.recipe import CLASSIFIER_RECIPE as RECIPE
from tests.support.images import SENTIMENT, picture


def folders(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(root / name / f"{number}.png", (48, 48), seed=number)
    return root


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    data = read_classification_dataset([folders(tmp_path, sad=2, happy=3)], [])
    assert data.classes == ("happy", "sad")
    assert [p.label for p in data.splits["train"]] == [0, 0, 0, 1, 1]
    assert data.splits["train"][0].soft_label == (1.0, 0.0)


def test_parts_and_several_folders_are_joined(tmp_path: Path) -> None:
    folders(tmp_path / "a" / "train", sad=2, happy=1)
    folders(tmp_path / "a" / "test", sad=1, happy=1)
    folders(tmp_path / "b", sad=1, happy=1)
    data = read_classification_dataset([tmp_path / "a", tmp_path / "b"], [])
    assert {name: len(found) for name, found in data.splits.items()} == {"train": 5, "test": 2}


def test_folders_that_are_none_of_the_classes(tmp_path: Path) -> None:
    folders(tmp_path, sad=1, happy=1, neutral=1, _strange=1)
    chosen = read_classification_dataset([tmp_path], [], ("sad", "happy"), ("neutral",))
    assert chosen.classes == ("sad", "happy", "_neutral", "_strange")
    assert {p.path.parent.name: p.label for p in chosen.splits["train"]} == {
        "sad": 0,
        "happy": 1,
        "neutral": 2,
        "_strange": 3,
    }
    left = read_classification_dataset([tmp_path], [], ("sad", "happy")).splits["train"]
    assert {p.path.parent.name: p.label for p in left if p.label < 0} == {"neutral": -1}


def test_a_models_silent_classes_keep_their_order_and_need_no_folder(tmp_path: Path) -> None:
    folders(tmp_path, sad=1, happy=1, neutral=1, angry=1, _strange=1)
    known = read_classification_dataset([tmp_path], [], ("happy", "sad"), known_rejects=("_surprise", "_neutral"))
    assert known.classes == ("happy", "sad", "_surprise", "_neutral", "_strange")
    by = {p.path.parent.name: p.label for p in known.splits["train"]}
    assert by == {"happy": 0, "sad": 1, "neutral": 3, "_strange": 4, "angry": -1}


def test_votes_make_labels_soft_and_the_folder_counts_as_two(tmp_path: Path) -> None:
    folders(tmp_path, happy=2, sad=1)
    (tmp_path / "votes.csv").write_text("file,happiness,sadness,neutral\nhappy/0.png,4,2,4\nsad/0.png,0,3,7\n")
    by = {
        p.path.parent.name + p.path.stem: p
        for p in read_classification_dataset([tmp_path], [tmp_path / "votes.csv"]).splits["train"]
    }
    assert by["happy0"].soft_label == (6 / 8, 2 / 8)
    assert by["happy1"].soft_label == (1.0, 0.0)  # nobody voted
    assert by["happy0"].voted_label == -1  # a tie with neutral
    assert by["sad0"].soft_label == (0.0, 1.0)
    assert by["sad0"].voted_label == -1  # most said neutral


def test_votes_for_a_class_that_is_no_answer_count_too(tmp_path: Path) -> None:
    folders(tmp_path, happy=1, sad=1, _neutral=1)
    (tmp_path / "votes.csv").write_text("file,happiness,sadness,neutral,anger\nsad/0.png,0,6,2,5\n")
    data = read_classification_dataset([tmp_path], [tmp_path / "votes.csv"])
    (sad,) = (p for p in data.splits["train"] if p.path.parent.name == "sad")
    assert sad.soft_label == (0.0, 0.8, 0.2)
    assert sad.voted_label == 1


def test_a_column_of_the_classs_own_name_wins_over_one_that_begins_like_it(tmp_path: Path) -> None:
    folders(tmp_path, smile=1, smirk=1, _odd=1)
    (tmp_path / "votes.csv").write_text("file,smile,smirk\nsmile/0.png,3,5\n", encoding="utf-8-sig")
    (smile, *_) = read_classification_dataset([tmp_path], [tmp_path / "votes.csv"]).splits["train"][1:]
    assert smile.soft_label == (0.5, 0.5, 0.0)


def test_votes_on_other_pictures_are_noticed(tmp_path: Path) -> None:
    folders(tmp_path, happy=1, sad=1)
    (tmp_path / "votes.csv").write_text("file,happy,sad\nelsewhere/0.png,3,5\n")
    with pytest.raises(DataError, match="has no votes for the images"):
        read_classification_dataset([tmp_path], [tmp_path / "votes.csv"])


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"happy": 2}, "needs at least two"),
        ({}, "needs at least two"),
        ({"happy": 1, "sad": 0}, "sad has no images"),
    ],
)
def test_too_few_classes_are_refused(tmp_path: Path, counts: dict[str, int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_classification_dataset([folders(tmp_path, **counts)], [])


def test_a_class_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder angry; it has: happy, sad"):
        read_classification_dataset([folders(tmp_path, happy=1, sad=1)], [], ("happy", "angry"))


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        read_classification_dataset([picture(tmp_path / "a.png")], [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file\n",
        "name,happy,sad\na,1,2\n",
        "file,happy,sad\nhappy/0.png,x,2\n",
        "file,happy,sad\nhappy/0.png,nan,2\n",
        "file,sad\na,1\n",
    ],
)
def test_a_votes_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    folders(tmp_path, happy=1, sad=1)
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(DataError, match=r"votes\.csv"):
        read_classification_dataset([tmp_path], [tmp_path / "votes.csv"])


def test_a_portrait_cut_by_its_box_is_the_whole_portrait(tmp_path: Path) -> None:
    image = read_image(picture(tmp_path / "a.png", (48, 48)))
    for margin in (0.0, 0.1, 0.25):
        assert (crop_face(image, whole_image_box(image, margin), margin, (48, 48)) == image).all()


def test_jitter_stays_within_the_recipe() -> None:
    image, rng = np.zeros((100, 100, 3), np.uint8), np.random.default_rng(0)
    box = whole_image_box(image, 0.0)
    found = np.array([jitter_box(box, RECIPE, rng) for _ in range(500)])
    assert np.abs((found[:, :2] + found[:, 2:]) / 2 - 50).max() <= 100 * RECIPE.max_shift
    sides = found[:, 2] - found[:, 0]
    assert (
        sides.max() <= 100 * np.exp(RECIPE.max_scale_change) + 1e-9
        and sides.min() >= 100 * np.exp(-RECIPE.max_scale_change) - 1e-9
    )
    assert sides.std() > 1


def test_a_capture_session_is_held_out_whole(tmp_path: Path) -> None:
    for n in range(40):
        picture(tmp_path / ("a" if n % 2 else "b") / f"20261122T0050{n // 4:02d}Z-a3f2_{n % 4:04d}.png")
    train, val = hold_out_classification(read_classification_dataset([tmp_path], []), 0.3)
    assert val and not {p.path.name[:21] for p in train} & {p.path.name[:21] for p in val}


def test_validation_is_held_out_by_name(tmp_path: Path) -> None:
    data = read_classification_dataset([folders(tmp_path, happy=60, sad=60)], [])
    train, val = hold_out_classification(data, 0.2)
    assert 8 < len(val) < 50 and len(train) + len(val) == 120
    assert hold_out_classification(data, 0.2) == (train, val)


def test_batches_are_a_function_of_their_step_and_skip_what_is_damaged(tmp_path: Path) -> None:
    folders(tmp_path, happy=2, sad=2)
    (tmp_path / "sad" / "1.png").write_bytes(b"broken")
    portraits = read_classification_dataset([tmp_path], []).splits["train"]
    batches = ClassificationBatches(portraits, SENTIMENT, replace(RECIPE, batch_size=16))
    a, b = batches(3), batches(3)
    assert (a.images == b.images).all() and (a.targets == b.targets).all()
    assert a.images.shape == (16, 48, 48, 3) and a.targets.shape == (16, 2)
    part = replace(batches, rows=range(4, 12))(3)
    assert (part.images == a.images[4:12]).all() and (part.targets == a.targets[4:12]).all()
    assert a.skipped and all("1.png" in line for line in a.skipped)
    assert len(validation_batch(portraits, SENTIMENT).images) == 3
