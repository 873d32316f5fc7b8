"""The steps of a deployment to one board."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.imx500_file import APT_PACKAGES
from pocketsight.export.deploy.agent_session import AgentSession
from pocketsight.export.deploy.facts import BoardFacts, read_facts, require_supported
from pocketsight.export.deploy.fleet import Target
from pocketsight.export.deploy.packages import fetch_packages, read_wheel, wheel_version
from pocketsight.export.deploy.quality_gate import require_not_worse
from pocketsight.export.deploy.release import Kept, Release, find_camera_files, make_release
from pocketsight.export.deploy.ssh import Board

SYSTEM_PREFIX, USER_PREFIX = "/opt/pocketsight", "~/pocketsight"
BATCH_BYTES = 2_000_000  # of files in one request
FIRST_SETTINGS = """# All settings: pocketsight config show --toml
[log]
targets = ["{log}"]

[run]
max_temperature = 75
"""
# A Coral on USB has another vendor before its firmware is loaded.
UDEV_RULES = """SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", GROUP="plugdev"
SUBSYSTEM=="usb", ATTRS{idVendor}=="18d1", ATTRS{idProduct}=="9302", GROUP="plugdev"
SUBSYSTEM=="apex", GROUP="plugdev", MODE="0660"
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Access:
    """How boards are reached: a configuration of ssh, whether ssh may ask the user, and who knows sudo's password."""

    config: Path | None = None
    may_ask: bool = True
    ask_password: Callable[[str], str] = lambda host: ""


class Connection:
    """A board that answers, and what is known about it. Closes with its block."""

    def __init__(self, target: Target, access: Access, say: Say) -> None:
        self.target, self.access, self.say = target, access, say
        self.stack = ExitStack()

    def __enter__(self) -> Connection:
        with ExitStack() as stack:
            self.say("connecting")
            self.board = stack.enter_context(Board(self.target.host, self.access.config, self.access.may_ask))
            self.facts = read_facts(self.board, self.target.python)
            self.kind = _service_kind(self.target, self.facts)
            self.prefix = self.target.prefix or (SYSTEM_PREFIX if self.kind == "system" else USER_PREFIX)
            require_supported(self.facts, self.target.host)
            self.agent = stack.enter_context(self._agent())
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    @property
    def is_root(self) -> bool:
        """Whether the agent may change the system."""
        return self.kind == "system" or self.facts.rights == "root"

    @property
    def settings_path(self) -> str:
        """The settings of the board itself."""
        return "/etc/pocketsight.toml" if self.kind == "system" else f"{self.prefix}/settings.toml"

    def _agent(self) -> AgentSession:
        sudo, password = self.kind == "system" and self.facts.rights != "root", ""
        if sudo and self.facts.rights == "password":
            password = self.access.ask_password(self.target.host)
        if sudo and not (password or self.facts.rights == "sudo"):
            raise BoardError(f"{self.target.host}: a service of the system needs root or sudo; or use --service user")
        return AgentSession(self.board, self.target.python, self.prefix, self.kind, sudo, password, self.say)


def _service_kind(target: Target, facts: BoardFacts) -> str:
    if target.service != "auto":
        return target.service
    return "system" if facts.systemd and facts.rights else "user" if facts.systemd else "process"


@dataclass(frozen=True)
class Plan:
    """What to deploy: a wheel of pocketsight, seconds to watch, and whether only to say what would happen.

    Models that are worse on the images of `check_on` than those of the board are refused.
    """

    wheel: Path
    watch: float = 30.0
    dry_run: bool = False
    check_on: tuple[Path, ...] = ()


def deploy(target: Target, plan: Plan, access: Access, say: Say) -> dict[str, Any]:
    """Bring a release to a board, check it there, switch to it and watch it; returns facts for a report.

    Raises BoardError if anything fails. The board then runs what it ran.
    """
    with Connection(target, access, say) as connection:
        agent = connection.agent
        say(str(connection.facts))
        if plan.dry_run:
            return _describe_plan(connection, plan)
        begun = agent.ask("begin")
        if begun["left"]:
            say(f"a deployment of {begun['left']} was cut off; went back")
        notes = [
            *_compare_models(connection, plan, begun["current"]),
            *_install_by_apt(connection, not begun["current"]),
        ]
        release = _release(connection, plan)
        before = agent.ask("status")
        if release.name == before["release"] and before["running"]:
            return {"release": release.name, "changed": False, "notes": notes}
        if not _send(agent, release, say):
            checked = agent.ask("check", name=release.name, models=release.model_paths, settings=_settings(connection))
            notes += [f"{checked['fps']:g} fps in bench", *checked["warnings"]]
        is_new_unit = agent.ask("install", unit=_unit(connection), udev=UDEV_RULES if _has_udev(connection) else "")
        result = agent.ask(
            "switch", name=release.name, models=release.models, watch=plan.watch, may_reload=not is_new_unit
        )
        return {"release": release.name, "previous": before["release"], "changed": True, "notes": [*notes, result]}


def roll_back(target: Target, watch: float, access: Access, say: Say) -> dict[str, Any]:
    """Run the release before again. Raises BoardError if there is none, or if it fails."""
    with Connection(target, access, say) as connection:
        connection.agent.ask("begin")
        done = connection.agent.ask("rollback", watch=watch)
        return {"release": done["release"], "changed": True, "notes": [done["result"]]}


