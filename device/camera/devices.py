"""The cameras of this machine, and the processes that use them."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import read_kernel_file

# From linux/videodev2.h.
VIDIOC_QUERYCAP = 0x80685600  # fills struct v4l2_capability
V4L2_CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus, version, capabilities, those of this node
V4L2_CAP_VIDEO_CAPTURE = 0x1 | 0x1000  # single- and multi-planar
V4L2_CAP_DEVICE_CAPS = 0x80000000

CODEC_PREFIXES = "bcm2835-", "pispbe", "rpi-", "rpivid"  # video devices of a Pi that decode or convert
PI_CAMERA_DRIVERS = "unicam", "rp1-cfe"  # raw sensor data of a Pi camera; picamera2 turns it into images


class Holder(NamedTuple):
    """A process that has a file open."""

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


@dataclass(frozen=True)
class VideoDevice:
    """A camera, or a video device that is not a camera."""

    source: str  # value for --camera
    name: str
    is_capture_device: bool  # whether --camera accepts it
    note: str = ""  # the reason if not, else the driver
    holders: tuple[str, ...] = ()  # processes that have it open, as "firefox (pid 1234)"


def list_cameras(root: Path = ROOT) -> list[VideoDevice]:
    """The cameras of picamera2, then every video device."""
    return list_pi_cameras(root)[0] + list_video_devices(root)


def list_pi_cameras(root: Path = ROOT) -> tuple[list[VideoDevice], str]:
    """The ribbon cameras that picamera2 finds; and the reason if there are none."""
    try:
        from picamera2 import Picamera2

        infos: list[dict[str, Any]] = Picamera2.global_camera_info()
    except ModuleNotFoundError as error:
        return [], f"the module {error.name} is not available"
    except Exception as error:  # built for another numpy, no permission, no libcamera, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [], f"picamera2 does not work ({reason})"
    ribbons = [info for info in infos if "usb" not in str(info.get("Id", "")).lower()]  # USB cameras are OpenCV's
    holders = _holder_names(sorted(root.glob("dev/media*")), root) if ribbons else ()
    cameras = [
        VideoDevice("pi" if index == 0 else f"pi:{index}", str(info.get("Model", "camera")), True, "Pi camera", holders)
        for index, info in enumerate(ribbons)
    ]
    return cameras, "" if cameras else "picamera2 finds no camera; is the ribbon seated?"


def list_video_devices(root: Path = ROOT) -> list[VideoDevice]:
    """Every /dev/video*, by number, whether or not it is a camera. Opens each of them for a moment."""
    numbers = sorted(int(path.name[5:]) for path in (root / "dev").glob("video*") if path.name[5:].isdecimal())
    return [_probe_video_device(root, number) for number in numbers]


def list_camera_names(root: Path = ROOT) -> dict[Path, str]:
    """Device files of cameras and their names, as the kernel lists them: no device is opened.

    A camera's further devices, which carry metadata, have the same name and are left out.
    """
    names: dict[Path, str] = {}
    for folder in sorted(root.glob("sys/class/video4linux/video*"), key=lambda path: int(path.name[5:])):
        name = read_kernel_file(folder / "name")
        if not name.startswith(CODEC_PREFIXES) and name not in names.values():
            names[root / "dev" / folder.name] = name
    return names


def _probe_video_device(root: Path, number: int) -> VideoDevice:
    path = root / "dev" / f"video{number}"
    name = read_kernel_file(root / "sys/class/video4linux" / path.name / "name") or str(path)
    holders = _holder_names([path], root)
    try:
        driver, is_capture_device = query_capability(path)
    except OSError as error:
        fix = "; sudo usermod -aG video $USER, then log in again" if isinstance(error, PermissionError) else ""
        return VideoDevice(str(number), name, False, f"{error.strerror}{fix}", holders)
    if driver in PI_CAMERA_DRIVERS or driver.startswith(CODEC_PREFIXES):
        note = f"{driver}: part of the Pi camera or of a video codec; see: pi"
        return VideoDevice(str(number), name, False, note, holders)
    note = driver if is_capture_device else f"{driver}: gives metadata, no images"
    return VideoDevice(str(number), name, is_capture_device, note, holders)


def query_capability(path: Path) -> tuple[str, bool]:
    """The name of the driver, and whether this device gives images. Raises OSError."""
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = bytearray(V4L2_CAPABILITY.size)
        fcntl.ioctl(device, VIDIOC_QUERYCAP, answer)
    finally:
        os.close(device)
    driver, _, _, _, of_device, of_node = V4L2_CAPABILITY.unpack(answer)
    capabilities = of_node if of_device & V4L2_CAP_DEVICE_CAPS else of_device
    return driver.split(b"\0")[0].decode(errors="replace"), bool(capabilities & V4L2_CAP_VIDEO_CAPTURE)


def stable_path(path: Path, root: Path = ROOT) -> Path:
    """A path that still names this camera after it was plugged in again, when its number may be another.

    A link is kept: it was chosen. Else it is the link by id, which follows the camera, or where another camera has the
    same id the link by path, which names the socket.
    """
    if path.is_symlink():
        return path
    for kind in ("by-id", "by-path"):
        links = [link for link in sorted((root / "dev/v4l" / kind).glob("*")) if link.resolve() == path.resolve()]
        if links and not (kind == "by-id" and _has_twin(path, root)):
            return links[0]
    return path


def _has_twin(path: Path, root: Path) -> bool:
    """Whether another camera has the same name: without serial numbers both have the same id."""
    folders = root.glob("sys/class/video4linux/video*")
    first_nodes = {folder.name: read_kernel_file(folder / "name") for folder in folders if _is_first_node(folder)}
    name = first_nodes.pop(path.name, None)
    return name is not None and name in first_nodes.values()


def _is_first_node(folder: Path) -> bool:
    """Whether a device is the one of its camera that gives images; further ones give metadata."""
    return read_kernel_file(folder / "index") in ("", "0")


def find_holders(paths: Iterable[Path], root: Path = ROOT) -> list[Holder]:
    """The processes that have one of these files open, by process id.

    Only root sees the processes of other users.
    """
    base = os.path.realpath(root)
    wanted = {f"/{os.path.relpath(os.path.realpath(path), base)}" for path in paths}
    holders = []
    for process in sorted(root.glob("proc/[0-9]*"), key=lambda path: int(path.name)):
        if wanted & list_open_files(process) and (name := read_kernel_file(process / "comm")):
            holders.append(Holder(name, int(process.name)))
    return holders


def _holder_names(paths: Iterable[Path], root: Path) -> tuple[str, ...]:
    return tuple(map(str, find_holders(paths, root)))


def describe_holders(*paths: Path) -> str:
    """`in use by firefox (pid 1234)`, or nothing."""
    names = ", ".join(_holder_names(paths, ROOT))
    return f"in use by {names}" if names else ""


def list_open_files(process: Path) -> set[str]:
    """The files that a process has open; `process` is its folder in /proc. Empty if we may not see them."""
    links = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                links.add(os.readlink(link))
    return links
