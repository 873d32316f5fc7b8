"""The system around us: disk, swap, clock, port."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.camera.devices import open_files
from pocketsight.device.doctor.known_errors import find_fix as known
from pocketsight.device.doctor.report import Finding
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import DISK_LOW_BYTES, SensorReading, read_kernel_file

DISK_WARN_BYTES = 1024 * 2**20  # bytes: under this a disk deserves a look
MAX_WEAR = 0.8  # of its life; then an eMMC should be changed
TCP_LISTEN = "0A"  # state of a socket in /proc/net/tcp


def check_disk(reading: SensorReading, folder: Path) -> Finding:
    """Is there room where the log goes, and may we write there?"""
    free = f"{reading.disk_free / 2**30:.1f} GB free in {folder}" if reading.disk_free is not None else str(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".pocketsight") as file:
            file.write(b"pocketsight")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        otherwise = f"sudo chown $USER {folder}, or log elsewhere with --log"
        return Finding("disk", "fail", f"{folder} cannot be written: {error.strerror}", known(str(error)) or otherwise)
    if reading.disk_free is not None and reading.disk_free < DISK_WARN_BYTES:
        cure = "make room: du -xh / | sort -h | tail; and cap the log: see pocketsight run --help"
        return Finding("disk", "fail" if reading.disk_free < DISK_LOW_BYTES else "warn", f"only {free}", cure)
    return Finding("disk", "ok", free)


def check_wear(reading: SensorReading, root: Path = ROOT) -> Finding | None:
    """Has the eMMC lived its life? SD cards do not tell."""
    end = max(
        (int(read_kernel_file(path) or "0", 16) for path in root.glob("sys/block/mmcblk*/device/pre_eol_info")),
        default=0,
    )
    if reading.emmc_wear is None and end < 2:
        return None
    says = f"the eMMC has used up to {100 * (reading.emmc_wear or 0):.0f} % of its life"
    if end >= 2 or (reading.emmc_wear or 0) >= MAX_WEAR:
        says += ", and its spare blocks are nearly gone" if end >= 2 else ""
        return Finding("wear", "warn", says, "save what is on it and change it; log events, not frames")
    return Finding("wear", "ok", says)


def check_swap(root: Path = ROOT, device: Callable[[Path], str] | None = None) -> Finding | None:
    """Swap on a flash card wears it out, and stalls the camera."""
    lines = read_kernel_file(root / "proc/swaps").splitlines()[1:]
    worn = [name for name in (line.split()[0] for line in lines) if "mmcblk" in (device or _block_device)(Path(name))]
    if not worn:
        return None
    cure = "sudo systemctl disable --now dphys-swapfile, or zram instead: sudo apt install zram-tools"
    return Finding("swap", "warn", f"{worn[0]} is on the flash card", cure)


def _block_device(path: Path) -> str:
    """The block device that a swap file lies on, or that a swap partition is."""
    try:
        number = path.stat().st_rdev if path.is_block_device() else path.stat().st_dev
        return os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    except OSError:
        return str(path)


def check_clock(synced: bool | None) -> Finding:
    """Has the network set the clock?"""
    if synced:
        return Finding("clock", "ok", "set by the network")
    cure = 'sudo timedatectl set-ntp true, and wait a minute; times in the log carry "synced" so that you can tell'
    says = "not set by the network" if synced is False else "nobody here knows whether the network has set it"
    return Finding("clock", "warn", says, cure)


def check_port(number: int, root: Path = ROOT) -> Finding:
    """Is the port of the page free?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a run that has just ended does not count
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            holder = _port_holder(number, root)
            says = f"{number} is taken{f' by {holder}' if holder else ''}"
            if holder.startswith("pocketsight"):
                return Finding("port", "ok", says)
            return Finding("port", "warn", says, f"stop that, or take another: --preview 127.0.0.1:{number + 1}")
    return Finding("port", "ok", f"{number} is free")


def _port_holder(number: int, root: Path) -> str:
    """The program that listens there, as "name (number)"; "" where it is not ours to see."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in read_kernel_file(root / f"proc/net/{name}").splitlines()[1:]
    ]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == TCP_LISTEN and row[1].endswith(f":{number:04X}")}
    for process in root.glob("proc/[0-9]*"):
        if sockets & open_files(process):
            return f"{read_kernel_file(process / 'comm')} ({process.name})"
    return ""
