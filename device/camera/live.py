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

from pocketsight.device.camera.frame import TICK, Camera, Frame, Tell, untold
from pocketsight.device.camera.reader import Reader, Shot, Source
from pocketsight.device.camera.still import Still
from pocketsight.device.errors import CameraError

LOST, LATE, FROZEN, SIZE = "camera lost", "camera late", "camera frozen", "camera size"


@dataclass(frozen=True)
class Limits:
    """Seconds, but for `hung`."""

    late: float = 10.0  # without a frame, after which a camera counts as gone
    opening: float = 30.0  # that an opening may take; it may have to wait for a name server
    pause: float = 0.5  # before the first reopening; doubles with each in vain
    longest: float = 30.0  # between two reopenings; and without a fault, after which they begin again at `pause`
    grace: float = 5.0  # that a thread left alone has to let go of the device, before the next opening
    hung: int = 3  # threads left alone that may hang, and reopenings in vain while one does


LIMITS = Limits()


class LiveCamera(Camera):
    """Opens `source` at once. Raises CameraError when it cannot be opened.

    What goes wrong later raises CameraError, or with `patient` is told and mended. Even then it is raised when
    threads hang in a driver, since only the end of the process frees their device. Closed by `close` or `with`.
    """

    live = True

    def __init__(
        self, source: Source, stop: threading.Event, tell: Tell = untold, patient: bool = False,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        super().__init__(iter(()), source.name)
        self.source, self.stop, self.tell, self.patient = source, stop, tell, patient
        self.limits = limits or LIMITS
        self.ready = threading.Condition()
        self.slot: Frame | None = None
        self.count, self.shape = 0, (0, 0)
        self.still = Still()
        self.accepted = b""  # the sample of a picture that may stay the same
        self.fault: tuple[str, float] | None = None  # which, and since when
        self.well = time.monotonic()  # when the last fault was over
        self.tries, self.due = 0, 0.0  # reopenings since all was well, and when the next one is due
        self.left: list[Reader] = []  # threads left alone
        self.vain = 0  # reopenings without a frame while one of them hung
        self.reader: Reader | None = self._start()
        self._await_opening(self.reader)

    def __enter__(self) -> LiveCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the device. A driver that hangs is not waited for."""
        reader, self.reader = self.reader, None
        if reader:
            reader.leave.set()
            reader.join(timeout=0.5)

    def next(self, timeout: float) -> Frame | None:
        with self.ready:
            self.ready.wait_for(lambda: self.slot is not None or (self.reader and self.reader.over), timeout)
            frame, self.slot = self.slot, None
        self.ended = self.stop.is_set()
        if self.ended:
            return None
        if self.reader is None:
            self._reopen()
        elif trouble := self._trouble(self.reader, frame):
            self._lost(self.reader, *trouble)
            return None
        if frame is not None:
            self._well(frame)
        return frame

    def sees(self, timeout: float) -> bool:
        """Whether a first frame comes in so many seconds. It is not taken."""
        end = time.monotonic() + timeout
        with self.ready:
            while self.slot is None and self.reader and not self.reader.over and not self.stop.is_set():
                if time.monotonic() >= end:
                    break
                self.ready.wait(TICK)
            return self.slot is not None

    # In the camera's thread.

    def _put(self, reader: Reader, shot: Shot) -> bool:
        now = time.monotonic()
        born = now if shot.born is None else shot.born
        with self.ready:
            if reader is not self.reader:  # left alone
                return False
            same = self.patient and self.still.saw(shot.image, shot.born, now)
            if not (same and self._is(FROZEN)):  # a picture known to be old is none
                self.stamped = shot.born is not None
                self.dropped += self.slot is not None and self.counting
                self.slot = Frame(shot.image, self.count, time.time() - (now - born), born=born)
                self.count += 1
                self.ready.notify_all()
        return same

    def _changed(self) -> None:
        with self.ready:
            self.ready.notify_all()

    # In the thread of whoever asks for frames.

    def _start(self) -> Reader:
        reader = Reader(self.source, self._put, self._changed)
        self.reader = reader  # before it runs: it may give a frame at once
        reader.start()
        return reader

    def _await_opening(self, reader: Reader) -> None:
        end = time.monotonic() + self.limits.opening
        while not (reader.device or reader.over or self.stop.is_set()):
            if time.monotonic() > end:
                reader.leave.set()
                raise CameraError(f"{self.name} did not open in {self.limits.opening:.0f} s; does it work elsewhere?")
            with self.ready:
                self.ready.wait_for(lambda: reader.device or reader.over, TICK)
        if reader.device is None and reader.failure is not None:
            if isinstance(reader.failure, CameraError):
                raise reader.failure
            raise CameraError(f"{self.name} cannot be opened ({reader.failure})") from reader.failure
        if reader.device and reader.device.fps:
            self.fps = reader.device.fps

    def _trouble(self, reader: Reader, frame: Frame | None) -> tuple[str, str] | None:
        """A fault's name, and a line that says what is wrong and what to do."""
        silent, nothing = time.monotonic() - reader.heard, frame is None and self.slot is None
        if nothing and reader.over:
            if reader.device is None:
                return LOST, str(reader.failure)
            why = f" ({reader.failure})" if reader.failure else ""
            return LOST, f"{self.name} stopped giving frames after {self.count}{why}; is it still connected?"
        if nothing and reader.device is None and silent > self.limits.opening:
            return LOST, f"{self.name} does not open; is it still connected?"
        if nothing and reader.device is not None and silent > self.limits.late:
            return LATE, f"{self.name} gave no frame for {self.limits.late:.0f} s; unplug it and plug it in again"
        if reader.device is not None and self._frozen(reader):
            line = f"{self.name} gave the same picture for {reader.heard - self.still.since:.0f} s"
            return FROZEN, f"{line}; unplug it and plug it in again"
        return None

    def _frozen(self, reader: Reader) -> bool:
        still = self.still
        if still.times < 3 or still.sample == self.accepted:
            return False
        if self._is(FROZEN) and (not self.source.noisy or still.flat()):  # and it was opened again since
            self.accepted = still.sample
            self._over("the picture is the same after reopening, and is taken as it is")
            return False
        return reader.heard - still.since > self.source.still

    def _lost(self, reader: Reader, what: str, line: str) -> None:
        if not self.patient:
            raise CameraError(line) from reader.failure
        now = time.monotonic()
        if self.fault is None:
            if now - self.well > self.limits.longest:
                self.tries = 0
            self.fault = what, now
            self.tell(what, True, line)
        reader.leave.set()
        self.left.append(reader)
        with self.ready:
            self.reader = self.slot = None
        pause = min(self.limits.longest, self.limits.pause * 2 ** min(self.tries, 10))
        self.tries += 1
        self.due = now + pause * random.uniform(0.75, 1.25)  # so that many boards do not call one server at once

    def _reopen(self) -> None:
        now = time.monotonic()
        self.left = [reader for reader in self.left if reader.is_alive()]
        if now < self.due + (self.limits.grace if self.left else 0):
            return
        self.vain = self.vain + 1 if self.left else 0
        if max(self.vain, len(self.left)) > self.limits.hung:
            cure = "only a new start of this program frees the device"
            raise CameraError(f"{self.name} hangs in its driver ({len(self.left)} times) and does not recover; {cure}")
        self.still.again(now)
        self._start()

    def _well(self, frame: Frame) -> None:
        self.vain = 0
        if self.fault:
            self._over(f"{self.name} gives frames again after {time.monotonic() - self.fault[1]:.1f} s")
        before, self.shape = self.shape, (frame.image.shape[0], frame.image.shape[1])
        if before != self.shape and before != (0, 0):
            line = f"{self.name} changed from {before[1]}x{before[0]} to {self.shape[1]}x{self.shape[0]} pixels"
            self.tell(SIZE, True, line)
            self.tell(SIZE, False, "going on with the new size")

    def _is(self, what: str) -> bool:
        return self.fault is not None and self.fault[0] == what

    def _over(self, detail: str) -> None:
        if self.fault:
            what, self.fault, self.well = self.fault[0], None, time.monotonic()
            self.tell(what, False, detail)
