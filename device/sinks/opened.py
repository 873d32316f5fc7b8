"""From `--log` to sinks: what each target means, and all of them as one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketsight.device.camera.stream import without_secrets
from pocketsight.device.errors import LogError
from pocketsight.device.record import Entry
from pocketsight.device.sinks.sink import Limits, Sink
from pocketsight.device.sinks.writer import Writer

if TYPE_CHECKING:
    from pocketsight.device.events import Tell
    from pocketsight.device.plan import Plan
    from pocketsight.device.state import State

FLUSH = 1.5  # seconds for what waits at the end; a service has two to end


class Logs:
    """Every sink of a run, each with its writer."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers, self.finished = writers, False

    def put(self, entry: Entry) -> None:
        """Hand an entry to all of them, as `Writer.put` does."""
        for writer in self.writers:
            writer.put(entry)

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
        """What keeps them from being written."""
        faults = [writer.fault.detail for writer in self.writers if writer.fault]
        slow = [f"{writer.name} takes too long" for writer in self.writers if writer.waiting]
        return "; ".join(faults + slow)

    def facts(self) -> dict[str, Any]:
        """Bytes a day of all, and what each has done since the start."""
        return {
            "bytes_a_day": sum(writer.bytes_a_day() for writer in self.writers),
            "bytes": sum(writer.sink.bytes for writer in self.writers),
            "lost": sum(writer.lost for writer in self.writers),
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
        end = time.monotonic() + seconds if not self.finished else 0.0  # what hung once is not waited for again
        self.finished = True
        for writer in self.writers:
            writer.stop()
        done = [writer.close(max(0.0, end - time.monotonic())) for writer in self.writers]
        return sum(max(1, writer.waiting) for writer, whole in zip(self.writers, done, strict=True) if not whole)

    def close(self) -> None:
        """As `finish`, for a run that ends in an error of its own."""
        self.finish()


class Shared:
    """Faults of several writers by the same name: begun with the first, over with the last."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.lock = tell, threading.Lock()
        self.faulty: dict[str, set[str]] = {}

    def of(self, name: str) -> Tell:
        """What one writer calls."""

        def tell(what: str, begun: bool, detail: str) -> None:
            with self.lock:
                faulty = self.faulty.setdefault(what, set())
                before = bool(faulty)
                (faulty.add if begun else faulty.discard)(name)
                changed = before != bool(faulty)
            if changed:
                self.tell(what, begun, detail)

        return tell


def open_logs(plan: Plan, limits: Limits, state: State, tell: Tell) -> Logs:
    """Open all of `plan.log`. Raises LogError, with none left open, when one cannot be written."""
    places = [os.path.realpath(target) if _is_file(target) else target for target in plan.log]
    if twice := [target for target, place in zip(plan.log, places, strict=True) if places.count(place) > 1]:
        raise LogError(f"--log {without_secrets(twice[0])} is given twice")
    sinks: list[Sink] = []
    try:
        for target in plan.log:
            sinks.append(open_sink(target, plan, limits, state, tell))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    shared = Shared(tell)
    return Logs([Writer(sink, shared.of(sink.name)) for sink in sinks])


def open_sink(target: str, plan: Plan, limits: Limits, state: State, tell: Tell) -> Sink:
    """The sink that stands behind one --log: - or an address or, by its ending, a file. Raises LogError."""
    if not _is_file(target):
        return _open_other(target, plan, state, tell)
    path = Path(target)
    if path.suffix.lower() in (".db", ".sqlite", ".sqlite3"):
        from pocketsight.device.sinks.sqlite import Database

        return Database(path, limits, tell)
    if path.suffix.lower() == ".csv":
        from pocketsight.device.sinks.table import open_table

        return open_table(path, limits)
    from pocketsight.device.sinks.jsonl import open_jsonl

    return open_jsonl(path, limits)


def _open_other(target: str, plan: Plan, state: State, tell: Tell) -> Sink:
    if target == "-":
        from pocketsight.device.sinks.jsonl import Output

        return Output()
    scheme = target.partition("://")[0]
    if scheme not in ("mqtt", "mqtts"):
        raise LogError(f"--log {scheme}://... is nothing that can be written; it may be -, a file, mqtt:// or mqtts://")
    from pocketsight.device.sinks.mqtt import open_mqtt

    return open_mqtt(
        target, password_file=plan.mqtt_password_file, ca_file=plan.mqtt_ca, state=state, folder=_memory(), tell=tell,
        room=plan.mqtt_room, discovery=plan.mqtt_discovery,
    )  # fmt: skip


def _memory() -> Path:
    """Where events wait for a broker: what systemd gives a service, or the user's own folder. Raises LogError."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(given) if given else Path(home) / "pocketsight"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{folder} cannot be made, where events wait for a broker: {error.strerror}") from error
    return folder


def _is_file(target: str) -> bool:
    return target != "-" and "://" not in target