def read_board_status(target: Target, access: Access, say: Say) -> dict[str, Any]:
    """What a board runs, and how it does."""
    with Connection(target, access, say) as connection:
        status: dict[str, Any] = connection.agent.ask("status")
        return status


def _compare_models(connection: Connection, plan: Plan, current: str | None) -> list[str]:
    models = connection.target.models
    if not (plan.check_on and models and current):
        return []
    connection.say("comparing its models with the new ones")
    kept = {path: Kept(*facts) for path, facts in connection.agent.ask("kept").items()}
    prefix = connection.prefix
    if prefix.startswith("~/"):
        prefix = connection.board.run('printf %s "$HOME"') + prefix[1:]
    return require_not_worse(connection.board, f"{prefix}/current", kept, models, plan.check_on)


def _describe_plan(connection: Connection, plan: Plan) -> dict[str, Any]:
    release = _release(connection, plan)
    found = connection.agent.ask("plan", name=release.name, sums=release.sums)
    size = sum(release.sizes[path] for path in found["missing"])
    notes = [f"would copy {len(found['missing'])} of {len(release.files)} files, {size / 1e6:.1f} MB"]
    if packages := _apt_packages(connection, not found["current"]):
        notes.insert(0, f"would install by apt: {' '.join(packages)}")
    return {
        "release": release.name,
        "previous": found["current"],
        "changed": release.name != found["current"],
        "planned": True,
        "notes": notes,
    }


def _apt_packages(connection: Connection, is_fresh: bool) -> list[str]:
    """What only Debian has, or has built for this board. A board that runs a release keeps the OpenCV that it got."""
    facts = connection.facts
    if not (connection.is_root and facts.apt and connection.target.packages):
        return []
    missing = ["python3-opencv", "python3-numpy"] if is_fresh and not (facts.cv2 and facts.numpy) else []
    if facts.is_pi and not facts.picamera2:
        missing.append("python3-picamera2")
    if facts.is_pi and not facts.imx500 and find_camera_files(connection.target.models or ()):
        missing += APT_PACKAGES
    return missing


def _install_by_apt(connection: Connection, is_fresh: bool) -> list[str]:
    if not (packages := _apt_packages(connection, is_fresh)):
        return []
    reason = connection.agent.ask("apt", packages=packages)
    connection.facts = read_facts(connection.board, connection.target.python)
    return [f"apt cannot install {' '.join(packages)}: {reason}"] if reason else []


def _release(connection: Connection, plan: Plan) -> Release:
    connection.say("collecting its packages")
    target = connection.target
    package = read_wheel(plan.wheel)
    packages = fetch_packages(connection.facts, plan.wheel) if target.packages else None
    kept = {path: Kept(*facts) for path, facts in connection.agent.ask("kept").items()}
    return make_release(
        wheel_version(package),
        package,
        packages,
        target.models,
        target.settings,
        kept,
        target.name,
        target.python,
        connection.settings_path if connection.kind == "system" else '"${here%/current}/settings.toml"',
    )


def _settings(connection: Connection) -> str:
    """Give the board a first settings file if it has none; returns its path."""
    log = "/var/log/pocketsight/events.jsonl" if connection.kind == "system" else "events.jsonl"
    path = connection.settings_path
    connection.agent.ask("settings", FIRST_SETTINGS.format(log=log).encode(), path=path)
    return path


def _send(agent: AgentSession, release: Release, say: Say) -> bool:
    """Copy what is missing on the board; returns whether it was all there and has passed its checks."""
    prepared = agent.ask("prepare", name=release.name, sums=release.sums, size=sum(release.sizes.values()))
    missing: list[str] = prepared["missing"]
    total, sent = sum(release.sizes[path] for path in missing), 0
    while missing:
        batch: dict[str, bytes] = {}
        while missing and (not batch or sum(map(len, batch.values())) < BATCH_BYTES):
            path = missing.pop(0)
            batch[path] = release.read(path)
        say(f"copying {sent / 1e6:.1f} of {total / 1e6:.1f} MB")
        agent.ask(
            "write",
            b"".join(batch.values()),
            name=release.name,
            sizes={path: len(data) for path, data in batch.items()},
        )
        sent += sum(map(len, batch.values()))
    return bool(prepared["verified"]) and not sent


def _has_udev(connection: Connection) -> bool:
    return bool(connection.is_root and connection.facts.coral)


def _unit(connection: Connection) -> str:
    """The unit of systemd for this board."""
    if connection.kind == "process":
        return ""
    name = "pocketsight.service" if connection.kind == "system" else "pocketsight-user.service"
    text = files("pocketsight.export.deploy").joinpath(name).read_text(encoding="utf-8")
    prefix = connection.prefix.replace("~", "%h", 1) if connection.kind == "user" else connection.prefix
    text = text.replace(SYSTEM_PREFIX, prefix).replace("/usr/bin/python3", connection.target.python)
    if connection.facts.coral:
        text = text.replace("SupplementaryGroups=video\n", "SupplementaryGroups=video plugdev\n")
        text = text.replace("#DeviceAllow=char-usb_device", "DeviceAllow=char-apex rw\nDeviceAllow=char-usb_device")
    return text


def with_settings(target: Target, settings: dict[str, Any]) -> Target:
    """The target with settings of the command line on top of its own."""
    tables = dict(target.settings or {})
    for table, content in settings.items():
        tables[table] = {**tables.get(table, {}), **content}
    return replace(target, settings=tables)
