"""A live camera: the newest frame only, and a watch over what gives it.

A thread puts frames into a slot that holds one: a slow reader costs frames, never a growing lag. Everything else is
done by whoever asks for a frame: it sees when frames are late, frozen or missing, tells it once, and opens the camera
again, later and later. It never waits for the camera itself.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

from pocketsight.device.camera.base import POLL_INTERVAL, Camera, Frame
from pocketsight.device.camera.capture_thread import CameraSource, CaptureThread, RawFrame
from pocketsight.device.camera.freeze import FreezeDetector
from pocketsight.device.errors import CameraError
from pocketsight.device.faults import FaultReporter, ignore_fault

LOST, STALLED, FROZEN, SIZE_CHANGED = "camera lost", "camera late", "camera frozen", "camera size"


@dataclass(frozen=True)
class ReconnectConfig:
    """Seconds, but for `hung`."""

    frame_timeout: float = 10.0  # without a frame, after which a camera counts as gone
    open_timeout: float = 30.0  # that an opening may take; it may have to wait for a name server
    first_delay: float = 0.5  # before the first reopening; doubles with each in vain
    max_delay: float = 30.0  # between two reopenings; and without a fault, after which they begin again at `pause`
    release_timeout: float = 5.0  # that a thread left alone has to let go of the device, before the next opening
    max_hung_threads: int = 3  # threads left alone that may hang, and reopenings in vain while one does


DEFAULT_RECONNECT_CONFIG = ReconnectConfig()


class LiveCamera(Camera):
    """Opens `source` at once. Raises CameraError when it cannot be opened.

    What goes wrong later raises CameraError, or with `patient` is told and mended. Even then it is raised when
    threads hang in a driver, since only the end of the process frees their device. Closed by `close` or `with`.
    """

    live = True

    def __init__(
        self,
        source: CameraSource,
        stop: threading.Event,
        report_fault: FaultReporter = ignore_fault,
        reconnect: bool = False,
        config: ReconnectConfig | None = None,
    ) -> None:
        super().__init__(iter(()), source.name)
        self.source, self.stop, self.report_fault, self.reconnect = source, stop, report_fault, reconnect
        self.config = config or DEFAULT_RECONNECT_CONFIG
        self.condition = threading.Condition()
        self.latest_frame: Frame | None = None
        self.frames_received, self.frame_shape = 0, (0, 0)
        self.freeze_detector = FreezeDetector()
        self.accepted_sample = b""  # the sample of a picture that may stay the same
        self.active_fault: tuple[str, float] | None = None  # which, and since when
        self.last_recovery = time.monotonic()  # when the last fault was over
        self.reopen_attempts, self.next_reopen = 0, 0.0  # reopenings since all was well, and when the next one is due
        self.abandoned: list[CaptureThread] = []  # threads left alone
        self.failed_reopens = 0  # reopenings without a frame while one of them hung
        self.thread: CaptureThread | None = self._start_thread()
        self._wait_until_open(self.thread)

    def __enter__(self) -> LiveCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the device. A driver that hangs is not waited for."""
        reader, self.thread = self.thread, None
        if reader:
            reader.stop.set()
            reader.join(timeout=0.5)

    def read(self, timeout: float) -> Frame | None:
        with self.condition:
            self.condition.wait_for(
                lambda: self.latest_frame is not None or (self.thread and self.thread.finished), timeout
            )
            frame, self.latest_frame = self.latest_frame, None
        self.ended = self.stop.is_set()
        if self.ended:
            return None
        if self.thread is None:
            self._reopen()
        elif trouble := self._check_health(self.thread, frame):
            self._on_fault(self.thread, *trouble)
            return None
        if frame is not None:
            self._on_frame(frame)
        return frame

    def wait_for_frame(self, timeout: float) -> bool:
        """Whether a first frame comes in so many seconds. It is not taken."""
        end = time.monotonic() + timeout
        with self.condition:
            while self.latest_frame is None and self.thread and not self.thread.finished and not self.stop.is_set():
                if time.monotonic() >= end:
                    break
                self.condition.wait(POLL_INTERVAL)
            return self.latest_frame is not None

    # In the camera's thread.

    def _on_raw_frame(self, thread: CaptureThread, raw: RawFrame) -> bool:
        now = time.monotonic()
        born = now if raw.captured_monotonic is None else raw.captured_monotonic
        with self.condition:
            if thread is not self.thread:  # left alone
                return False
            same = self.reconnect and self.freeze_detector.update(raw.image, raw.captured_monotonic, now)
            if not (same and self._has_fault(FROZEN)):  # a picture known to be old is none
                self.stamped = raw.captured_monotonic is not None
                self.dropped += self.latest_frame is not None and self.counts_drops
                self.latest_frame = Frame(
                    raw.image, self.frames_received, time.time() - (now - born), captured_monotonic=born
                )
                self.frames_received += 1
                self.condition.notify_all()
        return same

    def _notify(self) -> None:
        with self.condition:
            self.condition.notify_all()

    # In the thread of whoever asks for frames.

    def _start_thread(self) -> CaptureThread:
        reader = CaptureThread(self.source, self._on_raw_frame, self._notify)
        self.thread = reader  # before it runs: it may give a frame at once
        reader.start()
        return reader

    def _wait_until_open(self, thread: CaptureThread) -> None:
        end = time.monotonic() + self.config.open_timeout
        while not (thread.device or thread.finished or self.stop.is_set()):
            if time.monotonic() > end:
                thread.stop.set()
                raise CameraError(
                    f"{self.name} did not open in {self.config.open_timeout:.0f} s; does it work elsewhere?"
                )
            with self.condition:
                self.condition.wait_for(lambda: thread.device or thread.finished, POLL_INTERVAL)
        if thread.device is None and thread.failure is not None:
            if isinstance(thread.failure, CameraError):
                raise thread.failure
            raise CameraError(f"{self.name} cannot be opened ({thread.failure})") from thread.failure
        if thread.device and thread.device.fps:
            self.fps = thread.device.fps

    def _check_health(self, thread: CaptureThread, frame: Frame | None) -> tuple[str, str] | None:
        """A fault's name, and a line that says what is wrong and what to do."""
        silent, nothing = time.monotonic() - thread.last_activity, frame is None and self.latest_frame is None
        if nothing and thread.finished:
            if thread.device is None:
                return LOST, str(thread.failure)
            why = f" ({thread.failure})" if thread.failure else ""
            return LOST, f"{self.name} stopped giving frames after {self.frames_received}{why}; is it still connected?"
        if nothing and thread.device is None and silent > self.config.open_timeout:
            return LOST, f"{self.name} does not open; is it still connected?"
        if nothing and thread.device is not None and silent > self.config.frame_timeout:
            return (
                STALLED,
                f"{self.name} gave no frame for {self.config.frame_timeout:.0f} s; unplug it and plug it in again",
            )
        if thread.device is not None and self._is_frozen(thread):
            line = f"{self.name} gave the same picture for {thread.last_activity - self.freeze_detector.unchanged_since:.0f} s"
            return FROZEN, f"{line}; unplug it and plug it in again"
        return None

    def _is_frozen(self, thread: CaptureThread) -> bool:
        still = self.freeze_detector
        if still.repeats < 3 or still.sample == self.accepted_sample:
            return False
        if self._has_fault(FROZEN) and (
            not self.source.has_sensor_noise or still.is_flat()
        ):  # and it was opened again since
            self.accepted_sample = still.sample
            self._clear_fault("the picture is the same after reopening, and is taken as it is")
            return False
        return thread.last_activity - still.unchanged_since > self.source.freeze_timeout

    def _on_fault(self, thread: CaptureThread, fault: str, detail: str) -> None:
        if not self.reconnect:
            raise CameraError(detail) from thread.failure
        now = time.monotonic()
        if self.active_fault is None:
            if now - self.last_recovery > self.config.max_delay:
                self.reopen_attempts = 0
            self.active_fault = fault, now
            self.report_fault(fault, True, detail)
        thread.stop.set()
        self.abandoned.append(thread)
        with self.condition:
            self.thread = self.latest_frame = None
        pause = min(self.config.max_delay, self.config.first_delay * 2 ** min(self.reopen_attempts, 10))
        self.reopen_attempts += 1
        self.next_reopen = now + pause * random.uniform(
            0.75, 1.25
        )  # so that many boards do not call one server at once

    def _reopen(self) -> None:
        now = time.monotonic()
        self.abandoned = [reader for reader in self.abandoned if reader.is_alive()]
        if now < self.next_reopen + (self.config.release_timeout if self.abandoned else 0):
            return
        self.failed_reopens = self.failed_reopens + 1 if self.abandoned else 0
        if max(self.failed_reopens, len(self.abandoned)) > self.config.max_hung_threads:
            cure = "only a new start of this program frees the device"
            raise CameraError(
                f"{self.name} hangs in its driver ({len(self.abandoned)} times) and does not recover; {cure}"
            )
        self.freeze_detector.reset(now)
        self._start_thread()

    def _on_frame(self, frame: Frame) -> None:
        self.failed_reopens = 0
        if self.active_fault:
            self._clear_fault(f"{self.name} gives frames again after {time.monotonic() - self.active_fault[1]:.1f} s")
        before, self.frame_shape = self.frame_shape, (frame.image.shape[0], frame.image.shape[1])
        if before != self.frame_shape and before != (0, 0):
            line = f"{self.name} changed from {before[1]}x{before[0]} to {self.frame_shape[1]}x{self.frame_shape[0]} pixels"
            self.report_fault(SIZE_CHANGED, True, line)
            self.report_fault(SIZE_CHANGED, False, "going on with the new size")

    def _has_fault(self, fault: str) -> bool:
        return self.active_fault is not None and self.active_fault[0] == fault

    def _clear_fault(self, detail: str) -> None:
        if self.active_fault:
            what, self.active_fault, self.last_recovery = self.active_fault[0], None, time.monotonic()
            self.report_fault(what, False, detail)
