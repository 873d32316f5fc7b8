"""What is plugged in, whether we may use it, and who else does; heat and power."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pocketsight.device.doctor.finding import Finding
from pocketsight.device.doctor.texts import RIBBON, RUNTIME
from pocketsight.device.health.board import HOT, SINCE_BOOT, Board, Machine, meaning, text
from pocketsight.device.health.coral import LIBRARY, PLUG, Allowed, corals, installed, may_write
from pocketsight.device.health.coral import trouble as not_ours

ROOT = Path("/")
NO_CAMERAS = "bcm2835-", "pispbe", "rpi-", "rpivid"  # video devices of a Pi that decode or convert
SUPPLY = "use the supply made for this board and a short, thick cable; unplug what hangs on its USB ports"


def camera(pi: bool, root: Path = ROOT, holders: Callable[[Iterable[Path]], list[str]] | None = None) -> Finding:
    """Is there one, and is it free? On a Pi a camera on the ribbon counts when its driver has found the sensor."""
    found = cameras(root)
    if not found:
        cure = f"USB: plug it in, then ls /dev/video*{'; ribbon: ' + RIBBON if pi else ''}"
        return Finding("camera", "warn", "none is plugged in; files and streams need none", cure)
    media = sorted(root.glob("dev/media*"))
    held = (holders or (lambda paths: held_by(paths, root)))([*found, *media])
    says = ", ".join(f"{path.name} ({name})" for path, name in found.items())
    if held:
        ours = all(name.startswith("pocketsight") for name in held)
        cure = "stop it before you start another run; the service: sudo systemctl stop pocketsight"
        return Finding("camera", "ok" if ours else "warn", f"{says}, held by {', '.join(held)}", cure)
    return Finding("camera", "ok", f"{says}, free")


def cameras(root: Path = ROOT) -> dict[Path, str]:
    """Video devices that a camera stands behind, and their names. The first of each: the others carry its metadata."""
    found: dict[Path, str] = {}
    for folder in sorted(root.glob("sys/class/video4linux/video*"), key=lambda path: int(path.name[5:])):
        name = text(folder / "name")
        if not name.startswith(NO_CAMERAS) and name not in found.values():
            found[root / "dev" / folder.name] = name
    return found


def held_by(paths: Iterable[Path], root: Path = ROOT) -> list[str]:
    """Programs that hold one of these open, as "name (number)". Those of other users show to root only."""
    wanted = {f"/{path.relative_to(root)}" for path in paths}
    found = []
    for process in sorted(root.glob("proc/[0-9]*"), key=lambda path: int(path.name)):
        links = open_files(process)
        if links & wanted and int(process.name) != os.getpid():
            found.append(f"{text(process / 'comm')} ({process.name})")
    return found


def open_files(process: Path) -> set[str]:
    """What a process, as a folder of /proc, holds open; nothing where it is gone or not ours to see."""
    links = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                links.add(os.readlink(link))
    return links


def groups(
    root: Path = ROOT, allowed: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
) -> Finding | None:
    """May we use the cameras?"""
    heaps = root.glob("dev/dma_heap/*") if any(root.glob("dev/media*")) else ()  # libcamera's, on a Pi
    paths = [*cameras(root), *sorted(root.glob("dev/media*")), *heaps]
    refused = [path for path in paths if path.exists() and not allowed(path)]
    if not paths:
        return None
    if not refused:
        return Finding("rights", "ok", "the cameras may be used")
    return Finding("rights", "fail", f"/{refused[0].relative_to(root)} may not be used by this user", _join(refused[0]))


def _join(path: Path) -> str:
    """How to become a member of the group that a device belongs to."""
    group = grp.getgrgid(path.stat().st_gid)
    user = pwd.getpwuid(os.getuid()).pw_name
    if user in group.gr_mem:
        return f"{user} is in the group {group.gr_name}, but since this login: log out and in again"
    return f"sudo usermod -aG {group.gr_name} {user}, then log out and in again"


def coral(root: Path = ROOT, allowed: Allowed = may_write, compiled: Iterable[Path] = ()) -> Finding | None:
    """Where a Coral is plugged in, or files were compiled for one: can it be used? A run may hold it: not opened."""
    found, here = corals(root), installed(root)
    if not found:
        waiting = [path.name for path in compiled if path.exists()] + [LIBRARY] * here
        says = f"none is plugged in, though {waiting[0]} is here" if waiting else ""
        return Finding("Coral", "warn", f"{says}; the CPU does the work", PLUG) if waiting else None
    where = f"{len(found)} plugged in, " * (len(found) > 1) + f"Coral on {found[0].bus}"
    if not here:
        return Finding("Coral", "warn", f"{where}, but libedgetpu is not installed", RUNTIME)
    for each in found:
        if trouble := not_ours(each, root, allowed):
            return Finding("Coral", "warn", f"Coral on {each.bus}, but {trouble[0]}", trouble[1])
    return Finding("Coral", "ok", f"{where}, libedgetpu installed, this user may use it")


def board(machine: Machine) -> Finding:
    """Which machine this is. Pages of 16 KB, as on a Pi 5, break some packages, so that they are named here."""
    says = f"{machine.model or 'not a board that names itself'}, {machine.cores} cores, pages of "
    says += f"{machine.page_size // 1024} KB"
    cure = ""
    if machine.page_size > 4096:
        cure = "pocketsight runs on it; should a package say so, put kernel=kernel8.img into /boot/firmware/config.txt"
    return Finding("board", "ok", says, cure)


def heat(board: Board) -> Finding | None:
    """Is it slowed down by heat, now or since boot?"""
    past = board.since_boot
    if board.temperature is None and past is None:
        return None
    says = "not known" if board.temperature is None else f"{board.temperature:.0f} °C"
    cure = "give it a fan or a heat sink, or start with --cool 75"
    if board.throttled or (board.temperature or 0) >= HOT:
        return Finding("heat", "warn", f"{says}, {'slowed down now' if board.throttled else 'too hot'}", cure)
    if past and past[0]:
        return Finding("heat", "warn", f"{says}, was slowed down since boot", cure)
    return Finding("heat", "ok", f"{says}{', never slowed down since boot' if past else ''}")


def power(board: Board) -> Finding | None:
    """Is there under-voltage, now or since boot?"""
    past = board.since_boot
    if board.under_voltage is None:
        return None
    if board.under_voltage or (past and past[1]):
        return Finding("power", "warn", f"under-voltage {'now' if board.under_voltage else 'since boot'}", SUPPLY)
    return Finding("power", "ok", f"no under-voltage{' since boot' if past else ''}")


def told_by_firmware(board: Board, program: str = "vcgencmd") -> Board:
    """The board, with what the firmware's own program knows where the kernel does not tell. Never raises."""
    if board.since_boot is not None:
        return board
    try:
        done = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5)
        bits = int(done.stdout.strip().partition("=")[2], 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return board
    throttled, low = meaning(bits)
    return replace(board, throttled=throttled, under_voltage=low, since_boot=meaning(bits >> SINCE_BOOT))
