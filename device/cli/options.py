"""Options that several commands share."""

from __future__ import annotations

import os
import re
from math import isfinite
from pathlib import Path
from typing import Any

import click

from pocketsight.device.inference.shipped import MODELS_DIR

MAX_THREADS = 64  # at most


class SizeParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not a generic before click 8.4
    """WIDTHxHEIGHT on the command line, (height, width) within."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not like 640x480", param, ctx)
        return int(height), int(width)


class FiniteFloatRange(click.FloatRange):
    """A number within a range; nan and infinity are within none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class PathParam(click.Path):
    """A path that is one: an empty text would be the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("an empty text is no path", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


class DetectorParam(PathParam):
    """A model file, or `tiny` or `large` for those that come with pocketsight."""

    name = "FILE|tiny|large"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("tiny", "large") and not Path(value).exists():
            return MODELS_DIR / f"detector-{value}.tflite"
        return super().convert(value, param, ctx)


class ByteSizeParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """10MB on the command line, a number of bytes within."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg])b?", value, re.IGNORECASE)
        if not found or not float(found[1]):
            self.fail(f"{value!r} is not like 500kB, 10MB or 1GB", param, ctx)
        return round(float(found[1]) * {"k": 1e3, "m": 1e6, "g": 1e9}[found[2].lower()])


class DelegateParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """auto, cpu or edgetpu; the last with a bus and a number behind, when there are several."""

    name = "delegate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"auto|cpu|edgetpu(:usb|:pci)?(:\d{1,2})?", value):
            self.fail(f"{value!r} is none of auto, cpu, edgetpu, edgetpu:usb, edgetpu:pci, edgetpu:usb:1", param, ctx)
        return str(value)


class DurationParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """10min on the command line, a number of seconds within."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", value)
        if not found or not float(found[1]):
            self.fail(f"{value!r} is not like 90s, 10min or 1h", param, ctx)
        return float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]


class ThreadCountsParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """1,2,4 on the command line, different numbers of threads within."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = value.split(",")
        if not all(word.isdecimal() and 1 <= int(word) <= MAX_THREADS for word in words) or len({*words}) < len(words):
            self.fail(f"{value!r} is not like 2, or 1,2,4: numbers from 1 to {MAX_THREADS}, each once", param, ctx)
        return tuple(map(int, words))


THREAD_COUNT = click.IntRange(1, MAX_THREADS)


def model_options(command: Any, threads: Any = THREAD_COUNT, threads_help: str = "For each model.") -> Any:
    """Which models, and on how many threads: the same for every command that runs the pipeline."""
    for option in (
        click.option("--threads", type=threads, help=f"{threads_help}  [default: the fastest]"),
        click.option(
            "--delegate",
            type=DelegateParam(),
            default="auto",
            show_default=True,
            metavar="auto|cpu|edgetpu[:usb|:pci][:N]",
            help="What runs the models; auto: a Coral, where there is one and a file compiled for it.",
        ),
        click.option(
            "--resolution", type=SizeParam(), default="640x480", show_default=True, help="Asked of a live camera."
        ),
        click.option(
            "--classifier",
            type=click.Path(path_type=Path),
            default=MODELS_DIR / "sentiment.tflite",
            help="The classifier.  [default: the one that comes with pocketsight]",
        ),
        click.option(
            "--detector",
            type=DetectorParam(),
            default=MODELS_DIR / "detector.tflite",
            help="The detector, tiny or large for others that ship.  [default: the middle one]",
        ),
    ):
        command = option(command)
    return command
