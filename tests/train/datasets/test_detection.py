import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.vision.box_encoding import POSITIVE
from pocketsight.train.datasets.detection import DetectionDataset, keep_single_object, read_detection_dataset
from pocketsight.train.datasets.detection_batches import DetectionBatches, validation_batch
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample
from pocketsight.train.datasets.holdout import hold_out_detection
from pocketsight.train.recipe import DETECTOR_RECIPE as RECIPE
from tests.support.images import DETECTOR, coco, labelme, picture

BOX = np.array([[10, 10, 30, 40]], np.float32)
NOTE = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 30]}


def test_a_coco_file_gives_boxes_and_regions_to_ignore(tmp_path: Path) -> None:
    faces = read_detection_dataset(coco(tmp_path))
    (example,) = faces.splits["train"]
    assert faces.labels == ("face",)
    assert example.boxes.tolist() == [[10, 10, 30, 40]]
    assert example.ignored_boxes.tolist() == [[40, 10, 45, 15]]
    assert example.group == "g"


@pytest.mark.parametrize(("name", "part"), [("latest", "train"), ("faces_val", "val"), ("interval", "train")])
def test_only_whole_words_of_a_name_make_a_part(tmp_path: Path, name: str, part: str) -> None:
    assert list(read_detection_dataset(coco(tmp_path).rename(tmp_path / f"{name}.json")).splits) == [part]


def test_labels_for_a_picture_of_another_size_are_noticed(tmp_path: Path) -> None:
    path = coco(tmp_path)
    picture(tmp_path / "images" / "a.png", (120, 160))
    with pytest.raises(DataError, match=r"a\.png is 160x120, but its labels are for 80x60"):
        read_detection_dataset(path).splits["train"][0].read()


def test_labels_in_sub_folders_belong_to_pictures_in_the_same_ones(tmp_path: Path) -> None:
    for camera in ("one", "two"):
        labelme(tmp_path, f"{camera}/0001", [[10, 10], [30, 40]])
    found = read_detection_dataset(tmp_path).splits["train"]
    assert [len(e.boxes) for e in found] == [1, 1]
    picture(tmp_path / "images" / "one" / "0001.jpg")
    with pytest.raises(DataError, match="would share one label file"):
        read_detection_dataset(tmp_path)


def test_a_circle_is_its_box_and_a_point_is_none(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[40, 30], [50, 30]])
    file = tmp_path / "labels" / "a.json"
    note = json.loads(file.read_text())
    note["shapes"][0]["shape_type"] = "circle"
    file.write_text(json.dumps(note))
    assert read_detection_dataset(tmp_path).splits["train"][0].boxes.tolist() == [[30, 20, 50, 40]]
    note["shapes"][0]["shape_type"] = "point"
    file.write_text(json.dumps(note))
    with pytest.raises(DataError, match="is a point; draw a rectangle"):
        read_detection_dataset(tmp_path)


def test_data_without_any_box_is_refused_before_training() -> None:
    with pytest.raises(DataError, match="have no box"):
        hold_out_detection(DetectionDataset({"train": [DetectionSample(Path("a"), NO_BOXES)]}, ("face",)), 0.1)


def test_a_coco_file_named_test_is_the_test_part(tmp_path: Path) -> None:
    assert list(read_detection_dataset(coco(tmp_path).rename(tmp_path / "test.json")).splits) == ["test"]


def test_labelme_files_in_the_tutorials_layout(tmp_path: Path) -> None:
    labelme(tmp_path / "train", "a", [[30, 40], [10, 10]])  # corners in any order
    picture(tmp_path / "train" / "images" / "b.png")  # no label file: no face
    labelme(tmp_path / "val", "c", [[0, 0], [20, 20]])
    faces = read_detection_dataset(tmp_path)
    assert {part: len(found) for part, found in faces.splits.items()} == {"train": 2, "val": 1}
    assert faces.splits["train"][0].boxes.tolist() == [[10, 10, 30, 40]]
    assert len(faces.splits["train"][1].boxes) == 0


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([10, 10, 0, 30], "no area"),
        ([10, 10, 20, -1], "no area"),
        ([90, 10, 20, 30], "outside its image of 80x60"),
        ([-30, 10, 20, 30], "outside"),
        ([10, 10, float("nan"), 5], "is not a finite"),
    ],
)
def test_a_box_that_cannot_be_is_named(tmp_path: Path, box: list[float], says: str) -> None:
    with pytest.raises(DataError, match=rf"annotation 5 of images/a\.png.*{says}"):
        read_detection_dataset(coco(tmp_path, annotations=[{**NOTE, "bbox": box}]))


