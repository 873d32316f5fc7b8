"""pocketsight deploy ..."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import StrictGroup
from pocketsight.device.cli.param_types import PathParam
from pocketsight.device.errors import BoardError, PocketsightError
from pocketsight.export.deploy.fleet import FLEET_FILE, SERVICES, Target, choose, read_fleet

DEFAULT_COMMAND = "push"
PATH = PathParam()
SHIPPED = (Path("shipped"),)
WORKERS = 8  # boards at once
Work = Callable[[Target, Callable[[str], None]], dict[str, Any]]


class DeployGroup(StrictGroup):
    """`deploy BOARD` is `deploy push BOARD`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def board_options(command: Any) -> Any:
    """The options that say which boards, and how to reach them."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--ssh-config", type=PATH, metavar="FILE", help="Configuration of ssh.  [default: ~/.ssh/config]"),
        click.option("--python", metavar="PROGRAM", help="Python of the board.  [default: python3]"),
        click.option(
            "--prefix",
            metavar="FOLDER",
            help="Folder of the releases on the board.  [default: /opt/pocketsight, or ~/pocketsight]",
        ),
        click.option(
            "--service",
            type=click.Choice(SERVICES),
            help="Unit of the system (needs sudo) or of the user, or a process where there is no systemd."
            "  [default: auto]",
        ),
        click.option(
            "--fleet", type=PATH, metavar="FILE.toml", help=f"Boards by name and group.  [default: {FLEET_FILE}]"
        ),
        click.argument("boards", nargs=-1, required=True, metavar="BOARD..."),
    ):
        command = option(command)
    return command


@click.group(cls=DeployGroup, subcommand_metavar="[OPTIONS] BOARD... | status BOARD...")
def deploy() -> None:
    """Bring pocketsight and models to boards over ssh, check them there, and go back when something fails.

    BOARD is a host of ssh, or a name, a group or `all` of the fleet file. More: pocketsight deploy push --help
    """


@deploy.command()
@board_options
@click.option(
    "--models",
    type=PATH,
    multiple=True,
    metavar="FILE|shipped",
    help="A model file; repeat it for detector and classifier.  [default: those of the board, or the shipped ones]",
)
@click.option("--settings", type=PATH, metavar="FILE.toml", help="Settings of the run.  [default: those of the board]")
@click.option("--wheel", type=PATH, metavar="FILE.whl", help="Wheel of pocketsight.  [default: made of this checkout]")
@click.option("--no-packages", is_flag=True, help="Bring only pocketsight: the board has the packages that it needs.")
@click.option(
    "--watch", default=30.0, type=click.FloatRange(0), help="Seconds to watch the new run.", show_default=True
)
@click.option("--canary", type=click.IntRange(1), metavar="N", help="Wait for the first N boards before the rest.")
@click.option(
    "--check-on",
    type=PATH,
    multiple=True,
    metavar="DATA",
    help="Refuse models that are worse than those of the board on these labeled images.",
)
@click.option("--allow-worse", is_flag=True, help="Deploy them nevertheless.")
@click.option("--rollback", is_flag=True, help="Run the release before again.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
def push(
    boards: tuple[str, ...],
    models: tuple[Path, ...],
    settings: Path | None,
    wheel: Path | None,
    no_packages: bool,
    watch: float,
    canary: int | None,
    check_on: tuple[Path, ...],
    allow_worse: bool,
    rollback: bool,
    dry_run: bool,
    as_json: bool,
    ssh_config: Path | None,
    **target_options: Any,
) -> None:
    """Deploy to each BOARD: a host of ssh, or a name, a group or `all` of the fleet file.

    A release is copied next to the running one, checked there, and only then started. If it fails within the time of
    --watch, the board goes back by itself.
    """
    from pocketsight.export.deploy import deployment

    chosen = () if models == SHIPPED else models or None
    given: dict[str, Any] = {"models": chosen, "settings": _read_settings(settings), "lacks_packages": not no_packages}
    targets = _choose(boards, **target_options, **given)
    access = deployment.Access(ssh_config, len(targets) == 1, _ask_once())
    if rollback:
        if dry_run or models or settings or wheel:
            raise click.UsageError("--rollback takes none of --models, --settings, --wheel, --dry-run")
        _run(targets, lambda each, say: deployment.roll_back(each, watch, access, say), canary, as_json)
        return
    with tempfile.TemporaryDirectory() as folder:
        plan = deployment.Plan(_find_wheel(wheel, Path(folder)), watch, dry_run, () if allow_worse else check_on)
        _run(targets, lambda each, say: deployment.deploy(each, plan, access, say), canary, as_json)


@deploy.command()
@board_options
def status(boards: tuple[str, ...], as_json: bool, ssh_config: Path | None, **target_options: Any) -> None:
    """Show what each BOARD runs: version, models, uptime, frame rate, temperature, faults, free disk."""
    from pocketsight.export.deploy import deployment

    targets = _choose(boards, **target_options)
    access = deployment.Access(ssh_config, len(targets) == 1, _ask_once())
    _run(
        targets,
        lambda each, say: deployment.read_board_status(each, access, say),
        None,
        as_json,
        _status_text,
    )


def _find_wheel(wheel: Path | None, folder: Path) -> Path:
    from pocketsight.export.deploy.packages import build_wheel

    if wheel:
        return wheel
    click.echo("building the wheel", err=True)
    return build_wheel(folder)


def _choose(
    boards: Sequence[str], fleet: Path | None = None, lacks_packages: bool = True, **given: Any
) -> list[Target]:
    """The boards, with what the command line says in place of what the fleet file says."""
    known = read_fleet(fleet or FLEET_FILE) if fleet or FLEET_FILE.exists() else {}
    changes = {name: value for name, value in given.items() if value not in ("", None)}
    return choose(boards, known, **changes, **({} if lacks_packages else {"packages": False}))


def _read_settings(path: Path | None) -> dict[str, Any] | None:
    """The tables of a settings file. Raises SettingsError if a run would not take it."""
    import tomllib

    from pocketsight.device.cli.config_file import read_config_file

    if path is None:
        return None
    read_config_file(path)
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _ask_once() -> Callable[[str], str]:
    """Asks for the password of sudo when the first board needs it."""
    lock, answers = threading.Lock(), list[str]()

    def ask(host: str) -> str:
        with lock:
            if not answers:
                if not sys.stdin.isatty():
                    raise BoardError(f"{host}: sudo asks for a password there; run this command on a terminal")
                answers.append(click.prompt(f"password of sudo on {host}", hide_input=True, err=True))
            return answers[0]

    return ask


def _run(
    targets: Sequence[Target],
    work: Work,
    canary: int | None,
    as_json: bool,
    describe: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    """Do the work for all boards at once, the first `canary` before the others. Exit with status 1 if one fails."""
    from pocketsight.export.deploy.progress import Progress

    progress = Progress([target.name for target in targets], sys.stderr.isatty() and not as_json)

    def show(target: Target, text: str, color: str | None = None) -> None:
        if not as_json:
            progress.show(target.name, text, color)

    def one(target: Target) -> dict[str, Any]:
        try:
            facts = work(target, lambda text: show(target, text))
        except PocketsightError as error:
            show(target, f"FAILED: {error}", "red")
            return {"board": target.name, "host": target.host, "ok": False, "reason": str(error)}
        show(target, (describe or _result_text)(facts), "green")
        return {"board": target.name, "host": target.host, "ok": True, **facts}

    first, rest = targets[: canary or 0], targets[canary or 0 :]
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(one, first))
        if all(result["ok"] for result in results):
            results += pool.map(one, rest)
        else:
            results += [
                {"board": each.name, "host": each.host, "ok": False, "reason": "not begun: a board before it failed"}
                for each in rest
            ]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    if not all(result["ok"] for result in results):
        sys.exit(1)


def _result_text(facts: dict[str, Any]) -> str:
    verb = "would run" if facts.get("planned") else "runs" if facts["changed"] else "runs already"
    return "; ".join([f"{verb} {facts['release']}", *facts["notes"]])


def _status_text(facts: dict[str, Any]) -> str:
    if not facts["release"]:
        return "no release"
    if not facts["running"]:
        return f"{facts['release']} does not run"
    parts = [
        facts["release"],
        *(facts["models"] or {}).values(),
        f"up {(facts['uptime_s'] or 0) / 3600:.1f} h",
        f"{facts['fps'] or 0:g} fps",
        f"{facts['temperature']:g} °C" if facts["temperature"] is not None else "",
        f"faults: {', '.join(facts['faults'])}" if facts["faults"] else "",
        f"{(facts['disk_free'] or 0) / 1e9:.1f} GB free",
        "a change was cut off" if facts["unfinished"] else "",
    ]
    return ", ".join(part for part in parts if part)
