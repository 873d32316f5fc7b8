"""Cameras of this machine: the Pi's own, by a stand-in for picamera2, and what is listed and tried."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.camera import Frame, open_camera
from pocketsight.device.camera.devices import (
    V4L2_CAPABILITY,
    find_holders,
    list_cameras,
    list_video_devices,
    stable_path,
)
from pocketsight.device.camera.diagnose import diagnose_camera, draw_test_sheet
from pocketsight.device.camera.opencv import monotonic_timestamps
from pocketsight.device.cli.camera import camera as command
from pocketsight.device.errors import CameraError
from tests.support.cameras import stand_in_for_picamera2
from tests.support.processes import running

SIZE = 480, 640


def frames(source: str, stop: threading.Event | None = None) -> list[Frame]:
    with open_camera(source, SIZE, stop or threading.Event()) as camera:
        return list(camera)


def pi(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = "pi", **state: Any) -> tuple[list[Frame], Any]:
    """Five frames of a stand-in for picamera2, and the module."""
    module = stand_in_for_picamera2(folder, monkeypatch, **state)
    stop = threading.Event()
    taken = []
    with open_camera(source, SIZE, stop) as camera:
        for frame in camera:
            taken.append(frame)
            if len(taken) == 5:
                break
    return taken, module


def test_the_pi_camera_gives_red_green_blue_of_the_whole_sensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, module = pi(tmp_path, monkeypatch)
    assert {frame.image.shape for frame in taken} == {(480, 640, 3)}
    red, _, blue = taken[0].image[0, 0]
    assert red == 200 and blue == 40  # the scene is red
    wanted = {"main": {"size": (640, 480), "format": "BGR888"}, "raw": {"size": (1640, 1232)}, "buffer_count": 4}
    assert module.calls == [("open", 0), ("configure", wanted), ("start",), ("stop",), ("close",)]
    assert module.state["held"] == module.state["released"] >= 5  # every buffer went back


def test_a_frame_of_the_pi_is_as_old_as_its_exposure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, _ = pi(tmp_path, monkeypatch)
    now, clock = time.monotonic(), time.time()
    for frame in taken:
        assert 0.05 <= now - frame.captured_monotonic < 5  # the stand-in says 50 ms
        assert now - frame.captured_monotonic == pytest.approx(clock - frame.captured_at, abs=0.05)


def test_a_second_pi_camera_and_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, module = pi(tmp_path, monkeypatch, "pi:1", cameras=2)
    assert module.calls[0] == ("open", 1)
    with pytest.raises(CameraError, match=r"no Pi camera \(list index out of range\); is the ribbon seated"):
        pi(tmp_path, monkeypatch, "pi:1", cameras=1)


def test_a_busy_pi_camera_is_let_go_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = stand_in_for_picamera2(tmp_path, monkeypatch, busy=True)
    with pytest.raises(CameraError, match="Device or resource busy"):
        frames("pi")
    assert [call[0] for call in module.calls] == ["open", "configure", "stop", "close"]


def test_a_pi_camera_without_frames_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = stand_in_for_picamera2(tmp_path, monkeypatch, frames=2)
    with pytest.raises(CameraError, match="stopped giving frames after 2"):
        frames("pi")
    assert module.calls[-1] == ("close",)


def test_auto_takes_the_pi_camera_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, _ = pi(tmp_path, monkeypatch, "auto")
    assert len(taken) == 5


def test_auto_tells_what_it_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_picamera2(tmp_path, monkeypatch, cameras=0)
    with pytest.raises(CameraError, match=r"no camera found \(tried pi: picamera2 finds no camera.*\); a source is"):
        frames("auto")
    stand_in_for_picamera2(tmp_path, monkeypatch, frames=0)
    with pytest.raises(CameraError, match="pi: opens, but gives no frame"):
        frames("auto")


def test_who_holds_a_device_is_named(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    assert find_holders([path]) == []
    code = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, str(path)]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "open\n"
        (holder,) = find_holders([tmp_path / "other", path])
        assert holder.pid == process.pid and str(holder) == f"{holder.name} (pid {process.pid})" and holder.name


def machine(root: Path, monkeypatch: pytest.MonkeyPatch, **drivers: tuple[str, int, int]) -> None:
    """Video devices of a machine: driver, capabilities of the whole, those of the node. The kernel's answer is ours."""
    answers = {}
    for name, (driver, whole, node) in drivers.items():
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev" / name).touch()
        (root / "sys/class/video4linux" / name).mkdir(parents=True)
        (root / "sys/class/video4linux" / name / "name").write_text(f"{driver} camera\n")
        answers[str(root / "dev" / name)] = V4L2_CAPABILITY.pack(driver.encode(), b"", b"", 0, whole, node)

    def ioctl(device: int, request: int, answer: bytearray) -> int:
        assert request == 2154321408
        answer[:] = answers[os.readlink(f"/proc/self/fd/{device}")]
        return 0

    monkeypatch.setattr("fcntl.ioctl", ioctl)


