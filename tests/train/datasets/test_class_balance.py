"""Classes that are uneven, or missing where they are measured."""

from pathlib import Path
from typing import Any

import pytest

from pocketsight.train.curation.check import check
from pocketsight.train.curation.console_report import class_warnings
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.class_balance import balance_warnings, log_balance
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.holdout import hold_out_classification
from pocketsight.train.evaluation.formatting import format_accuracy
from tests.support.images import picture


def class_folders(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        for number in range(count):
            picture(root / name / f"{number}.png", (32, 32), seed=number)
    return root


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        (
            {"happy": 40, "sad": 1},
            None,
            ["uneven classes: 40 images of happy, 1 of", "sad has one image"],
        ),
        ({"happy": 6, "sad": 6}, {"happy": 3}, ["no validation image of sad"]),
        ({"happy": 6, "sad": 6}, {"happy": 3, "sad": 1}, []),
        ({"happy": 60, "sad": 6}, None, []),
        ({}, None, []),
    ],
)
def test_what_is_uneven_or_missing_is_named(train: dict[str, int], val: dict[str, int] | None, says: list[str]) -> None:
    lines = balance_warnings(train, val)
    assert len(lines) == len(says) and all(line.startswith(text) for line, text in zip(lines, says, strict=True))


@pytest.mark.parametrize("sad", [2, 3, 5])
def test_each_class_is_held_out_where_it_has_two_images(tmp_path: Path, sad: int) -> None:
    data = read_classification_dataset([class_folders(tmp_path, happy=30, sad=sad)], [])
    train, val = hold_out_classification(data, 0.1)
    assert {s.label for s in train} == {s.label for s in val} == {0, 1}
    assert not {s.path for s in train} & {s.path for s in val}
    assert hold_out_classification(data, 0.1) == (train, val)


def test_a_single_image_stays_in_training_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = read_classification_dataset([class_folders(tmp_path, happy=30, sad=1)], [])
    train, val = hold_out_classification(data, 0.1)
    assert sum(sample.label == 1 for sample in train) == 1
    log_balance(data.classes, train, val)
    said = capsys.readouterr().err
    assert "no validation image of sad" in said and "uneven classes" in said


def test_check_names_them_too(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", happy=2, sad=2)
    class_folders(tmp_path / "val", happy=1)
    report = check(scan_dataset(tmp_path), (), 0, 1, workers=1)
    assert [line.partition(":")[0] for line in class_warnings(report)] == ["no validation image of sad"]


def test_no_accuracy_is_claimed_of_a_class_without_images() -> None:
    scores: Any = {"labels": ["happy", "sad"], "accuracy": 1.0, "balanced_accuracy": 1.0, "confusion": [[4, 0], [0, 0]]}
    assert format_accuracy(scores) == "100.0% of happy right, no accuracy: there is no image of sad"
    scores["confusion"] = [[4, 0], [0, 2]]
    assert format_accuracy(scores) == "accuracy 100.0%, balanced 100.0%"
