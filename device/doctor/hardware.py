"""What is plugged in, whether we may use it, and who else does; heat and power."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pocketsight.device.camera.devices import open_files
from pocketsight.device.doctor.known_errors import LIBEDGETPU_FIX, RIBBON_FIX
from pocketsight.device.doctor.report import Finding
from pocketsight.device.inference.coral_devices import (
    LIBEDGETPU,
    PLUG_IN_HINT,
    AccessCheck,
    can_access,
    find_corals,
    is_libedgetpu_installed,
)
from pocketsight.device.inference.coral_devices import find_access_problem as not_ours
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import (
    HOT_CELSIUS,
    SINCE_BOOT_SHIFT,
    BoardInfo,
    SensorReading,
    decode_throttled,
    read_kernel_file,
)

NON_CAMERA_DRIVERS = "bcm2835-", "pispbe", "rpi-", "rpivid"  # video devices of a Pi that decode or convert
POWER_SUPPLY_FIX = "use the supply made for this board and a short, thick cable; unplug what hangs on its USB ports"


def check_camera(
    is_pi: bool, root: Path = ROOT, holders: Callable[[Iterable[Path]], list[str]] | None = None
) -> Finding:
    """Is there one, and is it free? On a Pi a camera on the ribbon counts when its driver has found the sensor."""
    found = list_cameras(root)
    if not found:
        cure = f"USB: plug it in, then ls /dev/video*{'; ribbon: ' + RIBBON_FIX if is_pi else ''}"
        return Finding("camera", "warn", "none is plugged in; files and streams need none", cure)
    media = sorted(root.glob("dev/media*"))
    held = (holders or (lambda paths: find_holders(paths, root)))([*found, *media])
    says = ", ".join(f"{path.name} ({name})" for path, name in found.items())
    if held:
        ours = all(name.startswith("pocketsight") for name in held)
        cure = "stop it before you start another run; the service: sudo systemctl stop pocketsight"
        return Finding("camera", "ok" if ours else "warn", f"{says}, held by {', '.join(held)}", cure)
    return Finding("camera", "ok", f"{says}, free")


def list_cameras(root: Path = ROOT) -> dict[Path, str]:
    """Video devices that a camera stands behind, and their names. The first of each: the others carry its metadata."""
    found: dict[Path, str] = {}
    for folder in sorted(root.glob("sys/class/video4linux/video*"), key=lambda path: int(path.name[5:])):
        name = read_kernel_file(folder / "name")
        if not name.startswith(NON_CAMERA_DRIVERS) and name not in found.values():
            found[root / "dev" / folder.name] = name
    return found


def find_holders(paths: Iterable[Path], root: Path = ROOT) -> list[str]:
    """Programs that hold one of these open, as "name (number)". Those of other users show to root only."""
    wanted = {f"/{path.relative_to(root)}" for path in paths}
    found = []
    for process in sorted(root.glob("proc/[0-9]*"), key=lambda path: int(path.name)):
        links = open_files(process)
        if links & wanted and int(process.name) != os.getpid():
            found.append(f"{read_kernel_file(process / 'comm')} ({process.name})")
    return found


def check_permissions(
    root: Path = ROOT, can_access: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
) -> Finding | None:
    """May we use the cameras?"""
    heaps = root.glob("dev/dma_heap/*") if any(root.glob("dev/media*")) else ()  # libcamera's, on a Pi
    paths = [*list_cameras(root), *sorted(root.glob("dev/media*")), *heaps]
    refused = [path for path in paths if path.exists() and not can_access(path)]
    if not paths:
        return None
    if not refused:
        return Finding("rights", "ok", "the cameras may be used")
    return Finding(
        "rights", "fail", f"/{refused[0].relative_to(root)} may not be used by this user", _group_fix(refused[0])
    )


def _group_fix(path: Path) -> str:
    """How to become a member of the group that a device belongs to."""
    group = grp.getgrgid(path.stat().st_gid)
    user = pwd.getpwuid(os.getuid()).pw_name
    if user in group.gr_mem:
        return f"{user} is in the group {group.gr_name}, but since this login: log out and in again"
    return f"sudo usermod -aG {group.gr_name} {user}, then log out and in again"


def check_coral(
    root: Path = ROOT, can_access: AccessCheck = can_access, compiled: Iterable[Path] = ()
) -> Finding | None:
    """Where a Coral is plugged in, or files were compiled for one: can it be used? A run may hold it: not opened."""
    found, here = find_corals(root), is_libedgetpu_installed(root)
    if not found:
        waiting = [path.name for path in compiled if path.exists()] + [LIBEDGETPU] * here
        says = f"none is plugged in, though {waiting[0]} is here" if waiting else ""
        return Finding("Coral", "warn", f"{says}; the CPU does the work", PLUG_IN_HINT) if waiting else None
    where = f"{len(found)} plugged in, " * (len(found) > 1) + f"Coral on {found[0].bus}"
    if not here:
        return Finding("Coral", "warn", f"{where}, but libedgetpu is not installed", LIBEDGETPU_FIX)
    for each in found:
        if trouble := not_ours(each, root, can_access):
            return Finding("Coral", "warn", f"Coral on {each.bus}, but {trouble[0]}", trouble[1])
    return Finding("Coral", "ok", f"{where}, libedgetpu installed, this user may use it")


def check_board(board: BoardInfo) -> Finding:
    """Which machine this is. Pages of 16 KB, as on a Pi 5, break some packages, so that they are named here."""
    says = f"{board.model or 'not a board that names itself'}, {board.cores} cores, pages of "
    says += f"{board.page_size // 1024} KB"
    cure = ""
    if board.page_size > 4096:
        cure = "pocketsight runs on it; should a package say so, put kernel=kernel8.img into /boot/firmware/config.txt"
    return Finding("board", "ok", says, cure)


def check_temperature(reading: SensorReading) -> Finding | None:
    """Is it slowed down by heat, now or since boot?"""
    past = reading.since_boot
    if reading.temperature is None and past is None:
        return None
    says = "not known" if reading.temperature is None else f"{reading.temperature:.0f} °C"
    cure = "give it a fan or a heat sink, or start with --max-temperature 75"
    if reading.throttled or (reading.temperature or 0) >= HOT_CELSIUS:
        return Finding("heat", "warn", f"{says}, {'slowed down now' if reading.throttled else 'too hot'}", cure)
    if past and past[0]:
        return Finding("heat", "warn", f"{says}, was slowed down since boot", cure)
    return Finding("heat", "ok", f"{says}{', never slowed down since boot' if past else ''}")


def check_power(reading: SensorReading) -> Finding | None:
    """Is there under-voltage, now or since boot?"""
    past = reading.since_boot
    if reading.under_voltage is None:
        return None
    if reading.under_voltage or (past and past[1]):
        return Finding(
            "power", "warn", f"under-voltage {'now' if reading.under_voltage else 'since boot'}", POWER_SUPPLY_FIX
        )
    return Finding("power", "ok", f"no under-voltage{' since boot' if past else ''}")


def add_firmware_flags(reading: SensorReading, program: str = "vcgencmd") -> SensorReading:
    """The board, with what the firmware's own program knows where the kernel does not tell. Never raises."""
    if reading.since_boot is not None:
        return reading
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5)
        bits = int(done.stdout.strip().partition("=")[2], 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return reading
    throttled, low = decode_throttled(bits)
    return replace(
        reading, throttled=throttled, under_voltage=low, since_boot=decode_throttled(bits >> SINCE_BOOT_SHIFT)
    )
