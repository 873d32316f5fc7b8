"""Data with boxes of several labels, from files to the targets of a batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.vision.box_encoding import POSITIVE
from pocketsight.train.datasets import detection
from pocketsight.train.datasets.detection import read_detection_dataset, read_samples_for
from pocketsight.train.datasets.detection_batches import DetectionBatches, validation_batch
from pocketsight.train.datasets.sample_table import SampleTable, count_boxes
from pocketsight.train.datasets.sampling import sampling_weights
from pocketsight.train.recipe import DETECTOR_RECIPE
from tests.support.commands import pocketsight
from tests.support.kinds import LABELS, TWO_KINDS, write_two_labels


def test_all_labels_are_read_in_alphabetical_order_by_both_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_two_labels(tmp_path)
    fast = read_detection_dataset(path)
    monkeypatch.setattr(detection, "read_coco_table", lambda path: None)
    thorough = read_detection_dataset(path)
    assert fast.labels == thorough.labels == LABELS
    kinds = [sample.kinds for sample in fast.splits["train"]]
    assert kinds == [sample.kinds for sample in thorough.splits["train"]] == [(1,), (1, 0)] * 3
    assert count_boxes(fast.splits["train"], LABELS) == "go 3, stop 6"


def test_labels_are_chosen_and_ordered(tmp_path: Path) -> None:
    path = write_two_labels(tmp_path)
    turned = read_detection_dataset(path, ("stop", "go"))
    assert [sample.kinds for sample in turned.splits["train"]] == [(0,), (0, 1)] * 3
    one = read_detection_dataset(path, ("go",))
    assert one.labels == ("go",) and [len(sample.boxes) for sample in one.splits["train"]] == [0, 1] * 3
    assert one.splits["train"][1].boxes.tolist() == [[70, 40, 110, 80]]
    with pytest.raises(DataError, match="has no box of dog; its labels are go, stop"):
        read_detection_dataset(path, ("dog",))
    with pytest.raises(DataError, match="given twice"):
        read_detection_dataset(path, ("go", "go"))


def test_data_for_a_detector_has_its_labels_in_its_order(tmp_path: Path) -> None:
    path = write_two_labels(tmp_path)
    assert read_samples_for(path, ("dog", "stop")).splits["train"][1].kinds == (1,)
    with pytest.raises(DataError, match="boxes of go, stop, but the detector finds face"):
        read_samples_for(path, ("face",))


def test_batches_have_the_kinds_of_their_boxes(tmp_path: Path) -> None:
    samples = read_detection_dataset(write_two_labels(tmp_path)).splits["train"]
    recipe = replace(DETECTOR_RECIPE, batch_size=16, mosaic_prob=0.5, scale_range=(1.0, 1.0), negative_share=0.0)
    states = DetectionBatches(samples, TWO_KINDS, recipe)(0).targets[..., 0]
    assert {POSITIVE, POSITIVE + 1} <= set(states.ravel().tolist())
    held_out = validation_batch(list(samples), TWO_KINDS).targets
    assert (held_out[0, :, 0].max(), held_out[1, :, 0].max()) == (POSITIVE + 1, POSITIVE + 1)
    assert (held_out[1, :, 0] == POSITIVE).any() and not (held_out[0, :, 0] == POSITIVE).any()


def test_images_with_a_rare_label_are_drawn_more_often(tmp_path: Path) -> None:
    samples = SampleTable.from_samples(read_detection_dataset(write_two_labels(tmp_path)).splits["train"])
    weights = sampling_weights(samples)
    as_one_kind = sampling_weights(samples.relabel(np.zeros(2, np.int16)))
    assert weights[1] / weights[0] > as_one_kind[1] / as_one_kind[0] > 1


def test_import_keeps_all_labels_or_those_that_are_chosen(tmp_path: Path) -> None:
    source = write_two_labels(tmp_path / "in")
    pocketsight("data", "import", source, "-o", tmp_path / "all.json")
    assert read_detection_dataset(tmp_path / "all.json").labels == LABELS
    said = pocketsight("data", "import", source, "--label", "go", "-o", tmp_path / "one.json")
    assert read_detection_dataset(tmp_path / "one.json").labels == ("go",) and "boxes of stop, left out" in said


def test_boxes_become_class_folders(tmp_path: Path) -> None:
    said = pocketsight("data", "crops", write_two_labels(tmp_path / "in"), "--from-boxes", "-o", tmp_path / "crops")
    found = {folder: len(list((tmp_path / "crops" / "train" / folder).glob("*.jpg"))) for folder in LABELS}
    assert found == {"go": 3, "stop": 6}
    assert "train classifier --data" in said


def test_check_accepts_several_labels_and_names_boxes_without_a_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_two_labels(tmp_path / "in")
    said = pocketsight("data", "check", path, "--html", tmp_path / "c.html", status=0)
    assert "train detector --data" in said and "no cell" not in said
    path.write_text(path.read_text().replace("[16, 16, 32, 32]", "[1, 3.5, 126, 1.0]"))
    said = pocketsight("data", "check", path, "--html", tmp_path / "c.html", status=0)
    assert "no cell     6 boxes (66.7%) that a detector cannot learn" in said
