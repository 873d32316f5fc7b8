"""Checks of the operating system: disk, swap, clock and port."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from pocketsight.device.camera.devices import Holder, list_open_files
from pocketsight.device.doctor.known_errors import DISK_FULL_FIX, find_fix
from pocketsight.device.doctor.report import Finding
from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import DISK_LOW_BYTES, SensorReading, read_kernel_file

DISK_WARN_BYTES = 1024 * 2**20
MAX_WEAR = 0.8  # of the life of an eMMC
MIN_PRE_EOL = 2  # of pre_eol_info: 2 means that 80 % of the spare blocks are used, 3 means 90 %
TCP_LISTEN = "0A"  # state of a socket in /proc/net/tcp


def check_disk(reading: SensorReading, folder: Path) -> Finding:
    """Is there space in the folder of the log, and may this user write there?"""
    free = f"{reading.disk_free / 2**30:.1f} GB free in {folder}" if reading.disk_free is not None else str(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".pocketsight") as file:
            file.write(b"pocketsight")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fix = find_fix(str(error)) or f"sudo chown $USER {folder}, or log elsewhere with --log"
        return Finding("disk", "fail", f"{folder} cannot be written: {error.strerror}", fix)
    if reading.disk_free is not None and reading.disk_free < DISK_WARN_BYTES:
        return Finding("disk", "fail" if reading.disk_free < DISK_LOW_BYTES else "warn", f"only {free}", DISK_FULL_FIX)
    return Finding("disk", "ok", free)


def check_wear(reading: SensorReading, root: Path = ROOT) -> Finding | None:
    """Is the eMMC worn out? SD cards do not report their wear."""
    pre_eol = max(
        (int(read_kernel_file(path) or "0", 16) for path in root.glob("sys/block/mmcblk*/device/pre_eol_info")),
        default=0,
    )
    wear = reading.emmc_wear or 0
    if reading.emmc_wear is None and pre_eol < MIN_PRE_EOL:
        return None
    message = f"the eMMC has used up to {100 * wear:.0f} % of its life"
    if pre_eol >= MIN_PRE_EOL or wear >= MAX_WEAR:
        message += ", and few spare blocks remain" if pre_eol >= MIN_PRE_EOL else ""
        return Finding("wear", "warn", message, "back it up and replace it; log events, not frames")
    return Finding("wear", "ok", message)


def check_swap(root: Path = ROOT, device: Callable[[Path], str] | None = None) -> Finding | None:
    """Is there swap on a flash card? It wears the card out and stalls the camera."""
    lines = read_kernel_file(root / "proc/swaps").splitlines()[1:]
    swaps = [line.split()[0] for line in lines]
    on_card = [name for name in swaps if "mmcblk" in (device or _block_device)(Path(name))]
    if not on_card:
        return None
    fix = "sudo systemctl disable --now dphys-swapfile, or use zram: sudo apt install zram-tools"
    return Finding("swap", "warn", f"{on_card[0]} is on the flash card", fix)


def _block_device(path: Path) -> str:
    """The block device of a swap file or of a swap partition."""
    try:
        number = path.stat().st_rdev if path.is_block_device() else path.stat().st_dev
        return os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    except OSError:
        return str(path)


def check_clock(synced: bool | None) -> Finding:
    """Is the clock synchronized with the network? None: unknown."""
    if synced:
        return Finding("clock", "ok", "synchronized with the network")
    fix = 'sudo timedatectl set-ntp true, and wait a minute; "clock_synced" in the log marks such times'
    message = "not synchronized with the network" if synced is False else "synchronization is unknown on this machine"
    return Finding("clock", "warn", message, fix)


def check_port(number: int, root: Path = ROOT) -> Finding:
    """Is the port of the web page free?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port of a run that just ended is free
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            holder = _port_holder(number, root)
            message = f"{number} is in use{f' by {holder}' if holder else ''}"
            if holder and holder.name.startswith("pocketsight"):
                return Finding("port", "ok", message)
            fix = f"stop that program, or use another port: --preview 127.0.0.1:{number + 1}"
            return Finding("port", "warn", message, fix)
    return Finding("port", "ok", f"{number} is free")


def _port_holder(number: int, root: Path) -> Holder | None:
    """The program that listens on a port; None if it belongs to another user."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in read_kernel_file(root / f"proc/net/{name}").splitlines()[1:]
    ]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == TCP_LISTEN and row[1].endswith(f":{number:04X}")}
    for process in root.glob("proc/[0-9]*"):
        if sockets & list_open_files(process):
            return Holder(read_kernel_file(process / "comm"), int(process.name))
    return None
