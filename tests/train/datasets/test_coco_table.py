"""The fast reader of COCO files gives the samples of the thorough one, or leaves the file to it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets import detection
from pocketsight.train.datasets.coco_table import read_coco_table
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.holdout import hold_out_detection, stable_uniform
from tests.support.images import picture
from tests.train.datasets.test_sample_table import as_tuple


def coco(folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Path:
    target = folder / "faces.json"
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    target.write_text(json.dumps({"info": {"year": 2020}, **content}))
    return target


def varied(folder: Path) -> Path:
    """Images in several folders, of a group, a source or a session, and boxes of every kind in a mixed order."""
    rng = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    names = ["images/a.png", "yard\\b.png", "c.png", "images/20261122T005001Z-a3f2_0001.png", "d/e/ü.png"]
    for n, name in enumerate(names * 4):
        path = Path(name.replace("\\", "/"))
        images.append({"id": n * 3 if n % 2 else f"id{n}", "file_name": str(path.with_stem(f"{path.stem}{n}"))})
        picture(folder / images[-1]["file_name"])
        images[-1]["file_name"] = (
            images[-1]["file_name"].replace("/", "\\") if "\\" in name else images[-1]["file_name"]
        )
        images[-1] |= {"width": 80, "height": 60} if n % 3 else {}
        images[-1] |= {"group": n // 4} if n % 4 == 0 else {}
        images[-1] |= {"source": "street"} if n % 10 == 1 else {}
    notes = []
    for number in range(60):
        x, y, w, h = rng.uniform((-9, -9, 10, 10), (70, 50, 40, 40)).round(3).tolist()
        note = {"id": number, "image_id": images[rng.integers(15)]["id"], "category_id": 1, "bbox": [x, y, w, h]}
        note |= {"iscrowd": number % 2} if number % 3 == 0 else {}
        note |= {"ignore": True} if number % 7 == 0 else {}
        note |= {"mask": [0, 1, True, [[1, 2]], None, 2][number % 6]} if number % 5 else {}
        notes.append(note | {"segmentation": [[1, 2, 3, 4]]})
    return coco(folder, images, notes)


def test_both_readers_give_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = varied(tmp_path)
    found = read_coco_table(path)
    assert found
    table, label = found
    monkeypatch.setattr(detection, "read_coco_table", lambda path: None)
    thorough = read_detection_dataset(path)
    assert label == thorough.labels == ("face",)
    assert [as_tuple(s) for s in table] == [as_tuple(s) for s in thorough.splits["train"]]
    assert {s.source for s in table} == {"street", "yard", tmp_path.name, "20261122T005001Z-a3f2", "e", ""}
    assert sum(len(s.ignored_boxes) for s in table) > 5 and {m for s in table for m in s.mask_states} == {-1, 0, 1}


def test_the_same_images_are_held_out_as_ever(tmp_path: Path) -> None:
    """The rule of version 0.2: the hash of the group, or of the name of the file, is below the share."""
    dataset = read_detection_dataset(varied(tmp_path))
    train, val = hold_out_detection(dataset, 0.4)
    assert 0 < len(val) < 20 and len(train) + len(val) == 20
    assert all(stable_uniform(s.group or s.path.name) < 0.4 for s in val)
    assert all(stable_uniform(s.group or s.path.name) >= 0.4 for s in train)


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": ["1", 2, 30, 40]},
        {"bbox": [1, 2, 30]},
        {"bbox": [1, 2, 0, 40]},
        {"bbox": [90, 2, 30, 40]},
        {"bbox": [1, 2, float("inf"), 40]},
        {"image_id": 9},
        {"category_id": 9},
        {"iscrowd": "no"},
    ],
)
def test_what_is_unusual_is_left_to_the_thorough_reader(tmp_path: Path, change: dict[str, Any]) -> None:
    picture(tmp_path / "a.png")
    note = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 40]}
    image = {"id": 7, "file_name": "a.png", "width": 80, "height": 60}
    assert read_coco_table(coco(tmp_path, [image], [note]))
    assert read_coco_table(coco(tmp_path, [image], [note | change])) is None
    assert read_coco_table(coco(tmp_path, [image | {"width": -1}], [note])) is None
    assert read_coco_table(coco(tmp_path, [image, image], [note])) is None
    assert read_coco_table(coco(tmp_path, [], [])) is None


def test_an_image_that_does_not_exist_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").mkdir()
    images = [{"id": n, "file_name": f"images/{name}.png", "width": 80, "height": 60} for n, name in enumerate("ab")]
    with pytest.raises(DataError, match=r"faces\.json lists .*images/b\.png, which does not exist"):
        read_detection_dataset(coco(tmp_path, images, []))
    with pytest.raises(DataError, match=r"nowhere/a\.png, which does not exist"):
        read_detection_dataset(coco(tmp_path, [images[0] | {"file_name": "nowhere/a.png"}], []))
