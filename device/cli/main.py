"""The command. Ours are in `commands/`, a file each; those of the other folders arrive through entry points, so that
nothing here imports them. Each is loaded when it is called."""

from __future__ import annotations

from errno import ENOSPC
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from pocketsight.device.errors import PocketsightError

BUILTIN_COMMANDS = "bench", "camera", "config", "data", "doctor", "info", "run", "verify"

INSTALL_HINTS = {  # how to get a missing module
    "cv2": "pip install 'pocketsight[opencv]', or on a Pi: sudo apt install python3-opencv",
    "paho": "pip install 'pocketsight[mqtt]', in an environment that does not see apt's older one",
    **dict.fromkeys(("prometheus_client", "starlette", "uvicorn"), "pip install 'pocketsight[web]'"),
    **dict.fromkeys(
        ("PIL albumentations imagehash keras matplotlib pycocotools rich sklearn tensorflow yaml").split(),
        "pip install 'pocketsight[train]'",
    ),
}


class CommandGroup(click.Group):
    """Our commands plus those that pyproject.toml lists; our errors become one line and exit status 1."""

    builtin: tuple[str, ...] = BUILTIN_COMMANDS
    entry_point_group = "pocketsight.commands"  # the group of entry points

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
            if error.errno != ENOSPC or error.filename:  # of a file ours would be an PocketsightError
                raise
            raise click.ClickException(f"the output cannot be written: {error.strerror}") from error
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            if name not in INSTALL_HINTS:
                raise
            line = f"{name} is not installed; get it with: {INSTALL_HINTS[name]}"
            raise click.ClickException(line) from error


class DataCommandGroup(CommandGroup):
    """Of `pocketsight data`."""

    builtin: tuple[str, ...] = ("capture",)
    entry_point_group = "pocketsight.commands.data"


@click.group(cls=CommandGroup)
@click.version_option(package_name="pocketsight")
def main() -> None:
    """Train, export and run a face detector and a happy/sad classifier."""
