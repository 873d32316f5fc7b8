"""Sensors of the board: temperature, power supply, free disk space, wear of the eMMC.

Values are read from files of the kernel and are None if a machine has no such file. `root` is the folder of these
files; tests replace it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.system.paths import ROOT

# A Raspberry Pi slows down at this temperature.
HOT_CELSIUS = 80.0
# Free disk space below which the fault "disk low" begins.
DISK_LOW_BYTES = 100 * 2**20

# Bits of get_throttled of the Raspberry Pi firmware. Shifted by 16: the same conditions at any time since boot.
UNDER_VOLTAGE, FREQUENCY_CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
SINCE_BOOT_SHIFT = 16


@dataclass(frozen=True)
class SensorReading:
    """Values at one moment. None: this machine does not report it."""

    temperature: float | None = None  # of the processor, degrees Celsius
    throttled: bool | None = None  # slowed down now, because of heat or a weak supply
    under_voltage: bool | None = None  # now
    since_boot: tuple[bool, bool] | None = None  # throttled, under-voltage
    disk_free: int | None = None  # bytes that this user may write on the disk of the log
    emmc_wear: float | None = None  # used share of its life, 0..1 in tenths; unknown for SD cards


@dataclass(frozen=True)
class BoardInfo:
    """Properties of the board that do not change."""

    model: str | None
    cores: int
    page_size: int  # bytes


class Sensors:
    """Finds the files of the sensors once and reads them many times. `disk` is any path on the disk of the log."""

    def __init__(self, disk: Path | None = None, root: Path = ROOT) -> None:
        self.disk_path = disk
        self.temperature_path = _cpu_thermal_zone(sorted(root.glob("sys/class/thermal/thermal_zone*")))
        self.throttled_path = _first(root.glob("sys/devices/platform/soc*/*firmware/get_throttled"))
        volts = (path for path in root.glob("sys/class/hwmon/hwmon*") if read_kernel_file(path / "name") == "rpi_volt")
        self.undervoltage_path = _first(path / "in0_lcrit_alarm" for path in volts)
        self.life_time_path = _first(sorted(root.glob("sys/block/mmcblk*/device/life_time")))

    def read(self) -> SensorReading:
        """Read all sensors; takes well under a millisecond for each file. Never raises."""
        millidegrees = _read_int(self.temperature_path)
        bits = _read_int(self.throttled_path, 16)
        alarm = _read_int(self.undervoltage_path)
        low = None if bits is None and alarm is None else bool((bits or 0) & UNDER_VOLTAGE or alarm)
        return SensorReading(
            temperature=None if millidegrees is None else millidegrees / 1000,
            throttled=None if bits is None else decode_throttled(bits)[0],
            under_voltage=low,
            since_boot=None if bits is None else decode_throttled(bits >> SINCE_BOOT_SHIFT),
            disk_free=None if self.disk_path is None else disk_free(self.disk_path),
            emmc_wear=_read_emmc_wear(self.life_time_path),
        )


def read_sensors(disk: Path | None = None, root: Path = ROOT) -> SensorReading:
    """Read all sensors once; `disk` is any path on the disk of the log."""
    return Sensors(disk, root).read()


def read_board_info(root: Path = ROOT) -> BoardInfo:
    """Model of the board, cores that this process may use, size of a memory page."""
    model = read_kernel_file(root / "proc/device-tree/model")
    return BoardInfo(model or None, len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE"))


def decode_throttled(bits: int) -> tuple[bool, bool]:
    """Throttled and under-voltage, from the bits of the firmware; shifted by SINCE_BOOT_SHIFT: since boot."""
    return bool(bits & (FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT)), bool(bits & UNDER_VOLTAGE)


def disk_free(path: Path) -> int | None:
    """Bytes that this user may write on the disk of `path`, which need not exist yet; None if unknown."""
    for existing in (path, *path.absolute().parents):
        try:
            disk = os.statvfs(existing)
        except OSError:
            continue
        return disk.f_bavail * disk.f_frsize
    return None


def read_kernel_file(path: Path) -> str:
    """The text of a file of the kernel, stripped; "" if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpu_thermal_zone(zones: list[Path]) -> Path | None:
    """The thermal zone of the processor; others belong to battery, radio or camera."""
    for word in ("cpu", "x86_pkg_temp", "soc"):
        for zone in zones:
            if word in read_kernel_file(zone / "type").lower():
                return zone / "temp"
    return zones[0] / "temp" if zones else None


def _read_emmc_wear(path: Path | None) -> float | None:
    """The worse of the two numbers in `life_time`, in tenths of the life: 0x00 is unknown, 0x0b is exceeded."""
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
