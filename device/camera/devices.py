"""Which cameras there are, and who holds them."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketsight.device.system.paths import ROOT

VIDIOC_QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP of linux/videodev2.h; it fills struct v4l2_capability
V4L2_CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus, version, capabilities, those of this node
V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_DEVICE_CAPS = (
    0x1 | 0x1000,
    0x80000000,
)  # V4L2_CAP_VIDEO_CAPTURE (_MPLANE), V4L2_CAP_DEVICE_CAPS
PI_DRIVERS = (
    "unicam",
    "rp1-cfe",
    "bcm2835-isp",
    "bcm2835-codec",
    "pispbe",
    "rpi-hevc-dec",
    "rpivid",
)  # drivers of a Pi's own


@dataclass(frozen=True)
class VideoDevice:
    """A camera, or a video device that is none."""

    source: str  # what to give to --camera
    name: str
    is_capture_device: bool  # whether --camera takes it
    note: str = ""  # why not, or what is known besides
    holders: tuple[str, ...] = ()  # by whom


def list_cameras(root: Path = ROOT) -> list[VideoDevice]:
    """Those of picamera2 first, then every video device."""
    return list_pi_cameras()[0] + list_video_devices(root)


def list_pi_cameras() -> tuple[list[VideoDevice], str]:
    """Ribbon cameras that picamera2 sees; and why there are none."""
    try:
        from picamera2 import Picamera2

        infos: list[dict[str, Any]] = Picamera2.global_camera_info()
    except ModuleNotFoundError as error:
        return [], f"{error.name} is not visible here"
    except Exception as error:  # built against another numpy, no permission, no libcamera, ...
        return (
            [],
            f"picamera2 does not work here ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
        )
    ribbons = [info for info in infos if "usb" not in str(info.get("Id", "")).lower()]  # those are OpenCV's
    held = tuple(find_holders(*sorted(ROOT.glob("dev/media*")))) if ribbons else ()
    found = [
        VideoDevice("pi" if number == 0 else f"pi:{number}", str(info.get("Model", "camera")), True, "Pi camera", held)
        for number, info in enumerate(ribbons)
    ]
    return found, "" if found else "picamera2 sees no camera; is the ribbon seated?"


def list_video_devices(root: Path = ROOT) -> list[VideoDevice]:
    """Every /dev/video*, by number, whether or not it is a camera."""
    numbers = sorted(int(p.name[5:]) for p in (root / "dev").glob("video*") if p.name[5:].isdecimal())
    return [_probe_video_device(root, number) for number in numbers]


def _probe_video_device(root: Path, number: int) -> VideoDevice:
    path = root / "dev" / f"video{number}"
    name = str(path)
    with suppress(OSError):
        name = (root / "sys/class/video4linux" / path.name / "name").read_text().strip()
    held = tuple(find_holders(path))
    try:
        driver, captures = query_capability(path)
    except OSError as error:
        cure = "; sudo usermod -aG video $USER, then log in again" if isinstance(error, PermissionError) else ""
        return VideoDevice(str(number), name, False, f"{error.strerror}{cure}", held)
    if driver in PI_DRIVERS:
        return VideoDevice(str(number), name, False, f"{driver}: a part of the Pi's own camera or codec; see: pi", held)
    return VideoDevice(
        str(number), name, captures, driver if captures else f"{driver}: no pictures, only what is about them", held
    )


def query_capability(path: Path) -> tuple[str, bool]:
    """The driver's name, and whether this device gives pictures. Raises OSError."""
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = bytearray(V4L2_CAPABILITY.size)
        fcntl.ioctl(device, VIDIOC_QUERYCAP, answer)
    finally:
        os.close(device)
    driver, _, _, _, whole, node = V4L2_CAPABILITY.unpack(answer)
    return driver.split(b"\0")[0].decode(errors="replace"), bool(
        (node if whole & V4L2_CAP_DEVICE_CAPS else whole) & V4L2_CAP_VIDEO_CAPTURE
    )


def find_holders(*paths: Path) -> list[str]:
    """Which processes have one of these open, as far as this user may see: "firefox (pid 1234)"."""
    wanted = {os.path.realpath(path) for path in paths}
    holders: dict[str, None] = {}
    for process in ROOT.glob("proc/[0-9]*"):
        if wanted & set(_open_files(process)):
            with suppress(OSError):
                holders[f"{(process / 'comm').read_text().strip()} (pid {process.name})"] = None
    return list(holders)


def _open_files(process: Path) -> Iterable[str]:
    try:
        numbers = os.listdir(process / "fd")
    except OSError:  # another user's, or over
        return
    for number in numbers:
        with suppress(OSError):
            yield os.readlink(process / "fd" / number)


def open_files(process: Path) -> set[str]:
    """What a process, as a folder of /proc, holds open; nothing where it is gone or not ours to see."""
    links = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                links.add(os.readlink(link))
    return links
