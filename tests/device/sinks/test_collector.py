"""Frames that a run keeps, on a real disk."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.cli.main import main
from pocketsight.device.errors import LogError
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.sinks.collector import Collector
from pocketsight.device.vision.image import read_image
from tests.support.images import save, scene
from tests.support.looping import frame, seen

GENEROUS = 30.0, 10**9
STATUS: Any = SimpleNamespace(run_id="20261122T041500Z-a3f2c5d1", info={"board": "door", "models": {"detector": "d 1"}})


def keep(
    folder: Path, count: int, limits: tuple[float, int] = GENEROUS, blur: bool = False, reports: Any = lambda *_: None
) -> Collector:
    """Keep some unrelated images of one face with a low score."""
    collector = Collector(folder, ["low-score"], limits, blur, STATUS, lambda: {"face": 0.9}, reports)
    for number in range(count):
        collector.add_frame(frame(number), seen(number, source=f"{number}.jpg"))
    collector.close()
    return collector


def test_a_frame_is_kept_with_what_was_found_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "collected"
    keep(folder, 2)
    images, notes = sorted(folder.glob("*.jpg")), sorted(folder.glob("*.json"))
    assert len(images) == len(notes) == 2
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    note = json.loads(notes[0].read_text())
    assert (note["board"], note["reasons"], note["blurred"]) == ("door", ["low-score"], False)
    assert (note["height"], note["width"]) == read_image(images[0]).shape[:2]
    assert [set(face) >= {"box", "score", "object", "label"} for face in note["faces"]] == [True]
    assert np.abs(read_image(images[0]).astype(int) - frame(0)).mean() < 10
    sessions = [parse_session_name(path.name) for path in images]
    assert None not in sessions and sessions[0] != sessions[1]  # unrelated images may be in different splits


def test_frames_of_an_hour_are_one_session(tmp_path: Path) -> None:
    collector = Collector(tmp_path, ["new-place"], GENEROUS, False, STATUS, dict)
    for number, view in enumerate((1, 1, 2, 2)):
        now = 11.0 * number
        collector.add_frame(scene(view), replace(seen(0), captured_monotonic=now, captured_at=1_790_000_000 + now))
    collector.close()
    sessions = [parse_session_name(path.name) for path in tmp_path.glob("*.jpg")]
    assert sessions == ["20260921T140000Z-a3f2"] * 2


def test_faces_are_blurred_on_request(tmp_path: Path) -> None:
    inner = np.s_[160:240, 70:130]
    for blur in (False, True):
        keep(tmp_path / str(blur), 1, blur=blur)
        (path,) = (tmp_path / str(blur)).glob("*.jpg")
        assert bool(np.abs(np.diff(read_image(path)[inner].astype(float), axis=1)).mean() < 8) is blur


def test_the_folder_stays_below_its_size_and_foreign_files_stay(tmp_path: Path) -> None:
    foreign = tmp_path / "20261122T041500Z-a3f2_0001.jpg"  # of `data capture`
    foreign.write_bytes(b"x" * 10**6)
    keep(tmp_path, 3)
    size = sum(path.stat().st_size for path in tmp_path.glob("*_kept.*"))
    keep(tmp_path, 3, (30.0, size))
    assert sum(path.stat().st_size for path in tmp_path.glob("*_kept.*")) <= size
    keep(tmp_path, 0, (1e-9, 10**9))
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_disk_that_fails_is_a_fault_and_a_folder_that_cannot_be_an_error(tmp_path: Path) -> None:
    reports: list[tuple[str, bool, str]] = []
    collector = Collector(
        tmp_path / "a",
        ["low-score"],
        GENEROUS,
        False,
        STATUS,
        lambda: {"face": 0.9},
        lambda *words: reports.append(words),
    )
    (tmp_path / "a").rmdir()
    collector.add_frame(frame(0), seen(0, source="0.jpg"))
    collector.close()
    assert reports[0][:2] == ("collecting failing", True) and "1 frames lost" in reports[0][2]
    (tmp_path / "file").write_text("x")
    with pytest.raises(LogError, match="frames cannot be kept in"):
        keep(tmp_path / "file", 0)


def test_a_run_keeps_frames_only_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    save(tmp_path / "images" / "a.jpg", read_image(EXAMPLE_IMAGE))
    save(tmp_path / "images" / "b.jpg", scene(1))
    (tmp_path / "set.toml").write_text('[collect]\nreasons = "low-score,new-place"\n')
    words = ["run", "--camera", str(tmp_path / "images"), "--detector", "tiny", "--log", str(tmp_path / "log.jsonl")]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert not (tmp_path / "state" / "collected").exists()
    done = CliRunner().invoke(main, [*words, "--config", str(tmp_path / "set.toml")])
    assert done.exit_code == 0, done.output
    notes = [json.loads(path.read_text()) for path in sorted((tmp_path / "state" / "collected").glob("*.json"))]
    assert [note["reasons"][-1] for note in notes] == ["new-place"] * 2
    assert notes[0]["faces"] and notes[0]["models"]["detector"].startswith("detector-tiny")
    wrong = CliRunner().invoke(main, [*words, "--collect", "unsure,all"])
    assert wrong.exit_code == 2 and "'all' is not one of unsure, flapping, low-score, new-place" in wrong.output
