"""Pictures of faces that appear, on a real disk."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.errors import LogError
from pocketsight.device.results import FaceResult, FrameResult, LogEntry
from pocketsight.device.sinks.snapshots import MAX_PENDING, Snapshots
from pocketsight.device.vision.image import Image, read_image
from tests.support.looping import boxes, frame, seen
from tests.support.processes import until

GENEROUS = 10**9


def appeared(track: int, number: int = 1, second: int = 2) -> LogEntry:
    return {
        "v": 2,
        "kind": "face",
        "event": "appeared",
        "id": f"20261122T041500Z-a3f2-{number}",
        "track_id": track,
        "time": f"2026-11-22T04:15:{second:02}.250+00:00",
        "label": "unsure",
    }


def grey(level: int) -> Image:
    return np.full((480, 640, 3), level, np.uint8)


def scored(score: float) -> FrameResult:
    old = seen(0)
    return FrameResult(
        old.captured_at,
        old.captured_monotonic,
        0,
        None,
        [FaceResult(boxes(1)[0], score, old.faces[0].classification, 1)],
        {},
    )


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"))


def test_a_face_that_appears_gets_a_picture_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "seen" / "faces"
    snapshots = Snapshots(folder, 7, GENEROUS, False)
    before = os.umask(0)
    try:
        snapshots.add_event(appeared(1), frame(0), seen(0))
        snapshots.add_event({**appeared(1), "event": "left"}, frame(1), seen(1))
        snapshots.add_event({"kind": "fault", "event": "appeared", "id": "x"}, frame(1), seen(1))
        snapshots.close()
    finally:
        os.umask(before)
    assert [path.name for path in folder.iterdir()] == ["20261122T041502.250Z_20261122T041500Z-a3f2-1.jpg"]
    assert stat.S_IMODE(pictures(folder)[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert np.abs(read_image(pictures(folder)[0]).astype(int) - frame(0)).mean() < 12
    assert not snapshots.thread.is_alive()


def test_the_best_frame_of_the_first_second_is_kept(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, 7, GENEROUS, False)
    snapshots.add_event(appeared(1), grey(10), scored(0.5))
    for level, score in ((50, 0.6), (100, 0.9), (150, 0.8)):
        snapshots.add_frame(grey(level), scored(score))
    assert not pictures(tmp_path)
    until(lambda: len(pictures(tmp_path)) == 1)
    snapshots.add_frame(grey(250), scored(1.0))
    snapshots.close()
    assert round(float(read_image(pictures(tmp_path)[0]).mean())) == 100


def test_faces_in_snapshots_are_blurred_on_request(tmp_path: Path) -> None:
    inner = np.s_[160:240, 70:130]
    for blur in (False, True):
        snapshots = Snapshots(tmp_path / str(blur), 7, GENEROUS, blur)
        snapshots.add_frame(frame(0), seen(0))
        snapshots.add_event(appeared(1), frame(0), seen(0, 0))  # the detector missed it just then
        snapshots.close()
        part = read_image(pictures(tmp_path / str(blur))[0])[inner].astype(float)
        assert bool(np.abs(np.diff(part, axis=1)).mean() < 8) is blur


def test_old_pictures_and_too_many_are_deleted_and_nothing_else_is(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, 7, GENEROUS, False)
    for number in range(6):
        snapshots.add_event(appeared(number, number, second=number), frame(number), seen(number))
    snapshots.close()
    made = pictures(tmp_path)
    foreign = [tmp_path / name for name in ("holiday.jpg", "20261122T041502.250Z.jpg", "notes.txt", ".hidden.part")]
    for path in foreign:
        path.write_bytes(b"x" * 5_000_000)
    torn = tmp_path / f".{made[0].name}.part"
    torn.write_bytes(b"half")
    eight_days = time.time() - 8 * 86400
    for path in [*made[:2], foreign[0]]:
        os.utime(path, (eight_days, eight_days))
    size = made[0].stat().st_size
    Snapshots(tmp_path, 7, GENEROUS, False).close()
    assert pictures(tmp_path) == sorted([*made[2:], *foreign[:2]])
    assert not torn.exists()
    again = Snapshots(tmp_path, 7, round(3.5 * size), False)
    again.add_event(appeared(9, 9, second=30), frame(9), seen(9))
    again.close()
    last = Snapshots(tmp_path, 7, round(3.5 * size), False)
    last.close()
    ours = [path for path in pictures(tmp_path) if path not in foreign]
    assert [path.name[13:15] for path in ours] == ["04", "05", "30"]
    assert all(path.exists() for path in foreign)


def test_more_faces_than_the_disk_can_take_are_counted_not_waited_for(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, 7, GENEROUS, False)
    for number in range(MAX_PENDING + 5):
        snapshots.add_event(appeared(number, number), frame(0), seen(0))
    snapshots.close()
    assert snapshots.lost == 5
    assert len(pictures(tmp_path)) == MAX_PENDING


def test_a_disk_that_fails_is_a_fault_that_begins_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    reports: list[tuple[str, bool, str]] = []
    snapshots = Snapshots(folder, 7, GENEROUS, False, lambda *words: reports.append(words))
    folder.rmdir()
    snapshots.add_event(appeared(1), frame(0), seen(0))
    until(lambda: bool(reports))
    assert reports[0][:2] == ("snapshots failing", True)
    folder.mkdir()
    snapshots.add_event(appeared(2, 2), frame(0), seen(0))
    snapshots.close()
    assert reports[-1][:2] == ("snapshots failing", False)
    assert [path.name[-6:] for path in folder.iterdir()] == ["-2.jpg"]


def test_a_folder_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LogError, match="snapshots cannot be kept in"):
            Snapshots(folder, 7, GENEROUS, False)


def test_an_odd_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "in", 7, GENEROUS, False)
    snapshots.add_event({**appeared(1), "id": "../../out\0"}, frame(0), seen(0))
    snapshots.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(pictures(tmp_path / "in")) == 1
    assert cv2.haveImageReader(str(pictures(tmp_path / "in")[0]))
