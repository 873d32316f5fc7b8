"""How the machine itself is doing: heat, power, disk. What no one sees on a board without a screen.

Everything is read from files of the kernel, and is None where a machine has no such file. `root` is where those files
stand, so that tests can plant a board.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.health.clock import synced

if TYPE_CHECKING:  # the doctor reads the board where numpy may be missing
    from pocketsight.device.state import State

Tell = Callable[[str, bool, str], None]  # the fault's name, whether it begins, a line for people

ROOT = Path("/")
HOT, COOLED = 80.0, 75.0  # degrees Celsius: a Raspberry Pi slows down at 80
FULL, ROOM = 100 * 2**20, 120 * 2**20  # bytes free
QUIET = 60.0  # seconds without a sign before throttling or under-voltage counts as over: both come in bursts

# Bits of the Raspberry Pi's firmware; the same 16 higher tell what has happened since boot.
UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
SINCE_BOOT = 16


@dataclass(frozen=True)
class Board:
    """One look at the machine. None: nobody here knows."""

    temperature: float | None = None  # of the processor, degrees Celsius
    throttled: bool | None = None  # slowed down now, by heat or for want of power
    under_voltage: bool | None = None  # now
    since_boot: tuple[bool, bool] | None = None  # throttled, under-voltage
    disk_free: int | None = None  # bytes that we may write where the log is
    worn: float | None = None  # how much of its life the eMMC has used, 0..1 in tenths; SD cards do not tell


@dataclass(frozen=True)
class Machine:
    """What does not change while it runs."""

    model: str | None
    cores: int
    page_size: int  # bytes


class Gauges:
    """The files to read, found once."""

    def __init__(self, disk: Path | None = None, root: Path = ROOT) -> None:
        self.disk = disk
        self.temperature = _processor(sorted(root.glob("sys/class/thermal/thermal_zone*")))
        self.firmware = _first(root.glob("sys/devices/platform/soc*/*firmware/get_throttled"))
        volts = (path for path in root.glob("sys/class/hwmon/hwmon*") if text(path / "name") == "rpi_volt")
        self.volts = _first(path / "in0_lcrit_alarm" for path in volts)
        self.life = _first(sorted(root.glob("sys/block/mmcblk*/device/life_time")))

    def read(self) -> Board:
        """Look now; takes well under a millisecond a file. Never raises."""
        heat, bits, alarm = _number(self.temperature), _number(self.firmware, 16), _number(self.volts)
        low = None if bits is None and alarm is None else bool((bits or 0) & UNDER_VOLTAGE or alarm)
        return Board(
            temperature=None if heat is None else heat / 1000,
            throttled=None if bits is None else meaning(bits)[0],
            under_voltage=low,
            since_boot=None if bits is None else meaning(bits >> SINCE_BOOT),
            disk_free=None if self.disk is None else disk_free(self.disk),
            worn=_worn(self.life),
        )


def read_board(disk: Path | None = None, root: Path = ROOT) -> Board:
    """One look, for those who do not come back; `disk` is a file or folder on the disk that counts."""
    return Gauges(disk, root).read()


def machine(root: Path = ROOT) -> Machine:
    """Model, cores that we may use, and size of a memory page."""
    model = text(root / "proc/device-tree/model")
    return Machine(model or None, len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE"))


def meaning(bits: int) -> tuple[bool, bool]:
    """What the firmware's bits say: throttled, under-voltage. Shift them by SINCE_BOOT for what was since boot."""
    return bool(bits & (CAPPED | THROTTLED | SOFT_LIMIT)), bool(bits & UNDER_VOLTAGE)


def disk_free(path: Path) -> int | None:
    """Bytes that we may still write on the disk of `path`, which need not be there yet."""
    for place in (path, *path.absolute().parents):
        try:
            disk = os.statvfs(place)
        except OSError:
            continue
        return disk.f_bavail * disk.f_frsize
    return None


def text(path: Path) -> str:
    """What a file of the kernel says, without its end; "" where it says nothing."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


class Watcher:
    """Looks at the board now and then: facts for the page, and a fault told when it begins and when it is over."""

    def __init__(
        self, tell: Tell, state: State, read: Callable[[], Board] | None = None,
        synced: Callable[[], bool | None] = synced, now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.tell, self.state, self.synced, self.now = tell, state, synced, now
        self.read = read or Gauges(Path()).read
        self.faults: dict[str, float] = {}  # those that have begun, and when each was last seen

    def look(self) -> None:
        """Read, put facts into the state, tell what began or is over. Takes a few milliseconds; call it every 10 s."""
        now, board = self.now(), self.read()
        self.state.facts |= {
            "temperature": None if board.temperature is None else round(board.temperature, 1),
            "throttled": board.throttled,
            "under_voltage": board.under_voltage,
            "disk_free": board.disk_free,
            "synced": self.synced(),
        }
        self._heat(board, now)
        self._power(board, now)
        self._disk(board, now)

    def _heat(self, board: Board, now: float) -> None:
        heat = board.temperature
        if heat is not None:
            over = heat < COOLED
            self._fault("hot", heat >= HOT, over, f"the processor is at {heat:.0f} °C; --cool 75, or a fan", now)

    def _power(self, board: Board, now: float) -> None:
        slowed = "the board slows itself down, because it is too hot or has too little power"
        weak = "the supply gives too little voltage; use the one made for this board, and a short cable"
        for name, seen, detail in (
            ("throttled", board.throttled, slowed),
            ("under-voltage", board.under_voltage, weak),
        ):
            if seen is not None:
                self._fault(name, seen, now - self.faults.get(name, now) >= QUIET, detail, now)

    def _disk(self, board: Board, now: float) -> None:
        free = board.disk_free
        if free is not None:
            self._fault("disk low", free < FULL, free >= ROOM, f"{free // 2**20} MB are left where the log is", now)

    def _fault(self, name: str, seen: bool, over: bool, detail: str, now: float) -> None:
        """A fault begins when it is seen, and ends when `over` says so and it is not seen any more."""
        begun = name in self.faults
        if seen:
            self.faults[name] = now
            if not begun:
                self.tell(name, True, detail)
        elif begun and over:
            del self.faults[name]
            self.tell(name, False, detail)


def _processor(zones: list[Path]) -> Path | None:
    """The zone of the processor, among those of battery, radio and camera."""
    for word in ("cpu", "x86_pkg_temp", "soc"):
        for zone in zones:
            if word in text(zone / "type").lower():
                return zone / "temp"
    return zones[0] / "temp" if zones else None


def _worn(path: Path | None) -> float | None:
    """Of `life_time`: two counts of tenths, of which the worse; 0x00 is unknown, 0x0b is past the end."""
    try:
        tenths = max(int(word, 16) for word in text(path).split()) if path else 0
    except ValueError:
        return None
    return min(tenths, 10) / 10 if tenths else None


def _number(path: Path | None, radix: int = 10) -> int | None:
    try:
        return int(text(path), radix) if path else None
    except ValueError:
        return None


def _first(paths: Iterable[Path]) -> Path | None:
    return next(iter(paths), None)
