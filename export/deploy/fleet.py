"""The boards of a fleet: names, hosts, groups and settings that differ, from a TOML file."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import BoardError
from pocketsight.device.system.toml_file import read_toml
from pocketsight.export.deploy.ssh import HERE

FLEET_FILE = Path("boards.toml")
ALL = "all"
SERVICES = "auto", "system", "user", "process"


@dataclass(frozen=True)
class Target:
    """A board, and what it should run.

    `models` are files here, () those of the package. `settings` are tables of a settings file. None leaves what the
    board has. `prefix` is the folder of the releases, "" for the usual one of its service.
    """

    name: str
    host: str
    groups: tuple[str, ...] = ()
    models: tuple[Path, ...] | None = None
    settings: Mapping[str, Any] | None = None
    service: str = "auto"
    prefix: str = ""
    python: str = "python3"
    packages: bool = True  # whether the board lacks the packages that pocketsight needs


KEYS = {each.name: each.type for each in fields(Target) if each.name != "name"}


def read_fleet(path: Path) -> dict[str, Target]:
    """The boards of a fleet file by name. Raises BoardError where it cannot be read or has a wrong key or value."""
    document = read_toml(path, BoardError)
    try:
        return _read_boards(document, path.parent)
    except BoardError as error:
        raise BoardError(f"{path}: {error}") from error


def _read_boards(document: Mapping[str, Any], folder: Path) -> dict[str, Target]:
    for table, content in document.items():
        if table not in ("defaults", "boards") or not isinstance(content, dict):
            raise BoardError(f"there must be no {table} here; the tables are [defaults] and [boards.NAME]")
    defaults, boards = document.get("defaults", {}), document.get("boards", {})
    if "host" in defaults:
        raise BoardError("[defaults] must have no host")
    targets = {name: _read_board(name, defaults, board, folder) for name, board in boards.items()}
    for target in targets.values():
        for group in target.groups:
            if group in targets or group == ALL:
                raise BoardError(f"boards.{target.name}: {group} is no name for a group: it stands for something else")
    return targets


def _read_board(name: str, defaults: Mapping[str, Any], board: Any, folder: Path) -> Target:
    if name in (ALL, "status") or not isinstance(board, dict):
        raise BoardError(f"boards.{name} must be a table [boards.NAME] with another name than {ALL} and status")
    values = {**defaults, **board}
    for key, value in values.items():
        if key not in KEYS:
            raise BoardError(f"boards.{name}: there is no key {key}; possible: {', '.join(KEYS)}")
        if not _fits(key, value):
            raise BoardError(f"boards.{name}: {key} = {value!r} must be {_expected(key)}")
    if "settings" in values:
        tables = defaults.get("settings", {}), board.get("settings", {})
        values["settings"] = {
            table: {**tables[0].get(table, {}), **tables[1].get(table, {})} for table in [*tables[0], *tables[1]]
        }
    if "models" in values:
        values["models"] = tuple(folder / Path(path).expanduser() for path in values["models"])
    return Target(name, **{"host": name, **values, "groups": tuple(values.get("groups", ()))})


def _fits(key: str, value: Any) -> bool:
    if key in ("groups", "models"):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if key == "settings":
        return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
    if key == "packages":
        return isinstance(value, bool)
    return isinstance(value, str) and (key != "service" or value in SERVICES)


def _expected(key: str) -> str:
    kinds = {
        "groups": "a list of strings",
        "models": "a list of strings",
        "settings": "tables of settings",
        "packages": "true or false",
        "service": f"one of {', '.join(SERVICES)}",
    }
    return kinds.get(key, "a string")


def _short_name(host: str) -> str:
    """The name of a board that is in no fleet file."""
    return socket.gethostname() if host == HERE else host.removeprefix("ssh://").rpartition("@")[2]


def choose(names: Sequence[str], fleet: Mapping[str, Target], **given: Any) -> list[Target]:
    """The boards that names, groups, `all` or hosts stand for, each once, in the order of the names.

    `given` are fields of Target from the command line, which replace those of the file. Raises BoardError for `all`
    without a fleet.
    """
    chosen: dict[str, Target] = {}
    for name in names:
        found = [target for target in fleet.values() if name in (target.name, *target.groups, ALL)]
        if name == ALL and not fleet:
            raise BoardError(f"there is no fleet: all stands for the boards of {FLEET_FILE}, or of --fleet FILE")
        for target in found or [Target(_short_name(name), name)]:
            chosen[target.name] = replace(target, **given)
    return list(chosen.values())
