"""`pocketsight collect`: bring the frames that a board kept to the workstation, to label them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from pocketsight.device.cli.options import StrictCommand
from pocketsight.device.errors import BoardError
from pocketsight.train.cli.options import PATH

if TYPE_CHECKING:
    from pocketsight.export.deploy.ssh import Board
    from pocketsight.train.curation.collected import CollectSummary
    from pocketsight.train.curation.image_hash import Fingerprint

# Of a run or a service of the user (before systemd 254 in .config), and of a service of the system.
BOARD_FOLDERS = (
    '"${XDG_STATE_HOME:-$HOME/.local/state}/pocketsight/collected" "$HOME/.config/pocketsight/collected" '
    "/var/lib/pocketsight/collected"
)


@click.command(cls=StrictCommand)
@click.argument("source", metavar="HOST_OR_FOLDER")
@click.option(
    "--folder",
    help="Folder of the frames on the board, as its --collect-folder.  [default: that of the service]",
)
@click.option(
    "--known",
    type=PATH,
    multiple=True,
    help="Data set whose images are known, such as that of the training; repeat it for several.",
)
@click.option("-o", "--out", type=PATH, default=Path("collected"), show_default=True, help="Folder for the data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def collect(source: str, folder: str | None, known: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Bring home the frames that `pocketsight run --collect` kept, and write labels to correct.

    HOST_OR_FOLDER is a board as ssh reaches it, or a folder of such frames on this machine. OUT gets a data set for
    each board and day, with what the models found as its first labels. Near-duplicates of known images are left out.
    Nothing is deleted on the board.
    """
    from pocketsight.export.deploy.ssh import Board
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.collected import collect_frames

    def progress(found: Iterable[Fingerprint], total: int) -> Iterable[Fingerprint]:
        return progress_bar(found, total, "comparing")

    with TemporaryDirectory(prefix="pocketsight-") as temporary:
        frames = Path(source)
        if not frames.is_dir():
            frames = Path(temporary)
            with Board(source) as board:
                board.get(folder or find_folder(board), frames)
        summary = collect_frames(frames, out, known, progress)
    click.echo(json.dumps(asdict(summary), indent=2, default=str) if as_json else describe(summary))


def find_folder(board: Board) -> str:
    """The default folder of kept frames on a board. Raises BoardError where there is none that may be read."""
    found = board.run(f'for folder in {BOARD_FOLDERS}; do if [ -r "$folder" ]; then echo "$folder"; exit; fi; done')
    if not found:
        raise BoardError(
            f"{board.host} has no kept frames that you may read. Those of a system service belong to it: try "
            f"pocketsight collect root@{board.host.rpartition('@')[2]}. Another folder: --folder"
        )
    return found.splitlines()[0]


def describe(summary: CollectSummary) -> str:
    """The counts as lines, and the command to run next."""
    lines = [f"{summary.out / name}: {count} new" for name, count in sorted(summary.added.items())]
    if summary.reasons:
        lines.append("reasons: " + ", ".join(f"{name} {count}" for name, count in sorted(summary.reasons.items())))
    lines.append(f"left out: {summary.duplicates} near-duplicates; {summary.present} are here already")
    lines += [f"skipped: {line}" for line in summary.skipped]
    if summary.added:
        first = summary.out / min(summary.added)
        lines.append(f"next: pocketsight data label {shlex.quote(str(first))}")
    return "\n".join(lines)
