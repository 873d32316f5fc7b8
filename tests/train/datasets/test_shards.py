"""Shards as the webdataset library writes them."""

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import read_image
from pocketsight.export.calibration import read_calibration
from pocketsight.train.datasets.classification import read_classification_dataset, sampling_weights
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_batches import DetectionBatches
from pocketsight.train.datasets.shards import list_shards
from pocketsight.train.recipe import DETECTOR_RECIPE
from tests.support.images import DETECTOR, scene

webdataset = pytest.importorskip("webdataset")

NOTE: dict[str, Any] = {"bbox": [10, 20, 30, 20], "category": "face"}


def jpeg(seed: int) -> bytes:
    return bytes(cv2.imencode(".jpg", scene(seed, (60, 80)))[1])


def write(target: Path, samples: Sequence[dict[str, Any]]) -> Path:
    """A shard; a sample without `__key__` gets its number."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(target)) as sink:
        for n, sample in enumerate(samples):
            sink.write({"__key__": f"{target.stem}_{n:03d}"} | sample)
    return target


def faces(folder: Path) -> Path:
    row = {"width": 80, "height": 60, "annotations": [NOTE], "group": "g", "source": "yard"}
    ignored = {"annotations": [NOTE | {"iscrowd": 1}, NOTE | {"mask": 1, "bbox": [-5, 0, 20, 20]}]}
    write(folder / "train-000.tar", [{"jpg": jpeg(0), "json": row}, {"jpg": jpeg(1), "json": ignored}])
    write(folder / "train-001.tar", [{"jpg": jpeg(2)}])
    write(folder / "val-000.tar", [{"jpg": jpeg(3), "json": row}])
    return folder


def test_a_detector_learns_from_a_folder_of_shards(tmp_path: Path) -> None:
    dataset = read_detection_dataset(faces(tmp_path / "faces"))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 3, "val": 1}
    first, second, third = dataset.splits["train"]
    assert (first.group, first.source, first.size, first.path.name) == ("g", "yard", (60, 80), "train-000_000.jpg")
    assert first.boxes.tolist() == [[10, 20, 40, 40]] and len(third.boxes) == 0
    assert second.boxes.tolist() == [[0, 0, 15, 20]] and second.mask_states == (1,)
    assert len(second.ignored_boxes) == 1 and second.size == (60, 80) and second.source == "faces"
    (tmp_path / "plain.jpg").write_bytes(jpeg(1))
    expected = read_image(tmp_path / "plain.jpg")
    assert (second.read() == expected).all()


def test_a_batch_is_the_same_in_another_process_and_from_plain_files(tmp_path: Path) -> None:
    recipe = replace(DETECTOR_RECIPE, batch_size=4)
    samples = read_detection_dataset(faces(tmp_path / "faces")).splits["train"]
    batches = DetectionBatches(samples, DETECTOR, recipe)
    entries = [{"id": n, "file_name": f"{n}.jpg", "width": 80, "height": 60, "source": s} for n, s in enumerate("aab")]
    notes = [(0, NOTE), (1, NOTE | {"iscrowd": 1}), (1, NOTE | {"mask": 1, "bbox": [-5, 0, 20, 20]})]
    annotations = [{"id": n, "image_id": i, "category_id": 1, **note} for n, (i, note) in enumerate(notes)]
    content = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    (tmp_path / "faces.json").write_text(json.dumps(content))
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    plain = DetectionBatches(read_detection_dataset(tmp_path / "faces.json").splits["train"], DETECTOR, recipe)
    for other in (plain, pickle.loads(pickle.dumps(batches))):
        assert (other(3).images == batches(3).images).all() and (other(3).targets == batches(3).targets).all()


def test_a_pattern_chooses_shards(tmp_path: Path) -> None:
    faces(tmp_path)
    assert [path.name for path in list_shards(tmp_path / "train-*.tar")] == ["train-000.tar", "train-001.tar"]
    assert list(read_detection_dataset(tmp_path / "val-000.tar").splits) == ["val"]
    assert list_shards(tmp_path / "test-*.tar") == []
    with pytest.raises(DataError, match="neither a folder, a COCO"):
        read_detection_dataset(tmp_path / "test-*.tar")


def test_a_classifier_learns_from_names_or_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [{"jpg": jpeg(n), "cls": ("happy", "sad", "happy")[n].encode()} for n in range(3)])
    dataset = read_classification_dataset([tmp_path], [])
    assert dataset.classes == ("happy", "sad")
    assert [s.label for s in dataset.splits["train"]] == [0, 0, 1]
    assert sampling_weights(dataset.splits["train"])[0] < sampling_weights(dataset.splits["train"])[2]
    first = pickle.loads(pickle.dumps(dataset.splits["train"][1]))
    assert first.path.parent.name == "happy" and read_image(first.path).shape == (60, 80, 3)
    (tmp_path / "classes.txt").write_text("sad\nhappy\n")
    write(tmp_path / "test.tar", [{"jpg": jpeg(n), "cls": n} for n in range(2)])
    assert [s.path.parent.name for s in read_classification_dataset([tmp_path], []).splits["test"]] == ["sad", "happy"]


def test_shards_calibrate_an_export(tmp_path: Path) -> None:
    calibration = read_calibration(DETECTOR, [faces(tmp_path)], count=2)
    assert len(calibration.samples) == 4 and calibration.facts["images"] == 2


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"jpg": jpeg(0), "json": b"{"}, r"a\.tar: x\.json is not an object"),
        ({"jpg": jpeg(0), "json": {"annotations": [{"bbox": [1, 2]}]}}, r"a\.tar: x\.json: annotation 0: bbox is"),
        ({"jpg": jpeg(0), "json": {"annotations": [NOTE | {"bbox": [90, 0, 5, 5]}]}}, r"a\.tar: x\.json.* outside"),
        ({"json": {}}, r"a\.tar: x has no image, only json"),
    ],
)
def test_an_error_names_shard_and_entry(tmp_path: Path, sample: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        read_detection_dataset(write(tmp_path / "a.tar", [{"__key__": "x"} | sample]))
    assert "\n" not in str(raised.value)


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [{"jpg": jpeg(n), "json": {}} for n in range(3)])
    samples = read_detection_dataset(path).splits["train"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 700])
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a \.tar file after a_00"):
        read_detection_dataset(path)
    with pytest.raises(DataError, match=r"a_002\.jpg cannot be read: .*is cut off"):
        samples[2].read()
    path.write_bytes(b"no tar file")
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a \.tar file after its start"):
        read_detection_dataset(path)
    with pytest.raises(DataError, match=r"b\.tar: b_000 needs b_000\.cls"):
        read_classification_dataset([write(tmp_path / "b.tar", [{"jpg": jpeg(0)}])], [])
