"""A live camera: it returns the newest frame, monitors the device and reconnects.

A capture thread puts frames into a slot that holds one: a slow reader drops frames instead of falling behind.
The reading thread does the rest: it detects missing, late and frozen frames, reports a fault once, and opens the camera
again with backoff. It never blocks on the device.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from pocketsight.device.camera.base import POLL_INTERVAL, Camera, Frame
from pocketsight.device.camera.capture_thread import CameraSource, CaptureThread, RawFrame
from pocketsight.device.camera.freeze_detector import FreezeDetector, level_range
from pocketsight.device.errors import CameraError
from pocketsight.device.faults import FaultReporter, ignore_fault
from pocketsight.device.system.backoff import Backoff

logger = logging.getLogger(__name__)

LOST, STALLED, FROZEN, SIZE_CHANGED = "camera lost", "camera stalled", "camera frozen", "camera size changed"
UNREADABLE = "camera unreadable"
RECONNECT_JITTER = 0.75, 1.25  # so that many boards do not call one server at the same moment


@dataclass(frozen=True)
class ReconnectConfig:
    """When a camera counts as failed, and when it is opened again. Times are in seconds."""

    frame_timeout: float = 10.0  # without a frame, after which a camera counts as stalled
    open_timeout: float = 30.0  # for opening, which may include a name server
    first_delay: float = 0.5  # before the first reopening; doubles with each failure
    max_delay: float = 30.0  # between two reopenings; after as long without a fault the delay starts again
    release_timeout: float = 5.0  # for an abandoned thread to release the device before the next reopening
    max_hung_threads: int = 3  # abandoned threads that hang, and failed reopenings while one hangs


DEFAULT_RECONNECT_CONFIG = ReconnectConfig()


class LiveCamera(Camera):
    """Opens `source` when it is created. Raises CameraError when it cannot be opened.

    Later failures raise CameraError, or with `reconnect` are reported and the camera is opened again. Even then
    CameraError is raised when threads hang in a driver, because only the end of the process releases their device.
    Close it with `close` or a `with` statement.
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
        self.open_timeout = max(self.config.open_timeout, source.open_timeout)
        self.condition = threading.Condition()
        self.latest_frame: Frame | None = None
        self.frames_received, self.frame_shape = 0, (0, 0)
        self.freeze_detector = FreezeDetector()
        self.accepted_sample = b""  # sample of an image that may stay the same
        self.active_fault: tuple[str, float] | None = None  # its name, and when it began
        self.last_recovery = time.monotonic()
        first, longest = self.config.first_delay, self.config.max_delay
        self.damaged_since: tuple[float, str] | None = None  # since when no frame could be decoded, and why
        self.has_shown_anything = False  # whether any image was more than one color
        self.turn = source.turn
        self.backoff = Backoff(first, longest, RECONNECT_JITTER, stable_after=longest)
        self.next_reopen = 0.0  # monotonic seconds
        self.abandoned: list[CaptureThread] = []  # threads that may hang
        self.failed_reopens = 0  # in a row, while an abandoned thread hung
        self.thread: CaptureThread | None = self._start_thread()
        self._wait_until_open(self.thread)

    def __enter__(self) -> LiveCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the device. Does not wait for a driver that hangs."""
        thread, self.thread = self.thread, None
        if thread:
            thread.stop.set()
            thread.join(timeout=0.5)

    def read(self, timeout: float) -> Frame | None:
        with self.condition:
            self.condition.wait_for(
                lambda: self.latest_frame is not None or (self.thread and self.thread.finished), timeout
            )
            frame, self.latest_frame = self.latest_frame, None
        frame = frame and self._decode(frame)
        self.ended = self.stop.is_set()
        if self.ended:
            return None
        if self.thread is None:
            self._reopen()
        elif fault := self._check_health(self.thread, frame):
            self._on_fault(self.thread, *fault)
            return None
        if frame is not None:
            self._on_frame(frame)
        return frame and frame.turned(self.turn)

    def _decode(self, frame: Frame) -> Frame | None:
        """The frame, decoded as its reader needs it; None where it is damaged."""
        try:
            frame.reduced(self.choose_reduction(self.turn.size(frame.size)) if self.choose_reduction else 1)
        except CameraError as error:
            self.damaged_since = self.damaged_since or (time.monotonic(), str(error))
            return None
        self.damaged_since = None
        if not self.has_shown_anything and not self.source.has_sensor_noise:
            self.has_shown_anything = level_range(frame.content) > 0
        return frame

    def wait_for_frame(self, timeout: float) -> bool:
        """Whether a frame arrives within `timeout` seconds. `read` returns it later."""
        end = time.monotonic() + timeout
        with self.condition:
            while self.latest_frame is None and self.thread and not self.thread.finished and not self.stop.is_set():
                if time.monotonic() >= end:
                    break
                self.condition.wait(POLL_INTERVAL)
            return self.latest_frame is not None

    # Called in the capture thread.

    def _on_raw_frame(self, thread: CaptureThread, raw: RawFrame) -> bool:
        now = time.monotonic()
        captured = now if raw.captured_monotonic is None else raw.captured_monotonic
        with self.condition:
            if thread is not self.thread:  # abandoned
                return False
            repeated = self.reconnect and self.freeze_detector.update(raw.content, raw.captured_monotonic, now)
            if not (repeated and self._has_fault(FROZEN)):  # old images of a frozen camera are not passed on
                self.has_timestamps = raw.captured_monotonic is not None
                self.dropped += self.latest_frame is not None and self.counts_drops
                captured_at = time.time() - (now - captured)
                self.latest_frame = Frame(
                    raw.content, self.frames_received, captured_at, captured_monotonic=captured, sensor=raw.sensor
                )
                self.frames_received += 1
                self.condition.notify_all()
        return repeated

    def _notify(self) -> None:
        with self.condition:
            self.condition.notify_all()

    # Called in the reading thread.

    def _start_thread(self) -> CaptureThread:
        thread = CaptureThread(self.source, self._on_raw_frame, self._notify)
        self.thread = thread  # before it runs: it may give a frame at once
        thread.start()
        return thread

    def _wait_until_open(self, thread: CaptureThread) -> None:
        end = time.monotonic() + self.open_timeout
        while not (thread.device or thread.finished or self.stop.is_set()):
            if time.monotonic() > end:
                thread.stop.set()
                timeout = f"{self.open_timeout:.0f} s"
                raise CameraError(f"{self.name} did not open in {timeout}; does it work in another program?")
            with self.condition:
                self.condition.wait_for(lambda: thread.device or thread.finished, POLL_INTERVAL)
        if thread.device is None and thread.failure is not None:
            if isinstance(thread.failure, CameraError):
                raise thread.failure
            raise CameraError(f"{self.name} cannot be opened ({thread.failure})") from thread.failure
        if thread.device and thread.device.fps:
            self.fps = thread.device.fps

    def _check_health(self, thread: CaptureThread, frame: Frame | None) -> tuple[str, str] | None:
        """The name of a fault, and one line with the problem and a hint; None if there is no fault."""
        name, silence = self.name, time.monotonic() - thread.last_activity
        if frame is None and self.latest_frame is None:
            if thread.finished and thread.device is None:
                return LOST, str(thread.failure)
            if thread.finished:
                reason = f" ({thread.failure})" if thread.failure else ""
                line = f"{name} stopped giving frames after {self.frames_received}{reason}"
                return LOST, f"{line}; is it still connected?"
            if thread.device is None and silence > self.open_timeout:
                return LOST, f"{name} does not open; is it still connected?"
            if thread.device is not None and silence > self.config.frame_timeout:
                timeout = f"{self.config.frame_timeout:.0f} s"
                return STALLED, f"{name} gave no frame for {timeout}; unplug it and plug it in again"
        if self.damaged_since and time.monotonic() - self.damaged_since[0] > self.config.frame_timeout:
            return UNREADABLE, f"{name}: {self.damaged_since[1]}, for {self.config.frame_timeout:.0f} s"
        if thread.device is not None and self._is_frozen(thread):
            unchanged = thread.last_activity - self.freeze_detector.unchanged_since
            return FROZEN, f"{name} gave the same image for {unchanged:.0f} s; unplug it and plug it in again"
        return None

    def _is_frozen(self, thread: CaptureThread) -> bool:
        freeze = self.freeze_detector
        if freeze.repeats < 3 or freeze.sample == self.accepted_sample:
            return False
        # Reopening did not change the image, and it may be right: then it counts as accepted.
        if self._has_fault(FROZEN) and self._may_be_still():
            self.accepted_sample = freeze.sample
            self._clear_fault("the image is the same after reopening, and is accepted")
            return False
        return thread.last_activity - freeze.unchanged_since > self.source.freeze_timeout

    def _may_be_still(self) -> bool:
        """Whether the image may rightly stay the same: the lens is covered, or a server sends a still image.

        A decoder of the network that fails gives one color from its first frame on.
        """
        return self.freeze_detector.is_flat() if self.source.has_sensor_noise else self.has_shown_anything

    def _on_fault(self, thread: CaptureThread, fault: str, detail: str) -> None:
        if not self.reconnect:
            raise CameraError(detail) from thread.failure
        now = time.monotonic()
        if self.active_fault is None:
            self.backoff.succeeded(now - self.last_recovery)
            self.active_fault = fault, now
            self.report_fault(fault, True, detail)
        thread.stop.set()
        self.abandoned.append(thread)
        with self.condition:
            self.thread = self.latest_frame = None
            self.damaged_since = None
        self.next_reopen = now + self.backoff.next_delay()

    def _reopen(self) -> None:
        now = time.monotonic()
        self.abandoned = [thread for thread in self.abandoned if thread.is_alive()]
        if now < self.next_reopen + (self.config.release_timeout if self.abandoned else 0):
            return
        self.failed_reopens = self.failed_reopens + 1 if self.abandoned else 0
        if max(self.failed_reopens, len(self.abandoned)) > self.config.max_hung_threads:
            line = f"{self.name} hangs in its driver ({len(self.abandoned)} times) and does not recover"
            raise CameraError(f"{line}; restart this program to release the device")
        logger.info("%s: reconnecting, attempt %d", self.name, self.backoff.failures)
        self.freeze_detector.reset(now)
        self._start_thread()

    def _on_frame(self, frame: Frame) -> None:
        self.failed_reopens = 0
        if self.active_fault:
            self._clear_fault(f"{self.name} gives frames again after {time.monotonic() - self.active_fault[1]:.1f} s")
        before, self.frame_shape = self.frame_shape, frame.size
        if before != self.frame_shape and before != (0, 0):
            (height, width), (new_height, new_width) = before, self.frame_shape
            line = f"{self.name} changed from {width}x{height} to {new_width}x{new_height} pixels"
            self.report_fault(SIZE_CHANGED, True, line)
            self.report_fault(SIZE_CHANGED, False, "continuing with the new size")

    def _has_fault(self, fault: str) -> bool:
        return self.active_fault is not None and self.active_fault[0] == fault

    def _clear_fault(self, detail: str) -> None:
        if self.active_fault:
            fault, self.active_fault, self.last_recovery = self.active_fault[0], None, time.monotonic()
            self.report_fault(fault, False, detail)
