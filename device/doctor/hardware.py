"""Checks of the hardware: cameras, a Coral, temperature and power supply."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pocketsight.device.camera.devices import find_holders, list_camera_names
from pocketsight.device.doctor.known_errors import LIBEDGETPU_FIX, RIBBON_FIX
from pocketsight.device.doctor.report import Finding
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.coral_devices import (
    LIBEDGETPU,
    PLUG_IN_HINT,
    AccessCheck,
    can_access,
    find_access_problem,
    find_corals,
    is_libedgetpu_installed,
)
from pocketsight.device.inference.imx500_file import INSTALL_COMMAND, PACKAGERS, find_packager, package_network
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import (
    HOT_CELSIUS,
    SINCE_BOOT_SHIFT,
    BoardInfo,
    SensorReading,
    decode_throttled,
    read_kernel_file,
)

VCGENCMD_TIMEOUT = 5  # seconds
STANDARD_PAGE_SIZE = 4096  # bytes
POWER_SUPPLY_FIX = "use the supply made for this board and a short, thick cable; unplug devices from its USB ports"


def check_camera(is_pi: bool, root: Path = ROOT) -> Finding:
    """Is there a camera that no other program uses? A Pi camera counts when its driver has found the sensor."""
    cameras = list_camera_names(root)
    if not cameras:
        fix = f"USB: plug it in, then ls /dev/video*{'; ribbon: ' + RIBBON_FIX if is_pi else ''}"
        return Finding("camera", "warn", "no camera is connected; files and streams work without one", fix)
    devices = [*cameras, *sorted(root.glob("dev/media*"))]
    holders = [holder for holder in find_holders(devices, root) if holder.pid != os.getpid()]
    message = ", ".join(f"{path.name} ({name})" for path, name in cameras.items())
    if holders:
        is_ours = all(holder.name.startswith("pocketsight") for holder in holders)
        fix = "stop it before you start another run; the service: sudo systemctl stop pocketsight"
        return Finding("camera", "ok" if is_ours else "warn", f"{message}, used by {', '.join(map(str, holders))}", fix)
    return Finding("camera", "ok", f"{message}, free")


def check_permissions(
    root: Path = ROOT, can_access: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
) -> Finding | None:
    """May this user open the cameras?"""
    heaps = root.glob("dev/dma_heap/*") if any(root.glob("dev/media*")) else ()  # libcamera needs them on a Pi
    paths = [*list_camera_names(root), *sorted(root.glob("dev/media*")), *heaps]
    refused = [path for path in paths if path.exists() and not can_access(path)]
    if not paths:
        return None
    if not refused:
        return Finding("permissions", "ok", "this user may open the cameras")
    device = f"/{refused[0].relative_to(root)}"
    return Finding("permissions", "fail", f"this user may not open {device}", _group_fix(refused[0]))


def _group_fix(path: Path) -> str:
    """How to join the group of a device."""
    group = grp.getgrgid(path.stat().st_gid)
    user = pwd.getpwuid(os.getuid()).pw_name
    if user in group.gr_mem:
        return f"{user} is in the group {group.gr_name}, but not in this session: log out and in again"
    return f"sudo usermod -aG {group.gr_name} {user}, then log out and in again"


def check_coral(
    root: Path = ROOT, can_access: AccessCheck = can_access, compiled: Iterable[Path] = ()
) -> Finding | None:
    """If there is a Coral, or a file in `compiled` is for one: can it be used?

    The Coral is not opened, since a run may be using it.
    """
    corals, has_library = find_corals(root), is_libedgetpu_installed(root)
    if not corals:
        evidence = [path.name for path in compiled if path.exists()] + [LIBEDGETPU] * has_library
        message = f"no Coral is connected, although {evidence[0]} exists; the CPU is used" if evidence else ""
        return Finding("Coral", "warn", message, PLUG_IN_HINT) if evidence else None
    where = f"{len(corals)} connected, " * (len(corals) > 1) + f"Coral on {corals[0].bus}"
    if not has_library:
        return Finding("Coral", "warn", f"{where}, but libedgetpu is not installed", LIBEDGETPU_FIX)
    for coral in corals:
        if problem := find_access_problem(coral, root, can_access):
            return Finding("Coral", "warn", f"Coral on {coral.bus}, but {problem[0]}", problem[1])
    return Finding("Coral", "ok", f"{where}, libedgetpu installed, this user may use it")


def check_ai_camera(root: Path = ROOT, files: Iterable[Path] = ()) -> Finding | None:
    """If there is an AI Camera, or one of `files` is for one: are firmware and packager installed?

    Where the packager is, it prepares the files, so that the first run need not.
    """
    files = [path for path in files if path.exists()]
    has_packager = bool(find_packager())
    try:
        for path in files if has_packager else ():
            package_network(path)
    except PocketsightError as error:
        return Finding(
            "AI Camera",
            "fail",
            str(error),
            "try again; if the file is damaged, make it again with: pocketsight export imx500",
        )
    names = (read_kernel_file(folder / "name") for folder in root.glob("sys/class/video4linux/v4l-subdev*"))
    if not any(name.startswith("imx500") for name in names):
        if not files:
            return None
        message = f"no AI Camera is connected, although {files[0].name} exists; the CPU is used"
        return Finding("AI Camera", "warn", message, RIBBON_FIX if has_packager else f"{RIBBON_FIX}; {INSTALL_COMMAND}")
    missing = [] if any(root.glob("lib/firmware/imx500*")) else ["its firmware"]
    missing += [] if has_packager else [PACKAGERS[0]]
    if missing:
        message = f"connected, but run --camera pi --accelerator imx500 needs {' and '.join(missing)}"
        return Finding("AI Camera", "warn", message, INSTALL_COMMAND)
    return Finding(
        "AI Camera", "ok", f"connected, firmware and {PACKAGERS[0]} installed; run --camera pi --accelerator imx500"
    )


def check_board(board: BoardInfo) -> Finding:
    """The machine. Some packages fail on memory pages of 16 KB, the default of a Pi 5."""
    message = f"{board.model or 'unknown board'}, {board.cores} cores, {board.page_size // 1024} KB pages"
    fix = ""
    if board.page_size > STANDARD_PAGE_SIZE:
        fix = "pocketsight works with it; if a package does not, put kernel=kernel8.img into /boot/firmware/config.txt"
    return Finding("board", "ok", message, fix)


def check_temperature(reading: SensorReading) -> Finding | None:
    """Is the board throttled, or was it since it booted?"""
    since_boot = reading.since_boot
    if reading.temperature is None and since_boot is None:
        return None
    message = "unknown" if reading.temperature is None else f"{reading.temperature:.0f} °C"
    fix = "add a fan or a heat sink, or start with --max-temperature 75"
    if reading.throttled or (reading.temperature or 0) >= HOT_CELSIUS:
        return Finding("temperature", "warn", f"{message}, {'throttled now' if reading.throttled else 'too hot'}", fix)
    if since_boot and since_boot[0]:
        return Finding("temperature", "warn", f"{message}, throttled since boot", fix)
    return Finding("temperature", "ok", f"{message}{', never throttled since boot' if since_boot else ''}")


def check_power(reading: SensorReading) -> Finding | None:
    """Is there under-voltage, or was there since boot?"""
    since_boot = reading.since_boot
    if reading.under_voltage is None:
        return None
    if reading.under_voltage or (since_boot and since_boot[1]):
        when = "now" if reading.under_voltage else "since boot"
        return Finding("power", "warn", f"under-voltage {when}", POWER_SUPPLY_FIX)
    return Finding("power", "ok", f"no under-voltage{' since boot' if since_boot else ''}")


def add_firmware_flags(reading: SensorReading, program: str = "vcgencmd") -> SensorReading:
    """Add the flags of the firmware where the kernel does not report them. Never raises."""
    if reading.since_boot is not None:
        return reading
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=VCGENCMD_TIMEOUT)
        bits = int(done.stdout.strip().partition("=")[2], 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return reading
    throttled, under_voltage = decode_throttled(bits)
    return replace(
        reading,
        throttled=throttled,
        under_voltage=under_voltage,
        since_boot=decode_throttled(bits >> SINCE_BOOT_SHIFT),
    )
