"""Cameras that go and come back: real servers that are killed, and the real run."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.camera import open_camera
from pocketsight.device.camera.live import LiveCamera
from tests.support.cameras import PICAMERA2, RTSP, FaultRecorder, free_port, mjpeg_server, rtsp_server, take
from tests.support.processes import running, until

SIZE = 480, 640
MODES = {  # modes of the stand-in for picamera2, and the fault of each
    "stale": "camera frozen",
    "nothing": "camera lost",
    "blocks": "camera stalled",
    "gone": "camera lost",
}


def some(frames: list[Any]) -> bool:
    return len(frames) >= 5


def served(address: Callable[[int], Any], seconds: float) -> FaultRecorder:
    """Kill the server of a camera that is watched over, start it again after so many seconds; frames must resume."""
    port, reports = free_port(), FaultRecorder()
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        url = server.enter_context(address(port))
        camera = stack.enter_context(open_camera(url, SIZE, threading.Event(), reports, reconnect=True))
        assert isinstance(camera, LiveCamera)
        first = take(camera, some)
        server.close()
        take(camera, lambda frames: reports.faults == [("camera lost", True)])
        end = time.monotonic() + seconds
        assert take(camera, lambda frames: time.monotonic() > end) == []
        server.enter_context(address(port))
        later = take(camera, some, seconds=40)
        assert later[0].index > first[-1].index and later[0].image.shape == first[0].image.shape
    return reports


def test_an_mjpeg_server_that_is_killed_and_started_again() -> None:
    reports = served(mjpeg_server, 2)
    assert reports.faults == [("camera lost", True), ("camera lost", False)]


@pytest.mark.debian("gst-launch-1.0")
def test_an_rtsp_server_that_is_killed_and_started_again() -> None:
    if subprocess.run(["/usr/bin/python3", "-c", RTSP.partition("server =")[0]], capture_output=True).returncode:
        pytest.skip("needs Debian's RTSP server: sudo apt install gir1.2-gst-rtsp-server-1.0 python3-gi")
    reports = served(rtsp_server, 2)
    assert reports.faults == [("camera lost", True), ("camera lost", False)]


RUN = (  # pocketsight run with little patience
    "from pocketsight.device.camera import live, picamera2; from pocketsight.device.cli.main import main\n"
    "live.DEFAULT_RECONNECT_CONFIG = live.ReconnectConfig(frame_timeout=1.0, open_timeout=2.0, first_delay=0.05,"
    " max_delay=0.5, release_timeout=0.2); picamera2.FREEZE_TIMEOUT = 0.5; main()"
)


def test_a_run_lives_through_all_of_it(tmp_path: Path) -> None:
    """The real process, with a stand-in for picamera2 that does what we tell it."""
    log, state = tmp_path / "log.jsonl", tmp_path / "mode"
    (tmp_path / "picamera2.py").write_text(PICAMERA2)
    state.write_text("well")
    words = [sys.executable, "-c", RUN, "run", "--camera", "pi", "--log", str(log), "--log-level", "frames"]
    search_path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search_path}

    def entries() -> list[dict[str, Any]]:
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        return [json.loads(line) for line in lines]

    def faults() -> list[tuple[str, bool]]:
        reports = [(entry["event"], entry["active"]) for entry in entries() if entry["kind"] == "fault"]
        return [fault for fault in reports if fault[0].startswith("camera")]

    def goes_on(before: int) -> bool:
        return len(entries()) > before + 3

    with running(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until(partial(goes_on, 0), 30)
        expected: list[tuple[str, bool]] = []
        for mode, what in MODES.items():
            state.write_text(mode)
            expected.append((what, True))
            until(lambda: len(faults()) == len(expected))
            state.write_text("well")
            expected.append((what, False))
            until(lambda: len(faults()) == len(expected))
            until(partial(goes_on, len(entries())))
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert process.stderr and "Traceback" not in process.stderr.read()
    assert faults() == expected  # each reported once
