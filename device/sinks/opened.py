"""From `--log` to sinks: what each target means, and all of them as one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.device.errors import LogError
from edgekit.device.record import Entry
from edgekit.device.sinks.sink import Limits, Sink
from edgekit.device.sinks.writer import Writer

if TYPE_CHECKING:
    from edgekit.device.events import Tell
    from edgekit.device.plan import Plan
    from edgekit.device.state import State

FLUSH = 1.5  # seconds for what waits at the end; a service has two to end


class Logs:
    """Every sink of a run, each with its writer."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers = writers

    def put(self, entry: Entry, wait: bool = False) -> None:
        """Hand an entry to all of them, as `Writer.put` does."""
        for writer in self.writers:
            writer.put(entry, wait)

    def has_room(self, seconds: float = 0.0) -> bool:
        """Whether all can take an entry more without loss, as `Writer.has_room`."""
        end = time.monotonic() + seconds
        return all([writer.has_room(max(0.0, end - time.monotonic())) for writer in self.writers])

    def check(self) -> None:
        """Raise what went wrong in a writer's thread without being foreseen."""
        for writer in self.writers:
            writer.check()

    @property
    def ended(self) -> bool:
        """Whether the reader of one of them has seen enough."""
        return any(writer.ended for writer in self.writers)

    @property
    def why(self) -> str:
        """What keeps the first that is faulty from being written."""
        faults = [writer.fault.detail for writer in self.writers if writer.fault]
        slow = [f"{writer.name} takes too long" for writer in self.writers if writer.waiting]
        return next(iter(faults + slow), "")

    def facts(self) -> dict[str, Any]:
        """Bytes a day of all, and what each has done since the start."""
        return {
            "bytes_a_day": sum(writer.bytes_a_day() for writer in self.writers),
            "logs": {
                writer.name: {
                    "written": writer.written, "waiting": writer.waiting, "lost": writer.lost,
                    "deleted": writer.sink.deleted, "bytes": writer.sink.bytes, "bytes_a_day": writer.bytes_a_day(),
                    "fault": writer.fault.detail if writer.fault else None,
                }
                for writer in self.writers
            },
        }  # fmt: skip

    def finish(self, seconds: float = FLUSH) -> int:
        """Write what waits and close all, within `seconds`; how many entries were left over."""
        end = time.monotonic() + seconds
        for writer in self.writers:
            writer.stop()
        done = [writer.close(max(0.0, end - time.monotonic())) for writer in self.writers]
        return sum(max(1, writer.waiting) for writer, whole in zip(self.writers, done, strict=True) if not whole)

    def close(self) -> None:
        """As `finish`, for a run that ends in an error of its own."""
        self.finish()


def open_logs(plan: Plan, state: State, tell: Tell) -> Logs:
    """Open all of `plan.log`. Raises LogError, with none left open, when one cannot be written."""
    places = [os.path.realpath(target) if _is_file(target) else target for target in plan.log]
    if twice := [target for target, place in zip(plan.log, places, strict=True) if places.count(place) > 1]:
        raise LogError(f"--log {twice[0]} is given twice")
    sinks: list[Sink] = []
    try:
        for target in plan.log:
            sinks.append(open_sink(target, plan, state, tell))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return Logs([Writer(sink, tell) for sink in sinks])


def open_sink(target: str, plan: Plan, state: State, tell: Tell) -> Sink:
    """The sink that stands behind one --log: - or an address or, by its ending, a file. Raises LogError."""
    if not _is_file(target):
        return _open_other(target, plan, state, tell)
    path, limits = Path(target), plan.limits or Limits()
    if path.suffix.lower() in (".db", ".sqlite", ".sqlite3"):
        from edgekit.device.sinks.sqlite import Database

        return Database(path, limits, tell)
    if path.suffix.lower() == ".csv":
        from edgekit.device.sinks.table import open_table

        return open_table(path, limits)
    from edgekit.device.sinks.jsonl import open_jsonl

    return open_jsonl(path, limits)


def _open_other(target: str, plan: Plan, state: State, tell: Tell) -> Sink:
    if target == "-":
        from edgekit.device.sinks.jsonl import Output

        return Output()
    scheme = target.partition("://")[0]
    if scheme not in ("mqtt", "mqtts"):
        raise LogError(f"--log {scheme}://... is nothing that can be written; it may be -, a file, mqtt:// or mqtts://")
    from edgekit.device.sinks.mqtt import open_mqtt

    return open_mqtt(
        target, password_file=plan.mqtt_password_file, ca_file=plan.mqtt_ca, state=state, folder=_memory(), tell=tell,
        room=plan.mqtt_room, discovery=plan.mqtt_discovery,
    )  # fmt: skip


def _memory() -> Path:
    """Where events wait for a broker: what systemd gives a service, or the user's own folder. Raises LogError."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(given) if given else Path(home) / "edgekit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{folder} cannot be made, where events wait for a broker: {error.strerror}") from error
    return folder


def _is_file(target: str) -> bool:
    return target != "-" and "://" not in target