def test_video_devices_are_told_from_those_that_only_look_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = 0x84A00001
    machine(
        tmp_path,
        monkeypatch,
        video0=("uvcvideo", whole, 0x04200001),
        video1=("uvcvideo", whole, 0x04A00000),
        video10=("bcm2835-isp", whole, 0x04200001),
        video2=("old", 0x1, 0),
    )
    found = list_video_devices(tmp_path)
    assert [(one.source, one.is_capture_device) for one in found] == [
        ("0", True),
        ("1", False),
        ("2", True),
        ("10", False),
    ]
    assert found[0].name == "uvcvideo camera" and "pi" in found[3].note
    assert len(list_cameras(tmp_path)) == 4


def test_a_camera_keeps_its_place_when_its_number_changes(tmp_path: Path) -> None:
    devices = plugged(tmp_path, CamA="1-1", CamB="1-2")
    by_id, by_path = tmp_path / "dev/v4l/by-id", tmp_path / "dev/v4l/by-path"
    assert stable_path(devices / "video0", tmp_path) == by_id / "usb-CamA-video-index0"
    assert stable_path(by_path / "1-1", tmp_path) == by_path / "1-1"  # a link that was named is kept
    assert stable_path(devices / "video9", tmp_path) == devices / "video9"


def test_cameras_whose_plugs_were_swapped_come_back_as_themselves(tmp_path: Path) -> None:
    devices = plugged(tmp_path, CamA="1-1", CamB="1-2")
    kept = stable_path(devices / "v4l/by-id/usb-CamA-video-index0", tmp_path)
    also_kept = stable_path(devices / "video0", tmp_path)
    plugged(tmp_path, CamB="1-1", CamA="1-2")
    for path in (kept, also_kept):
        assert (tmp_path / "sys/class/video4linux" / path.resolve().name / "name").read_text() == "CamA"


def test_cameras_with_the_same_id_are_known_by_their_socket(tmp_path: Path) -> None:
    devices = plugged(tmp_path, CamA="1-1", CamB="1-2")
    for number in (0, 1):
        (tmp_path / f"sys/class/video4linux/video{number}/name").write_text("Twin")
    assert stable_path(devices / "video0", tmp_path) == tmp_path / "dev/v4l/by-path/1-1"


def plugged(root: Path, **sockets: str) -> Path:
    """The links and names of USB cameras, by socket, numbered in their order; returns /dev."""
    for folder in ("dev/v4l", "sys/class/video4linux"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for number, (name, socket) in enumerate(sockets.items()):
        (root / f"sys/class/video4linux/video{number}").mkdir(parents=True)
        (root / f"sys/class/video4linux/video{number}/name").write_text(name)
        for kind, link in (("by-id", f"usb-{name}-video-index0"), ("by-path", socket)):
            (root / "dev/v4l" / kind).mkdir(parents=True, exist_ok=True)
            (root / "dev/v4l" / kind / link).symlink_to(f"../../video{number}")
        (root / f"dev/video{number}").touch()
    return root / "dev"


def test_only_the_monotonic_clock_of_a_driver_is_believed() -> None:
    monotonic = monotonic_timestamps(lambda: time.monotonic() - 0.1)
    assert [time.monotonic() - (monotonic() or 0) for _ in range(2)] == pytest.approx([0.1, 0.1], abs=0.05)
    for clock in (time.time, lambda: 0.0, lambda: time.monotonic() + 99):
        assert monotonic_timestamps(clock)() is None


def test_a_list_and_a_test_of_cameras_for_people_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_picamera2(tmp_path, monkeypatch)
    done = CliRunner().invoke(command, ["list"])
    assert done.exit_code == 0 and done.output.startswith("--camera pi    imx219 (Pi camera)")
    devices = json.loads(CliRunner().invoke(command, ["list", "--json"]).output)
    assert list(devices[0]) == ["source", "name", "is_capture_device", "note", "holders"]
    assert devices[0]["source"] == "pi"
    done = CliRunner().invoke(command, ["test", "pi", "--duration", "0.5", "-o", str(tmp_path / "sheet.png")])
    assert done.exit_code == 0 and "since exposure" in done.output, done.output
    done = CliRunner().invoke(command, ["test", "synthetic", "--duration", "1", "--json"])
    trial = json.loads(done.stdout)
    assert {"duration_s", "latency_ms", "has_timestamps", "repeated_frames", "warnings"} < set(trial)
    assert (trial["width"], trial["height"], trial["frozen"], trial["faces"]) == (640, 480, False, 2)


def test_swapped_channels_show_on_the_sheet() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60, :80] = 220, 30, 40
    drawn = draw_test_sheet(image, {})
    assert drawn.shape[1] == 2 * 640  # small pictures are made larger
    assert drawn[100, 100].tolist() == [220, 30, 40] and drawn[100, 740].tolist() == [40, 30, 220]
    assert drawn[490:540, :640].min() < 50 and drawn[490:540, 640:].min() < 50  # words below both


def test_a_camera_that_hangs_at_one_picture_is_told_by_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = stand_in_for_picamera2(tmp_path, monkeypatch)
    monkeypatch.setattr(module.Request, "make_array", lambda self, name: np.full((480, 640, 3), 5, np.uint8))
    trial, _ = diagnose_camera("pi", SIZE, 0.5, None)
    assert trial.frozen and trial.faces is None
    reports = " ".join(trial.warnings())
    assert "every frame is the same" in reports and "dark" in reports
