"""Failures of cameras on a wall: each is reported once, and again when it is over. The loop never waits."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.camera import live as live_module
from pocketsight.device.camera import open_camera
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import Image
from tests.support.cameras import QUICK, FaultRecorder, Read, free_port, noise, source, take
from tests.support.cameras import stand_in_for_picamera2 as stand_in

SIZE = 480, 640


def patient(*openings: Callable[[], Read], **options: Any) -> tuple[LiveCamera, FaultRecorder]:
    """A camera with short timeouts, and its faults."""
    reports = FaultRecorder()
    return LiveCamera(source(*openings, **options), threading.Event(), reports, reconnect=True, config=QUICK), reports


def then(read: Read, frames: int, after: Read) -> Read:
    """`read` for so many frames, then `after`."""
    numbers = count()
    return lambda: read() if next(numbers) < frames else after()


def nothing() -> Image | None:
    """A camera that gives nothing, and says so at once."""
    return None


def hang(until: threading.Event) -> Read:
    """A driver that does not come back."""

    def read() -> Image | None:
        until.wait()
        return None

    return read


def some(frames: list[Any]) -> bool:
    return len(frames) >= 5


def frozen() -> Read:
    """A library that hands out its last picture for ever, and at once."""
    picture = noise()()
    return lambda: picture


def test_stale_frames_for_ever_are_one_fault_and_not_passed_on() -> None:
    stale, reads = frozen(), count()

    def counted() -> Image | None:
        next(reads)
        return stale()

    camera, reports = patient(
        lambda: then(noise(), 5, counted), lambda: counted, lambda: counted, noise, freeze_timeout=0.3
    )
    started = time.monotonic()
    with camera:
        take(camera, lambda frames: reports.faults == [("camera frozen", True)])
        later = take(
            camera, lambda frames: len(reports.faults) == 2
        )  # two reopenings in vain, then a camera that works
        assert len(later) == 1  # the frame that ended it
        passed = time.monotonic() - started
        take(camera, some)
    assert reports.faults == [("camera frozen", True), ("camera frozen", False)]
    assert "the same image for" in reports.details[0] and "frames again after" in reports.details[1]
    assert 10 < next(reads) < 250 * passed  # it does not spin, though the library gives its picture at once


def test_a_stamp_that_stands_still_is_a_frozen_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, reports = stand_in(tmp_path, monkeypatch, stamp=time.clock_gettime_ns(time.CLOCK_BOOTTIME)), FaultRecorder()
    monkeypatch.setattr(live_module, "DEFAULT_RECONNECT_CONFIG", QUICK)
    monkeypatch.setattr("pocketsight.device.camera.picamera2.FREEZE_TIMEOUT", 0.3)
    with open_camera("pi", SIZE, threading.Event(), reports, reconnect=True) as camera:
        assert isinstance(camera, LiveCamera)
        take(camera, lambda frames: reports.faults == [("camera frozen", True)])
        module.state["stamp"] = None
        take(camera, lambda frames: len(reports.faults) == 2)
    assert [call[0] for call in module.calls].count("close") == [call[0] for call in module.calls].count("open") >= 2


def test_a_still_picture_of_the_network_is_taken_as_it_is_after_one_reopening() -> None:
    picture, openings = frozen(), count()

    def again() -> Read:
        next(openings)
        return picture

    camera, reports = patient(again, freeze_timeout=0.3, has_sensor_noise=False)
    with camera:
        take(camera, lambda frames: len(reports.faults) == 2)
        assert (
            reports.faults == [("camera frozen", True), ("camera frozen", False)]
            and "is accepted" in reports.details[1]
        )
        end = time.monotonic() + 1
        take(camera, lambda frames: time.monotonic() > end and len(frames) > 3)
    assert len(reports.faults) == 2 and next(openings) == 2


def test_a_covered_lens_is_not_a_camera_that_is_opened_again_all_night() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    camera, reports = patient(lambda: lambda: black, freeze_timeout=0.3)
    with camera:
        take(camera, lambda frames: len(reports.faults) == 2)
        end = time.monotonic() + 1
        take(camera, lambda frames: time.monotonic() > end and len(frames) > 3)
    assert reports.faults == [("camera frozen", True), ("camera frozen", False)]


def test_a_camera_with_noise_is_never_frozen_and_a_drawn_one_may_be() -> None:
    camera, reports = patient(lambda: noise(), freeze_timeout=0.1)
    with camera:
        take(camera, lambda frames: len(frames) > 60)
    assert reports.faults == []
    picture = frozen()
    camera, reports = patient(lambda: picture)  # no limit
    with camera:
        take(camera, lambda frames: len(frames) > 60)
    assert reports.faults == []


def test_a_read_that_gives_nothing_for_ever_is_told_once_and_tried_later_and_later() -> None:
    openings: list[float] = []

    def again() -> Read:
        openings.append(time.monotonic())
        return then(noise(), 3, nothing) if len(openings) == 1 else nothing

    camera, reports = patient(again)
    with camera:
        end = time.monotonic() + 3
        take(camera, lambda frames: time.monotonic() > end)
    assert reports.faults == [("camera lost", True)] and "stopped giving frames after 3" in reports.details[0]
    pauses = np.diff(openings)
    assert 4 <= len(openings) <= 25 and pauses[3:].max() > 0.25


def test_a_read_that_blocks_for_ever_ends_the_run_after_four_threads() -> None:
    never, openings = threading.Event(), count()

    def again() -> Read:
        return then(noise(), 3 if next(openings) == 0 else 0, hang(never))

    camera, reports = patient(again)
    before = threading.active_count()
    with camera, pytest.raises(CameraError, match=r"test hangs in its driver \(4 times\)"):
        take(camera, lambda frames: False)
    assert reports.faults == [("camera stalled", True)] and threading.active_count() == before + 3  # and the first
    never.set()


def test_a_read_that_blocks_while_its_device_cannot_be_opened_again_ends_the_run() -> None:
    """As a driver does: the thread that hangs holds the device."""
    never, openings = threading.Event(), count()

    def again() -> Read:
        if next(openings):
            raise CameraError("busy")
        return then(noise(), 3, hang(never))

    camera, reports = patient(again)
    with camera, pytest.raises(CameraError, match=r"hangs in its driver \(1 times\)"):
        take(camera, lambda frames: False)
    assert reports.faults == [("camera stalled", True)] and next(openings) == 4
    never.set()


def test_a_read_that_comes_back_late_lets_go_and_is_forgotten() -> None:
    slow, openings = threading.Event(), count()

    def again() -> Read:
        return noise() if next(openings) else then(noise(), 3, hang(slow))

    camera, reports = patient(again)
    threads = threading.active_count()
    with camera:
        take(camera, lambda frames: len(reports.faults) == 2)
        slow.set()
        take(camera, some)
        assert threading.active_count() <= threads
    assert reports.faults == [("camera stalled", True), ("camera stalled", False)]


def test_an_opening_that_blocks_is_an_error_at_the_start_and_a_fault_later() -> None:
    never, openings = threading.Event(), count()

    def again() -> Read:
        if next(openings):
            never.wait()
        return then(noise(), 3, nothing)

    camera, reports = patient(again)
    with camera, pytest.raises(CameraError, match="hangs in its driver"):
        take(camera, lambda frames: False)
    assert reports.faults == [("camera lost", True)]
    with pytest.raises(CameraError, match="did not open in 1 s"):
        patient(again)
    never.set()


def test_a_stop_is_heard_while_an_opening_blocks() -> None:
    never, stop = threading.Event(), threading.Event()
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    camera = LiveCamera(source(lambda: (never.wait(), noise())[1]), stop)
    assert camera.read(0.1) is None and camera.ended and time.monotonic() - started < 5
    never.set()
    camera.close()


def test_a_size_that_changes_is_told_and_goes_on() -> None:
    camera, reports = patient(lambda: then(noise((48, 64)), 5, noise((96, 128))))
    with camera:
        frames = take(camera, lambda frames: len(reports.faults) == 2 and len(frames) > 8)
    assert reports.faults == [("camera size changed", True), ("camera size changed", False)]
    assert reports.details[0] == "test changed from 64x48 to 128x96 pixels"
    assert {frame.image.shape for frame in frames} <= {(48, 64, 3), (96, 128, 3)} and not camera.abandoned


def test_a_camera_that_vanishes_and_returns() -> None:
    away, openings = threading.Event(), count()

    def again() -> Read:
        next(openings)
        if away.is_set():
            raise CameraError("no camera 'test'")
        return lambda: None if away.is_set() else steady()

    steady = noise()
    camera, reports = patient(again)
    with camera:
        first = take(camera, some)
        away.set()
        threading.Timer(1.5, away.clear).start()
        started = time.monotonic()
        later = take(camera, lambda frames: len(reports.faults) == 2 and some(frames))
        passed = time.monotonic() - started
        take(camera, lambda frames: time.monotonic() - camera.last_recovery > QUICK.max_delay)
        away.set()
        take(camera, lambda frames: len(reports.faults) == 3)
        assert camera.backoff.failures == 1  # it was well for a while, so the pauses begin again
    assert reports.faults[:2] == [("camera lost", True), ("camera lost", False)]
    assert reports.details[1].startswith("test gives frames again after ")
    seconds = float(reports.details[1].split()[-2])
    assert 1 < seconds < passed
    numbers = [frame.index for frame in first + later]
    assert numbers == sorted(set(numbers))  # goes on counting


def test_a_camera_that_flaps_is_not_opened_again_without_end() -> None:
    openings = count()

    def again() -> Read:
        next(openings)
        return then(noise(), 1, nothing)

    camera, reports = patient(again)
    with camera:
        end = time.monotonic() + 2.5
        take(camera, lambda frames: time.monotonic() > end)
    assert next(openings) < 20 and len(reports.faults) < 40


def test_without_patience_the_same_faults_are_errors() -> None:
    with (
        LiveCamera(source(lambda: then(noise(), 3, nothing)), threading.Event(), config=QUICK) as camera,
        pytest.raises(CameraError, match="stopped giving frames after 3"),
    ):
        take(camera, lambda frames: False)


def test_a_camera_that_is_not_there_at_the_start_is_an_error_even_with_patience() -> None:
    with pytest.raises(CameraError, match="cannot be opened"), suppress(StopIteration):
        open_camera(f"http://127.0.0.1:{free_port()}/x", SIZE, threading.Event(), reconnect=True).__enter__()
