"""The command `pocketsight`. Its groups load a command when it is called.

Commands of the board are in this folder, one file each. Those of the workstation come through entry points, so nothing
in device/ imports them.
"""

from __future__ import annotations

import sys
from errno import ENOSPC
from importlib import import_module
from importlib.metadata import entry_points
from io import TextIOWrapper
from typing import Any

import click

from pocketsight.device.errors import PocketsightError
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.logging_setup import configure_logging

BUILTIN_COMMANDS = "bench", "camera", "config", "data", "doctor", "info", "run", "verify"
EXTRA_BY_MODULE = {
    "cv2": "opencv",
    "paho": "mqtt",
    **dict.fromkeys(("prometheus_client", "starlette", "uvicorn"), "web"),
    **dict.fromkeys(
        "PIL albumentations defusedxml imagehash jinja2 keras matplotlib".split()
        + "pycocotools rich scipy sklearn tensorflow yaml".split(),
        "train",
    ),
    "av": "video",
    "pillow_heif": "heic",
    "skimage": "demo",
    **dict.fromkeys(("onnx", "onnxruntime", "tf2onnx"), "onnx"),
}
OTHER_INSTALLS = {
    "cv2": ", or on a Raspberry Pi: sudo apt install python3-opencv",
    "paho": ", in an environment that does not see the older package of apt",
}


class CommandGroup(click.Group):
    """The commands of a group: files in this folder, and entry points of the other parts of pocketsight.

    A PocketsightError becomes one line and exit status 1.
    """

    builtin: tuple[str, ...] = BUILTIN_COMMANDS
    entry_point_group = "pocketsight.commands"

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.builtin, *entry_points(group=self.entry_point_group).names])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command: click.Command | None = None
        if cmd_name in self.builtin:
            command = getattr(import_module(f"pocketsight.device.cli.{cmd_name}"), cmd_name)
        for entry in entry_points(group=self.entry_point_group, name=cmd_name):
            command = entry.load()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PocketsightError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno != ENOSPC or error.filename:  # errors of our own files are PocketsightErrors
                raise
            raise click.ClickException(f"the output cannot be written: {error.strerror}") from error
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            if name not in EXTRA_BY_MODULE:
                raise
            raise click.ClickException(f"{name} is not installed; get it with: {missing_module_hint(name)}") from error


def missing_module_hint(module: str) -> str:
    """The command that installs a module of an extra."""
    return install_command(EXTRA_BY_MODULE[module]) + OTHER_INSTALLS.get(module, "")


class DataCommandGroup(CommandGroup):
    """The commands of `pocketsight data`."""

    builtin: tuple[str, ...] = ("capture",)
    entry_point_group = "pocketsight.commands.data"


@click.group(cls=CommandGroup)
@click.version_option(package_name="pocketsight")
@click.option("-v", "--verbose", count=True, help="Show more messages; -vv shows debug messages.")
@click.option("-q", "--quiet", is_flag=True, help="Show only errors.")
def main(verbose: int, quiet: bool) -> None:
    """Train, export and run a face detector and a face classifier."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # or a name that the terminal's encoding lacks would end the command
            stream.reconfigure(errors="backslashreplace")
    configure_logging(-1 if quiet else verbose)
