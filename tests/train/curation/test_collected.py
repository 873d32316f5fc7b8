"""Frames of boards become data sets to label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image
from pocketsight.train.curation.collected import CollectSummary, collect_frames
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.detection import read_detection_datasets
from tests.support.images import coco, save, scene

BOX = [20.0, 20.0, 60.0, 70.0]


def keep(folder: Path, number: int, image: Image, *boxes: list[float], **changes: Any) -> Path:
    """A frame as a board writes it."""
    path = save(folder / f"20261122T040000Z-a3f2_{number:04}_kept.jpg", image)
    note = {
        "board": "door",
        "time": "2026-11-22T04:15:00.000+00:00",
        "reasons": ["low-score"],
        "width": image.shape[1],
        "height": image.shape[0],
        "faces": [{"box": box, "score": 0.6, "object": "face"} for box in boxes],
    }
    path.with_suffix(".json").write_text(json.dumps(note | changes))
    return path


def collect(source: Path, out: Path, *known: Path) -> CollectSummary:
    return collect_frames(source, out, known, lambda found, total: found)


def test_each_board_and_day_becomes_a_data_set_with_first_labels(tmp_path: Path) -> None:
    keep(tmp_path / "kept", 1, scene(1), BOX)
    keep(tmp_path / "kept", 2, scene(2), time="2026-11-23T00:00:00.000+00:00", reasons=["unsure", "low-score"])
    keep(tmp_path / "kept", 3, scene(3), BOX, board="yard")
    summary = collect(tmp_path / "kept", tmp_path / "out")
    assert summary.added == {"door/2026-11-22": 1, "door/2026-11-23": 1, "yard/2026-11-22": 1}
    assert summary.reasons == {"low-score": 3, "unsure": 1}
    (image,) = scan_dataset(tmp_path / "out" / "door" / "2026-11-22").images
    assert [(list(each.box), each.label) for each in image.objects] == [(BOX, "face")]
    days = sorted((tmp_path / "out").glob("*/*"))
    dataset = read_detection_datasets([coco(tmp_path / "old"), *days])  # training takes them with the rest
    assert dataset.labels == ("face",) and [len(sample.boxes) for sample in dataset.splits["train"]] == [1, 1, 0, 1]


def test_a_second_call_adds_only_what_is_new_and_keeps_corrected_labels(tmp_path: Path) -> None:
    keep(tmp_path / "kept", 1, scene(1), BOX)
    collect(tmp_path / "kept", tmp_path / "out")
    (labels,) = (tmp_path / "out").rglob("labels/*.json")
    labels.write_text('{"shapes": [], "imageWidth": 160, "imageHeight": 120}')
    keep(tmp_path / "kept", 2, scene(2), BOX)
    summary = collect(tmp_path / "kept", tmp_path / "out")
    assert (summary.added, summary.present) == ({"door/2026-11-22": 1}, 1)
    assert json.loads(labels.read_text())["shapes"] == []


def test_a_frame_that_repeats_a_known_image_is_left_out(tmp_path: Path) -> None:
    keep(tmp_path / "first", 1, scene(1), BOX)
    collect(tmp_path / "first", tmp_path / "known")
    lighter = (scene(1) * 0.9).astype("uint8")
    near = [value + 3 for value in BOX]
    keep(tmp_path / "kept", 2, lighter, near)
    keep(tmp_path / "kept", 3, lighter, near, [100.0, 30.0, 140.0, 80.0])  # somebody else came into the same view
    keep(tmp_path / "kept", 4, scene(2), BOX)
    keep(tmp_path / "kept", 5, scene(2), near)
    summary = collect(tmp_path / "kept", tmp_path / "out", tmp_path / "known" / "door" / "2026-11-22")
    assert summary.duplicates == 2
    assert [path.name[17:26] for path in sorted((tmp_path / "out").rglob("*.jpg"))] == ["a3f2_0003", "a3f2_0004"]


def test_what_no_board_writes_is_skipped_and_named(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    keep(kept, 1, scene(1), board="../../etc")
    keep(kept, 2, scene(2), time="yesterday")
    keep(kept, 3, scene(3), faces=[{"box": [1, 2, 3]}])
    keep(kept, 4, scene(4)).unlink()
    keep(kept, 5, scene(5)).with_suffix(".json").write_text("{")
    keep(kept, 6, scene(6)).write_bytes(b"no image")
    keep(kept, 7, scene(7))
    summary = collect(kept, tmp_path / "out")
    assert summary.added == {"door/2026-11-22": 1}
    assert len(summary.skipped) == 6 and "'../../etc'" in summary.skipped[0]
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "out"}
    with pytest.raises(DataError, match="nowhere is not a folder"):
        collect(tmp_path / "nowhere", tmp_path / "out")
