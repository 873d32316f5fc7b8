"""Settings and models that are read again while the loop goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.edgetpu import beside, load_on, runs_on
from pocketsight.device.errors import PocketsightError
from pocketsight.device.golden import demand
from pocketsight.device.interpreter import Loaded
from pocketsight.device.plan import Plan

Again = Callable[[], Plan]  # reads the settings once more
Models = tuple[Loaded, Loaded]  # detector, sentiment


class Found(NamedTuple):
    """What the settings say now, and the models if they are others than before."""

    plan: Plan
    models: Models | None


def load_models(plan: Plan) -> Models:
    """Both models of a plan. Raises ModelError, also when one computes something else than where it was exported."""
    return _load(plan, plan.detector, "detector"), _load(plan, plan.sentiment, "sentiment")


def _load(plan: Plan, path: Path, task: str) -> Loaded:
    loaded = load_on(plan.delegate, path, task, plan.threads, plan.verify)
    if plan.verify and runs_on(loaded) == "cpu":  # a Coral was asked when it was opened
        demand(loaded, path)
    return loaded


class Reload:
    """A thread for each reading, since models may take seconds to load, and longer to be measured."""

    def __init__(self, plan: Plan, again: Again) -> None:
        self.again, self.first, self.loaded = again, plan, _stamps(plan)
        self.thread: threading.Thread | None = None
        self.found: Found | PocketsightError | None = None

    def start(self) -> None:
        """Read once more, after the reading that goes on if there is one."""
        before = self.thread
        self.thread = threading.Thread(target=self._read, args=(before,), name="reload", daemon=True)
        self.thread.start()

    def taken(self) -> Found | PocketsightError | None:
        """What was read, once; None while there is nothing new."""
        if self.thread is None or self.thread.is_alive():
            return None
        found, self.thread, self.found = self.found, None, None
        return found

    def _read(self, before: threading.Thread | None) -> None:
        if before:
            before.join()
        try:
            plan = self.again()
            stamps = _stamps(plan)
            fixed = replace(plan, threads=self.first.threads, delegate=self.first.delegate)
            models = load_models(fixed) if stamps != self.loaded else None
            self.found, self.loaded = Found(plan, models), stamps
        except PocketsightError as error:
            self.found = error


def _stamps(plan: Plan) -> list[object]:
    """What differs when a model file is another one, or was replaced."""
    stamps: list[object] = []
    for path in (plan.detector, plan.sentiment, beside(plan.detector), beside(plan.sentiment)):
        stamps.append(path)
        with suppress(OSError):
            status = path.stat()
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps
