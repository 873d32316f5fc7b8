"""Options that several commands share."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

MODELS = Path(str(files("edgekit.models")))
EXAMPLE = MODELS / "example.jpg"


class Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not a generic before click 8.4
    """WIDTHxHEIGHT on the command line, (height, width) within."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not like 640x480", param, ctx)
        return int(height), int(width)


class Bytes(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """10MB on the command line, a number of bytes within."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)B?", value)
        if not found or not float(found[1]):
            self.fail(f"{value!r} is not like 10MB", param, ctx)
        return round(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]])


def model_options(command: Any) -> Any:
    """Which models, and on how many threads: the same for every command that runs the pipeline."""
    for option in (
        click.option("--threads", type=click.IntRange(1, 64), help="For each model.  [default: the fastest]"),
        click.option("--size", type=Size(), default="640x480", show_default=True, help="Asked of a live camera."),
        click.option("--sentiment", type=click.Path(path_type=Path), default=MODELS / "sentiment.tflite",
                     help="The classifier.  [default: the one that comes with edgekit]"),
        click.option("--detector", type=click.Path(path_type=Path), default=MODELS / "detector.tflite",
                     help="The detector.  [default: the one that comes with edgekit]"),
    ):  # fmt: skip
        command = option(command)
    return command
