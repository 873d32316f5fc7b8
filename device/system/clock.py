"""Whether the wall clock is correct.

A Raspberry Pi has no battery for its clock: it boots with a time in the past and jumps when NTP sets it. Durations
never use this clock.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.system.paths import ROOT

# Seconds for which the state is cached.
CACHE_SECONDS = 10.0
# Smaller changes are not reported. NTP that slews the clock moves it by less than this in a quarter of an hour.
MIN_STEP_SECONDS = 0.5
# From <sys/timex.h>.
STA_UNSYNC = 0x40


class _Timex(ctypes.Structure):
    """The first fields of `struct timex`, padded to more than its size."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def kernel_synced() -> bool | None:
    """Whether any daemon synchronizes the clock, according to the kernel; None if it does not say."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex(modes=0)  # reading needs no privileges
    return None if adjtimex(ctypes.byref(timex)) < 0 else not timex.status & STA_UNSYNC


def timesyncd_synced(root: Path = ROOT) -> bool | None:
    """True if systemd-timesyncd has set the clock since boot; None if unknown."""
    return True if (root / "run/systemd/timesync/synchronized").exists() else None


class ClockSync:
    """Call it to learn whether NTP has set the clock: True, False, or None if unknown."""

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
        """The state, at most 10 seconds old."""
        now = self.now()
        if self.checked_at is None or now - self.checked_at >= CACHE_SECONDS:
            self.checked_at = now
            known = self.kernel()
            self.cached = known or timesyncd_synced(self.root) or known
        return self.cached


def boottime() -> float:
    """Seconds since boot, including suspend, which time.monotonic() leaves out. Nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockStepDetector:
    """Detects that the wall clock was set."""

    def __init__(self, wall: Callable[[], float] = time.time, boottime: Callable[[], float] = boottime) -> None:
        self.wall, self.boottime = wall, boottime
        self.offset = self._offset()

    def poll(self) -> float | None:
        """Seconds by which the clock was set since the last call, positive if forward; None if it was not set."""
        before, now = self.offset, self._offset()
        if now is None:
            return None
        self.offset = now
        return now - before if before is not None and abs(now - before) >= MIN_STEP_SECONDS else None

    def _offset(self) -> float | None:
        """Difference of the two clocks; None if the process was interrupted between the two readings."""
        before = self.boottime()
        wall = self.wall()
        after = self.boottime()
        return wall - before if after - before < MIN_STEP_SECONDS / 10 else None


# The clock of this machine.
clock_synced = ClockSync()
