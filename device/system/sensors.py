"""How the machine itself is doing: heat, power, disk. What no one sees on a board without a screen.

Everything is read from files of the kernel, and is None where a machine has no such file. `root` is where those files
stand, so that tests can plant a board.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketsight.device.system.paths import ROOT

if TYPE_CHECKING:  # the doctor reads the board where numpy may be missing
    pass


HOT_CELSIUS = 80.0  # a Raspberry Pi slows down at 80
DISK_LOW_BYTES = 100 * 2**20  # bytes free

# Bits of the Raspberry Pi's firmware; the same 16 higher tell what has happened since boot.
UNDER_VOLTAGE, FREQUENCY_CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
SINCE_BOOT_SHIFT = 16


@dataclass(frozen=True)
class SensorReading:
    """One look at the machine. None: nobody here knows."""

    temperature: float | None = None  # of the processor, degrees Celsius
    throttled: bool | None = None  # slowed down now, by heat or for want of power
    under_voltage: bool | None = None  # now
    since_boot: tuple[bool, bool] | None = None  # throttled, under-voltage
    disk_free: int | None = None  # bytes that we may write where the log is
    emmc_wear: float | None = None  # how much of its life the eMMC has used, 0..1 in tenths; SD cards do not tell


@dataclass(frozen=True)
class BoardInfo:
    """What does not change while it runs."""

    model: str | None
    cores: int
    page_size: int  # bytes


class Sensors:
    """The files to read, found once."""

    def __init__(self, disk: Path | None = None, root: Path = ROOT) -> None:
        self.disk_path = disk
        self.temperature_path = _cpu_thermal_zone(sorted(root.glob("sys/class/thermal/thermal_zone*")))
        self.throttled_path = _first(root.glob("sys/devices/platform/soc*/*firmware/get_throttled"))
        volts = (path for path in root.glob("sys/class/hwmon/hwmon*") if read_kernel_file(path / "name") == "rpi_volt")
        self.undervoltage_path = _first(path / "in0_lcrit_alarm" for path in volts)
        self.life_time_path = _first(sorted(root.glob("sys/block/mmcblk*/device/life_time")))

    def read(self) -> SensorReading:
        """Look now; takes well under a millisecond a file. Never raises."""
        heat, bits, alarm = (
            _read_int(self.temperature_path),
            _read_int(self.throttled_path, 16),
            _read_int(self.undervoltage_path),
        )
        low = None if bits is None and alarm is None else bool((bits or 0) & UNDER_VOLTAGE or alarm)
        return SensorReading(
            temperature=None if heat is None else heat / 1000,
            throttled=None if bits is None else decode_throttled(bits)[0],
            under_voltage=low,
            since_boot=None if bits is None else decode_throttled(bits >> SINCE_BOOT_SHIFT),
            disk_free=None if self.disk_path is None else disk_free(self.disk_path),
            emmc_wear=_read_emmc_wear(self.life_time_path),
        )


def read_sensors(disk: Path | None = None, root: Path = ROOT) -> SensorReading:
    """One look, for those who do not come back; `disk` is a file or folder on the disk that counts."""
    return Sensors(disk, root).read()


def read_board_info(root: Path = ROOT) -> BoardInfo:
    """Model, cores that we may use, and size of a memory page."""
    model = read_kernel_file(root / "proc/device-tree/model")
    return BoardInfo(model or None, len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE"))


def decode_throttled(bits: int) -> tuple[bool, bool]:
    """What the firmware's bits say: throttled, under-voltage. Shift them by SINCE_BOOT for what was since boot."""
    return bool(bits & (FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT)), bool(bits & UNDER_VOLTAGE)


def disk_free(path: Path) -> int | None:
    """Bytes that we may still write on the disk of `path`, which need not be there yet."""
    for place in (path, *path.absolute().parents):
        try:
            disk = os.statvfs(place)
        except OSError:
            continue
        return disk.f_bavail * disk.f_frsize
    return None


def read_kernel_file(path: Path) -> str:
    """What a file of the kernel says, without its end; "" where it says nothing."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpu_thermal_zone(zones: list[Path]) -> Path | None:
    """The zone of the processor, among those of battery, radio and camera."""
    for word in ("cpu", "x86_pkg_temp", "soc"):
        for zone in zones:
            if word in read_kernel_file(zone / "type").lower():
                return zone / "temp"
    return zones[0] / "temp" if zones else None


def _read_emmc_wear(path: Path | None) -> float | None:
    """Of `life_time`: two counts of tenths, of which the worse; 0x00 is unknown, 0x0b is past the end."""
    try:
        tenths = max(int(word, 16) for word in read_kernel_file(path).split()) if path else 0
    except ValueError:
        return None
    return min(tenths, 10) / 10 if tenths else None


def _read_int(path: Path | None, radix: int = 10) -> int | None:
    try:
        return int(read_kernel_file(path), radix) if path else None
    except ValueError:
        return None


def _first(paths: Iterable[Path]) -> Path | None:
    return next(iter(paths), None)
