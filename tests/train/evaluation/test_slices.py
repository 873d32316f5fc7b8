"""Metrics of slices of the faces, from images with planted faces and detections."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.evaluation.matching import PATCH_SIZE, measure_appearance
from pocketsight.train.evaluation.metrics import wilson_interval
from pocketsight.train.evaluation.reports import SliceRow
from pocketsight.train.evaluation.slices import recommendations, slice_metrics, small_slices
from tests.support.images import coco, labelme, picture
from tests.support.planted_faces import looked, seen, square

SMALL, MEDIUM, LARGE = square(10, 10, 20), square(60, 10, 40), square(150, 20, 100)


def row(tables: dict[str, list[SliceRow]], kind: str, name: str) -> SliceRow:
    return next(row for row in tables[kind] if row["slice"] == name)


def test_each_size_has_its_own_figures_and_ignores_the_other_sizes() -> None:
    picture = seen([SMALL, MEDIUM, LARGE], [(MEDIUM, 0.9), (LARGE, 0.8), (square(100, 100, 30), 0.85)])
    tables = slice_metrics(looked([picture]), 0.5)
    small, medium, large = (row(tables, "size", n) for n in ("16 to 32 px", "32 to 64 px", "64 px and more"))
    assert (small["faces"], small["recall"], small["ap50"], small["missed"]) == (1, 0, 0, 1)
    assert (small["false_positives"], small["precision"]) == (1, 0)  # it is of 30 px, and burdens no other size
    assert (medium["recall"], medium["ap50"], medium["precision"], medium["false_positives"]) == (1, 1, 1, 0)
    assert (large["recall"], large["ap50"]) == (1, 1) and large["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert all(one["too_small"] for one in (small, medium, large))


def test_sizes_begin_at_the_smallest_face_that_counts() -> None:
    faces = [square(0, 0, 9), square(30, 0, 20), square(100, 0, 50)]
    names = [row["slice"] for row in slice_metrics(looked([seen(faces, [])], smallest=8), 0.5)["size"]]
    assert names == ["8 to 16 px", "16 to 32 px", "32 to 64 px", "64 px and more"]
    names = [row["slice"] for row in slice_metrics(looked([seen(faces[1:], [])], smallest=20), 0.5)["size"]]
    assert names == ["20 to 32 px", "32 to 64 px", "64 px and more"]


def test_sources_keep_their_own_false_positives_and_one_source_is_no_table() -> None:
    good = seen([MEDIUM], [(MEDIUM, 0.9)], source="garden")
    bad = seen([MEDIUM], [(LARGE, 0.9)], source="cellar")
    tables = slice_metrics(looked([good, bad]), 0.5)
    garden, cellar = row(tables, "source", "garden"), row(tables, "source", "cellar")
    assert (garden["ap50"], garden["precision"], cellar["ap50"], cellar["false_positives"]) == (1, 1, 0, 1)
    assert "source" not in slice_metrics(looked([good, good]), 0.5)
    rooms = row(slice_metrics(looked([good, seen([], [(LARGE, 0.9)], source="rooms")]), 0.5), "source", "rooms")
    assert (rooms["faces"], rooms["false_positives"], rooms["recall"]) == (0, 1, None)


def test_many_sources_are_joined() -> None:
    pictures = [seen([MEDIUM] * 1, [], source=f"s{n:02}") for n in range(15)]
    rows = slice_metrics(looked(pictures), 0.5)["source"]
    assert (len(rows), rows[-1]["slice"], rows[-1]["faces"]) == (13, "3 others", 3)


def test_false_positives_have_no_mask_so_each_slice_gets_its_share() -> None:
    picture = seen(
        [SMALL, MEDIUM, LARGE, square(10, 100, 40)],
        [(SMALL, 0.9), (MEDIUM, 0.9), (LARGE, 0.9), (square(100, 130, 40), 0.95), (square(200, 130, 40), 0.95)],
        masked=(1, 0, 1, -1),
    )
    bare, masked = (row(slice_metrics(looked([picture]), 0.5), "mask", name) for name in ("bare", "masked"))
    assert (bare["faces"], bare["recall"], masked["faces"], masked["recall"]) == (1, 1, 2, 1)
    assert bare["precision"] == masked["precision"] == 0.6  # 1 of 1 + 2/3, and 2 of 2 + 4/3
    assert bare["ap50"] == masked["ap50"] == 0.6


def test_light_and_blur_are_those_of_the_face() -> None:
    grey: Image = np.zeros((240, 320, 3), np.uint8)
    grey[:, 160:] = 150
    grey[::2, 160:] = 250  # stripes
    picture = seen([square(20, 20, 16), square(200, 20, 16)], [(square(200, 20, 16), 0.9)])
    tables = slice_metrics(looked([picture], grey), 0.5)
    assert [row["faces"] for row in tables["brightness"]] == [1, 0, 0, 1]
    assert row(tables, "brightness", "dark")["recall"] == 0
    assert row(tables, "brightness", "bright")["recall"] == 1
    assert (row(tables, "brightness", "dim")["ap50"], row(tables, "brightness", "dim")["recall"]) == (None, None)
    assert (row(tables, "blur", "blurred")["recall"], row(tables, "blur", "sharp")["recall"]) == (0, 1)


def test_detail_is_measured_at_one_size() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (PATCH_SIZE, PATCH_SIZE)).astype(np.uint8)
    large = np.kron(noise, np.ones((4, 4), np.uint8))
    sides = np.array([[0, 0, PATCH_SIZE, PATCH_SIZE]], np.float32)
    ((_, once),), ((_, again),) = measure_appearance(noise, sides), measure_appearance(large, 4 * sides)
    assert again == pytest.approx(once) and once > 1000
    corner = np.array([[63.9, 63.9, 64, 64]], np.float32)  # less than a pixel
    assert measure_appearance(large, corner)[0, 0] == large[-1, -1]


def test_a_false_positive_knows_what_it_is_next_to() -> None:
    picture = seen([MEDIUM], [(square(75, 10, 40), 0.9), (LARGE, 0.8)])
    near, alone = looked([picture]).false_positives
    assert near.iou == pytest.approx(25 / 55, abs=1e-3)
    assert alone.iou == 0


def test_recommendations_name_what_would_help_most() -> None:
    found = seen([LARGE], [(LARGE, 0.9)])
    pictures = [found] * 60 + [seen([SMALL], [])] * 40 + [seen([MEDIUM], [])] * 5
    tables = slice_metrics(looked(pictures), 0.5)
    first = recommendations(looked(pictures), 0.5, tables)[0]
    assert first == (
        "Collect more faces of 16 to 32 px: 38% of all faces and 89% of the missed ones; "
        "their recall is 0%, that of the other faces 92%."
    )
    assert small_slices(tables) == ["faces of 32 to 64 px (5)"]  # nothing is said about five faces


def test_where_nothing_stands_out_nothing_is_blamed_but_loose_boxes_are() -> None:
    half = [seen([MEDIUM], [(MEDIUM, 0.9)], source="a"), seen([MEDIUM], [], source="b")]
    pictures = [replace(one, source=name) for one in half * 20 for name in ("a", "b")]
    lines = recommendations(looked(pictures), 0.5, slice_metrics(looked(pictures), 0.5))
    assert len(lines) == 1 and lines[0].startswith("No slice is clearly worse")
    loose = [seen([MEDIUM], [(square(75, 10, 40), 0.9)])] * 10
    assert "10 of the 10 false positives overlap a labeled face" in recommendations(looked(loose), 0.5, {})[-1]


def test_intervals() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    assert wilson_interval(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_source_and_mask_come_from_the_data(tmp_path: Path) -> None:
    path = coco(tmp_path, images=[{"id": 7, "file_name": "images/a.png", "source": "garden"}])
    text = path.read_text().replace('"iscrowd": 0', '"iscrowd": 0, "mask": 1')
    path.write_text(text)
    (example,) = read_detection_dataset(path).splits["train"]
    assert (example.source, example.mask_states) == ("garden", (1,))
    path.write_text(text.replace('"mask": 1', '"mask": [[0, 0, 5, 5]]').replace('"source"', '"origin"'))
    (example,) = read_detection_dataset(path).splits["train"]
    assert (example.source, example.mask_states) == ("", (-1,))


def test_folders_and_sessions_stand_in_for_a_source(tmp_path: Path) -> None:
    for name in ("yard/a", "20260101T000000Z-abcd_0001"):
        labelme(tmp_path, name, [[10, 10], [40, 40]])
    picture(tmp_path / "images" / "b.png")
    assert [e.source for e in read_detection_dataset(tmp_path).splits["train"]] == ["20260101T000000Z-abcd", "", "yard"]
