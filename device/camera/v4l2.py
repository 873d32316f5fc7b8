"""Controls and image formats of a V4L2 camera, by the ioctls of linux/videodev2.h."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from pocketsight.device.errors import CameraError

VIDIOC_ENUM_FMT = 0xC0405602
VIDIOC_S_CTRL = 0xC008561C
VIDIOC_QUERYCTRL = 0xC0445624
VIDIOC_QUERYMENU = 0xC02C5625
V4L2_FMTDESC = struct.Struct("III32sI4x12x")  # index, type, flags, description, FOURCC
V4L2_QUERYCTRL = struct.Struct("II32siiiiI8x")  # id, type, name, minimum, maximum, step, default, flags
V4L2_QUERYMENU = struct.Struct("=II32sI")  # id, index, name
V4L2_CONTROL = struct.Struct("Ii")  # id, value
V4L2_BUF_TYPE_VIDEO_CAPTURE = 1
V4L2_CTRL_FLAG_NEXT_CTRL = 0x80000000
V4L2_CTRL_FLAG_DISABLED = 0x1
BOOLEAN, MENU, BUTTON, CONTROL_CLASS = 2, 3, 4, 6  # types of a control


@dataclass(frozen=True)
class Control:
    """A control of a camera, named as v4l2-ctl names it."""

    id: int
    name: str
    kind: int
    minimum: int
    maximum: int
    menu: dict[str, int] = field(default_factory=dict)  # names of values

    def describe(self) -> str:
        """Its name and values."""
        values = "|".join(self.menu) if self.menu else f"{self.minimum} to {self.maximum}"
        return f"{self.name} ({'true|false' if self.kind == BOOLEAN else values})"

    def parse(self, text: str) -> int:
        """The number for a text. Raises CameraError when it is not a value of this control."""
        key = _identifier(text)
        if self.kind == BOOLEAN and key in ("true", "false"):
            return int(key == "true")
        if key in self.menu:
            return self.menu[key]
        if re.fullmatch(r"[+-]?\d+", text) and self.minimum <= int(text) <= self.maximum:
            return int(text)
        raise CameraError(f"{self.name}={text} is not possible; this camera has {self.describe()}")


def _identifier(name: str) -> str:
    """Words in small letters joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def set_controls(path: Path, wanted: tuple[tuple[str, str], ...]) -> None:
    """Set controls of a camera, in their order. Raises CameraError for one that it does not have."""
    if not wanted:
        return
    with _open_device(path) as device:
        controls = {control.name: control for control in list_controls(device)}
        for name, text in wanted:
            key = _identifier(name)
            if key not in controls:
                near = get_close_matches(key, controls, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                has = ", ".join(control.describe() for control in controls.values()) or "none"
                raise CameraError(f"{path} has no control {name!r}; {hint}it has {has}")
            control = controls[key]
            try:
                fcntl.ioctl(device, VIDIOC_S_CTRL, V4L2_CONTROL.pack(control.id, control.parse(text)))
            except OSError as error:
                raise CameraError(
                    f"{path} refuses {name}={text}: {error.strerror}; is an automatic mode on?"
                ) from error


def list_formats(path: Path) -> list[str]:
    """The FOURCCs of the images that a camera gives; empty where it cannot be asked."""
    formats = []
    try:
        with _open_device(path) as device:
            for index in range(64):
                answer = bytearray(V4L2_FMTDESC.pack(index, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0, b"", 0))
                fcntl.ioctl(device, VIDIOC_ENUM_FMT, answer)
                formats.append(V4L2_FMTDESC.unpack(answer)[4].to_bytes(4, "little").decode(errors="replace"))
    except OSError:  # the end of the list, or no answer at all
        pass
    return formats


def list_controls(device: int) -> list[Control]:
    """The controls of an open device."""
    controls: list[Control] = []
    last = 0
    while True:
        answer = bytearray(V4L2_QUERYCTRL.pack(last | V4L2_CTRL_FLAG_NEXT_CTRL, 0, b"", 0, 0, 0, 0, 0))
        try:
            fcntl.ioctl(device, VIDIOC_QUERYCTRL, answer)
        except OSError:  # there are no more
            return controls
        last, kind, name, minimum, maximum, _, _, flags = V4L2_QUERYCTRL.unpack(answer)
        if kind in (BUTTON, CONTROL_CLASS) or flags & V4L2_CTRL_FLAG_DISABLED:
            continue
        menu = _list_menu(device, last, minimum, maximum) if kind == MENU else {}
        controls.append(Control(last, _identifier(_text(name)), kind, minimum, maximum, menu))


def _list_menu(device: int, control: int, minimum: int, maximum: int) -> dict[str, int]:
    menu = {}
    for index in range(minimum, maximum + 1):
        answer = bytearray(V4L2_QUERYMENU.pack(control, index, b"", 0))
        try:
            fcntl.ioctl(device, VIDIOC_QUERYMENU, answer)
        except OSError:  # menus have gaps
            continue
        menu[_identifier(_text(V4L2_QUERYMENU.unpack(answer)[2]))] = index
    return menu


def _text(name: bytes) -> str:
    return name.split(b"\0")[0].decode(errors="replace")


@contextmanager
def _open_device(path: Path) -> Iterator[int]:
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield device
    finally:
        os.close(device)
