"""Whether the time of day can be believed. A Raspberry Pi has no battery for its clock: it starts in the past, and
jumps when the network tells it the time. Durations never use this clock."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.system.paths import ROOT

CACHE_SECONDS = 10.0  # seconds for which an answer is good
MIN_STEP_SECONDS = (
    0.5  # seconds; a clock that is led back to the right time gently moves less than this in a quarter of an hour
)
STA_UNSYNC = 0x40  # STA_UNSYNC of <sys/timex.h>


class _Timex(ctypes.Structure):
    """The beginning of `struct timex`, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def kernel_synced() -> bool | None:
    """Whether the kernel holds its clock for synchronized, by any daemon; None where it may not be asked."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex(modes=0)  # read only: needs no right
    return None if adjtimex(ctypes.byref(timex)) < 0 else not timex.status & STA_UNSYNC


def timesyncd_synced(root: Path = ROOT) -> bool | None:
    """True when systemd-timesyncd has set the clock since boot; None where nobody knows."""
    return True if (root / "run/systemd/timesync/synchronized").exists() else None


class ClockSync:
    """Whether the clock was set by the network: True, False, or None where nobody knows."""

    def __init__(
        self,
        kernel: Callable[[], bool | None] = kernel_synced,
        root: Path = ROOT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kernel, self.root, self.now = kernel, root, now
        self.checked_at: float | None = None
        self.cached: bool | None = None

    def __call__(self) -> bool | None:
        """Cheap: asks once in 10 seconds."""
        now = self.now()
        if self.checked_at is None or now - self.checked_at >= CACHE_SECONDS:
            self.checked_at = now
            known = self.kernel()
            self.cached = known or timesyncd_synced(self.root) or known
        return self.cached


def boottime() -> float:
    """Seconds since boot, those asleep with them: this clock is never set, and time.monotonic() misses a suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockStepDetector:
    """Notices that somebody set the clock."""

    def __init__(self, wall: Callable[[], float] = time.time, boottime: Callable[[], float] = boottime) -> None:
        self.wall, self.boottime = wall, boottime
        self.offset = self._offset()

    def poll(self) -> float | None:
        """Seconds by which the clock was set since the last call, forward positive; None where it was not."""
        before, now = self.offset, self._offset()
        if now is None:
            return None
        self.offset = now
        return now - before if before is not None and abs(now - before) >= MIN_STEP_SECONDS else None

    def _offset(self) -> float | None:
        """Between the two clocks; None when this process was held up between reading one and the other."""
        before = self.boottime()
        wall = self.wall()
        after = self.boottime()
        return wall - before if after - before < MIN_STEP_SECONDS / 10 else None


clock_synced = ClockSync()  # of this machine, for all who ask
