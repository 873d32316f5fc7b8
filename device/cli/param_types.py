"""Types of the values on the command line."""

from __future__ import annotations

import os
import re
from math import isfinite
from pathlib import Path
from typing import Any

import click

from pocketsight.device.inference.shipped import MODEL_NAMES, NO_MODEL
from pocketsight.device.runtime.config import MAX_THREADS


class SizeParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not a generic before click 8.4
    """WIDTHxHEIGHT on the command line, (height, width) in the code."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not a resolution such as 640x480", param, ctx)
        return int(height), int(width)


class FiniteFloatRange(click.FloatRange):
    """A number in a range. nan and infinity are never in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class PathParam(click.Path):
    """A path, with ~ for the home folder. An empty text is refused: it would mean the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("a path must not be empty", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


class DetectorParam(PathParam):
    """A model file, `tiny` or `large` for the other shipped detectors, or `none`."""

    name = "FILE|tiny|large|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("tiny", "large") and not Path(value).exists():
            return MODEL_NAMES[value]
        if str(value) == "none":
            return NO_MODEL
        return super().convert(value, param, ctx)


class ClassifierParam(PathParam):
    """A model file, or `none`."""

    name = "FILE|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return NO_MODEL if str(value) == "none" else super().convert(value, param, ctx)


class LogTargetParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A target of the log, with ~ for the home folder."""

    name = "TARGET"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return os.path.expanduser(str(value))


class ZoneParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """`x,y x,y …` on the command line, a Zone in the code. Raises SettingsError where it has no area."""

    name = "'X,Y X,Y …'"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from pocketsight.device.tracking.zones import parse_zone

        return parse_zone(value) if isinstance(value, str) else value


class ByteSizeParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """10MB on the command line, a number of bytes in the code."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg])b?", value, re.IGNORECASE)
        if not match or not float(match[1]):
            self.fail(f"{value!r} is not a size such as 500kB, 10MB or 1GB", param, ctx)
        return round(float(match[1]) * {"k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()])


class DelegateParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """auto, cpu or edgetpu; edgetpu with a bus and a number where there are several."""

    name = "delegate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"auto|cpu|edgetpu(:usb|:pci)?(:\d{1,2})?", value):
            self.fail(
                f"{value!r} is not one of auto, cpu, edgetpu, edgetpu:usb, edgetpu:pci, edgetpu:usb:1", param, ctx
            )
        return str(value)


class ChoicesParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """WORD,WORD on the command line, a tuple of some of the `choices` in the code; '' is none."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices, self.name = choices, ",".join(choices)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        words = value if isinstance(value, tuple) else tuple(dict.fromkeys(filter(None, value.split(","))))
        if unknown := [word for word in words if word not in self.choices]:
            self.fail(f"{unknown[0]!r} is not one of {', '.join(self.choices)}", param, ctx)
        return words


class AcceleratorParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """imx500, with a file where it is not that of the detector."""

    name = "imx500[:FILE]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, path = str(value).partition(":")
        if kind != "imx500" or (colon and not path):
            self.fail(f"{value!r} is not imx500 or imx500:FILE", param, ctx)
        return str(value)


class RotationParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A quarter turn, in degrees."""

    name = "0|90|180|270"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value) not in self.name.split("|"):
            self.fail(f"{value!r} is not one of 0, 90, 180, 270", param, ctx)
        return int(value)


class ControlParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """NAME=VALUE of a control of a camera."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name, equals, setting = str(value).partition("=")
        if not (name.strip() and equals and setting.strip()):
            self.fail(f"{value!r} is not NAME=VALUE, such as brightness=60", param, ctx)
        return str(value)


class DurationParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """10min on the command line, a number of seconds in the code."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", value)
        if not match or not float(match[1]):
            self.fail(f"{value!r} is not a duration such as 90s, 10min or 1h", param, ctx)
        return float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]


class ThreadCountsParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """1,2,4 on the command line, different numbers of threads in the code."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = value.split(",")
        if not all(word.isdecimal() and 1 <= int(word) <= MAX_THREADS for word in words) or len({*words}) < len(words):
            self.fail(f"{value!r} is not a list such as 1,2,4: numbers from 1 to {MAX_THREADS}, each once", param, ctx)
        return tuple(map(int, words))