def test_a_box_over_the_edge_is_cut_there(tmp_path: Path) -> None:
    (example,) = read_detection_dataset(coco(tmp_path, annotations=[{**NOTE, "bbox": [-5, 50, 20, 30]}])).splits[
        "train"
    ]
    assert example.boxes.tolist() == [[0, 50, 15, 60]]


@pytest.mark.parametrize(
    "changes",
    [
        {"images": 3},
        {"images": [{"id": 7}]},
        {"images": []},
        {"images": [{"id": 7, "width": 80, "height": 60}], "annotations": []},
        {"annotations": [{"image_id": 8}]},
        {"annotations": [{**NOTE, "bbox": [1]}]},
        {"annotations": None},
        {"categories": []},
    ],
)
def test_a_coco_file_of_the_wrong_shape_is_one_line(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"faces\.json") as raised:
        read_detection_dataset(coco(tmp_path, **changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"x"', "null"])
def test_a_json_file_of_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json"):
        read_detection_dataset(tmp_path / "x.json")


def test_two_kinds_of_object_are_two_labels(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    labelme(tmp_path, "b", [[1, 1], [9, 9]], label="d")
    data = read_detection_dataset(tmp_path)
    assert data.labels == ("d", "face") and [sample.kinds for sample in data.splits["train"]] == [(1,), (0,)]


def test_a_coco_picture_that_is_missing_is_named(tmp_path: Path) -> None:
    path = coco(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png, which does not exist"):
        read_detection_dataset(path)


def test_a_label_file_without_its_picture_is_named(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    labelme(tmp_path, "b", [[1, 1], [9, 9]], with_picture=False)
    with pytest.raises(DataError, match=r"b\.json labels an image that is not in"):
        read_detection_dataset(tmp_path)


def test_a_labelme_file_of_the_wrong_shape_is_named(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    (tmp_path / "labels" / "a.json").write_text(json.dumps({"shapes": [{"points": 3}]}))
    with pytest.raises(DataError, match=r"a\.json is not a labelme file"):
        read_detection_dataset(tmp_path)


@pytest.mark.parametrize("part", [".", "images", "train/images"])
def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError, match="has no images"):
        read_detection_dataset(tmp_path)


def test_pictures_with_several_faces_go_before_any_are_held_out() -> None:
    def example(name: str, faces: int, ignored: int = 0) -> DetectionSample:
        boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (faces, 1))
        return DetectionSample(Path(name), boxes, np.tile(np.array([[0, 0, 9, 9]], np.float32), (ignored, 1)))

    crowded = [example("two", 2), example("ignored", 1, 1)]
    few = DetectionDataset({"train": [example("one", 1), example("none", 0), *crowded], "val": crowded}, ("face",))
    kept, left_out = keep_single_object(few)
    assert left_out == 4 and kept.labels == ("face",)
    train, val = hold_out_detection(kept, 0.1)  # nothing is left of the validation part, and two are too few to part
    assert [e.path.name for e in train] == ["one", "none"] and train is val
    with pytest.raises(DataError, match="no train split"):
        hold_out_detection(keep_single_object(DetectionDataset({"train": crowded}, ("face",)))[0], 0.1)


def test_a_capture_session_is_a_group(tmp_path: Path) -> None:
    for n in range(40):
        labelme(tmp_path, f"20261122T0050{n // 4:02d}Z-a3f2_{n % 4:04d}", [[10, 10], [40, 40]])
    train, val = hold_out_detection(read_detection_dataset(tmp_path), 0.3)
    assert val and len(train) + len(val) == 40
    assert not {e.path.name[:21] for e in train} & {e.path.name[:21] for e in val}


def test_groups_are_held_out_whole_and_always_the_same() -> None:
    examples = [DetectionSample(Path(f"{n}.jpg"), BOX, group=f"g{n // 4}") for n in range(400)]
    train, val = hold_out_detection(DetectionDataset({"train": examples}, ("face",)), 0.2)
    assert {e.group for e in train}.isdisjoint(e.group for e in val)
    assert 40 < len(val) < 120
    assert len(train) + len(val) == 400
    again = hold_out_detection(DetectionDataset({"train": examples}, ("face",)), 0.2)
    assert [[e.path for e in part] for part in again] == [[e.path for e in part] for part in (train, val)]


def test_the_datas_own_validation_part_is_used() -> None:
    a, b = [DetectionSample(Path("a"), BOX)], [DetectionSample(Path("b"), NO_BOXES)]
    assert hold_out_detection(DetectionDataset({"train": a, "val": b}, ("face",)), 0.5) == (a, b)


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    examples = read_detection_dataset(coco(tmp_path)).splits["train"]
    batches = DetectionBatches(examples, DETECTOR, replace(RECIPE, batch_size=4))
    first, again, second = batches(0), batches(0), batches(1)
    assert (first.images == again.images).all() and (first.targets == again.targets).all()
    assert (first.images != second.images).any()
    assert first.images.shape == (4, 96, 128, 3) and first.targets.shape == (4, 12 * 16 + 6 * 8, 5)


def test_parts_of_a_batch_are_rows_of_the_whole_even_if_a_picture_is_damaged(tmp_path: Path) -> None:
    for name in "abc":
        labelme(tmp_path, name, [[10, 10], [60, 50]])
    (tmp_path / "images" / "b.png").write_bytes(b"broken")
    examples = read_detection_dataset(tmp_path).splits["train"]
    batches = DetectionBatches(examples, DETECTOR, replace(RECIPE, batch_size=8))
    whole = batches(3)
    parts = [replace(batches, rows=rows)(3) for rows in (range(5), range(5, 8))]
    assert whole.skipped and [len(part.images) for part in parts] == [5, 3]
    assert (np.concatenate([part.images for part in parts]) == whole.images).all()
    assert (np.concatenate([part.targets for part in parts]) == whole.targets).all()


def test_a_damaged_picture_is_skipped_and_named(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[10, 10], [60, 50]])
    labelme(tmp_path, "b", [[10, 10], [60, 50]])
    (tmp_path / "images" / "b.png").write_bytes(b"broken")
    examples = read_detection_dataset(tmp_path).splits["train"]
    batch = DetectionBatches(examples, DETECTOR, replace(RECIPE, batch_size=16))(0)
    assert len(batch.images) == 16
    assert batch.skipped and all("b.png" in line for line in batch.skipped)
    assert len(validation_batch(examples, DETECTOR).images) == 1


def test_boxes_follow_their_faces_through_augmentation(tmp_path: Path) -> None:
    """A white square on black is the face: wherever the window falls, the box must hold the white and little else."""
    import cv2

    image = np.zeros((240, 320, 3), np.uint8)
    image[80:150, 100:160] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    example = DetectionSample(tmp_path / "a.png", np.array([[100, 80, 160, 150]], np.float32))
    plain: dict[str, Any] = dict.fromkeys(
        ("max_light_change", "degrade", "grayscale", "darken", "rotation_prob", "photograph_prob"), 0.0
    )
    recipe = replace(RECIPE, **plain)
    batches, rng = DetectionBatches([example], DETECTOR, recipe), np.random.default_rng(0)
    seen = 0
    for _ in range(100):
        picture, boxes, *_ = batches.augment(example, rng)
        for left, top, right, bottom in boxes.round().astype(int):
            seen += 1
            assert picture[top + 2 : bottom - 2, left + 2 : right - 2].min(initial=255) > 150
            outside = picture.copy()
            outside[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = 0
            assert outside.max() < 100
    assert seen > 60
    assert (batches(0).targets[..., 0] == POSITIVE).any()


def test_the_early_windows_are_half_as_wide_and_show_faces_as_large(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((240, 320, 3), np.uint8))
    example = DetectionSample(tmp_path / "a.png", np.array([[140, 100, 170, 140]], np.float32))
    recipe = replace(
        RECIPE, rotation_prob=0.0, scale_range=(1.0, 1.0), object_centered=1.0, low_res_object_centered=1.0
    )
    spec = replace(DETECTOR, input_size=(192, 256), strides=(8, 16, 32))
    for early, size in ((False, (192, 256)), (True, (96, 128))):
        batches = DetectionBatches([example], spec, recipe, early)
        picture, ((left, top, right, bottom),), *_ = batches.augment(example, np.random.default_rng(0))
        assert picture.shape[:2] == batches.image_size == size
        assert (right - left, bottom - top) == pytest.approx((24, 32))
        assert batches(0).targets.shape[1] == sum(size[0] // s * (size[1] // s) for s in spec.strides)


def test_the_rarer_of_masked_and_bare_faces_is_drawn_more_often() -> None:
    masked, bare = (DetectionSample(Path(name), BOX, mask_states=(kind,)) for name, kind in (("m", 1), ("b", 0)))
    shares = np.diff(DetectionBatches([masked] * 4 + [bare], DETECTOR, RECIPE).cumulative_weights, prepend=0)
    assert shares[-1] / shares[0] == pytest.approx(4**0.25)
    assert np.ptp(np.diff(DetectionBatches([masked] * 4, DETECTOR, RECIPE).cumulative_weights, prepend=0)) < 1e-12
