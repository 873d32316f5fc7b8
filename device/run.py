"""`edgekit run`: watch a camera, log what is seen, show it, and stay up.

One loop in the main thread takes the newest frame, looks at it and hands on what it saw. Whatever may stall has a
thread of its own: the camera, each sink, the page, the watchdog.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import cv2

from edgekit.device.camera import Camera, Frame, open_camera
from edgekit.device.chores import Chores
from edgekit.device.errors import EdgekitError, LogError
from edgekit.device.events import Events, Faults, Numbered, run_name
from edgekit.device.health.clock import synced
from edgekit.device.health.watchdog import Watchdog, ready, reloading, stopping
from edgekit.device.interpreter import Loaded, load
from edgekit.device.outputs import Bar, drawn
from edgekit.device.pace import Pace
from edgekit.device.pipeline import Pipeline
from edgekit.device.plan import CHANGES, Plan
from edgekit.device.record import Entry, Record, frame_entry
from edgekit.device.screen import stopped_by_signals
from edgekit.device.shown import Shown, shown
from edgekit.device.sinks.opened import Logs, open_logs
from edgekit.device.sinks.sink import Limits
from edgekit.device.state import State
from edgekit.device.timing import Laps

TICK = 0.25  # seconds: the longest that the loop waits for anything

Again = Callable[[], Plan]  # reads the settings once more


@dataclass
class Watched:
    """What a run saw, for the line at its end."""

    frames: int = 0
    faces: int = 0
    dropped: int = 0
    seconds: float = 0.0
    lost: int = 0  # entries that could not be written
    named: Counter[str] = field(default_factory=Counter)


def watch(plan: Plan, again: Again | None = None) -> Watched:
    """Log what `plan.camera` shows until it ends, `plan.frames` are done or a signal asks to stop.

    SIGHUP calls `again` and takes over what can change. Raises EdgekitError when something cannot be opened.
    """
    with _noticed(signal.SIGHUP) as asked, Watchdog(plan.watchdog) as dog, watching(plan) as run:
        dog.flush = run.logs.close
        ready(f"watching {run.camera.name}")
        while run.step(dog.beat):
            if asked.is_set() and again:
                asked.clear()
                reloading()
                run.adopt(again)
                ready(f"watching {run.camera.name}")
        stopping("writing what waits")
        return run.end()


@contextmanager
def watching(plan: Plan, camera: Camera | None = None) -> Iterator[Run]:
    """A run with everything open; SIGINT and SIGTERM stop it. `camera` takes the place of the plan's.

    Raises EdgekitError when something cannot be opened.
    """
    with stopped_by_signals() as stop, ExitStack() as stack:
        yield Run(plan, stop, stack, camera)


class Run:
    """The loop's state: what is open, and what was seen."""

    def __init__(self, plan: Plan, stop: threading.Event, stack: ExitStack, camera: Camera | None) -> None:
        self.plan, self.stop, self.watched, self.begun = plan, stop, Watched(), time.monotonic()
        cv2.setNumThreads(1)  # a frame is too small to share out, and the other cores have work
        self.numbered = Numbered(run_name(), synced)
        models = _models(plan)
        self.state = State(self.numbered.run, models[1].spec.answers)
        self.faults = Faults(self.numbered, self.put)
        self.logs = Logs(())  # for faults that are told while the camera is opened
        self.camera: Camera = camera or stack.enter_context(
            open_camera(plan.camera, plan.size, stop, self.faults.tell, patient=True)
        )
        limits = plan.limits or (Limits() if self.camera.live else Limits(None, None, None))  # a video's log is whole
        self.logs = open_logs(replace(plan, limits=limits), self.state, self.faults.tell)
        stack.callback(self.logs.close)
        self.shown: Shown = stack.enter_context(shown(plan, self.state, self.faults.tell))
        self.draw = stack.enter_context(drawn(plan, self.camera.fps, models[1].spec.answers))
        self.level = plan.log_level or ("events" if self.camera.live else "frames")
        self.pipeline = Pipeline(*models, plan.zones, plan.every)
        self.events = Events(self.numbered)
        self.pace = Pace(plan.fps, plan.idle)
        self.chores = Chores(plan, self.state, self.faults)
        length = None if "-" in plan.log else plan.frames or self.camera.length
        self.bar = stack.enter_context(Bar(length))
        self.laps = Laps()

    def put(self, entry: Entry) -> None:
        """An event or a fault, to everybody. Any thread may call it."""
        self.state.tell(entry)
        self.logs.put(entry)
        if entry["kind"] == "fault":
            print(_line(entry), file=sys.stderr, flush=True)

    def step(self, beat: Callable[[str], None]) -> bool:
        """Take and look at a frame, if there is one; False when the run is over."""
        beat("chores")
        self.chores.due(self.pace, self.camera, self.logs)
        if self.stop.is_set() or self.logs.ended:
            return False
        if not self._ready():
            return True
        beat("capture")
        frame = self.camera.next(TICK)
        if frame is None:
            return not self.camera.ended
        self.pace.took(self.camera.fps)
        if self.camera.live and self.pace.rest(frame.image, bool(self.pipeline.tracker.tracks)):
            return True
        beat("detect")
        return self._look(frame)

    def _ready(self) -> bool:
        """Whether the next frame may be taken: it is due, or what files show can be written without loss."""
        if self.camera.live:
            return self.pace.wait(self.stop, self.camera.fps)
        return self.logs.has_room(TICK)

    def _look(self, frame: Frame) -> bool:
        record = self.pipeline.look(frame, self.laps)
        age = time.monotonic() - record.born if self.camera.live else record.ms["whole"] / 1000
        for entry in self._happened(record):
            self.put(entry)
            self.shown.event(entry, frame.image, record)
        if self.level == "frames":
            self.logs.put(frame_entry(record, age, synced()))
        self.shown.frame(frame.image, record)
        self.laps("write")
        record.ms["whole"] += record.ms["write"]  # the record's own dictionary
        self.state.saw(record, age)
        self._count(record)
        going = self.draw(frame.image, record) and self.watched.frames != self.plan.frames
        self.laps = Laps()
        return going

    def _happened(self, record: Record) -> list[Entry]:
        tracker = self.pipeline.tracker
        tracks = [track for track in tracker.tracks if track.id and not track.misses]
        return self.events.of(tracks, tracker.gone, record.taken) if tracks or tracker.gone else []

    def _count(self, record: Record) -> None:
        self.watched.frames += 1
        self.watched.faces += len(record.faces)
        self.watched.named.update(seen.sentiment.label for seen in record.faces)
        self.bar.step()

    def adopt(self, again: Again) -> None:
        """Take over what can change of the settings, which are read again; what is wrong changes nothing."""
        try:
            plan = again()
            models = _models(plan)
        except EdgekitError as error:
            self.faults.happened("settings refused", str(error))
            return
        kept = {name: getattr(plan, name) for name in CHANGES}
        fixed = [name for name in vars(plan) if name not in CHANGES and getattr(plan, name) != getattr(self.plan, name)]
        self.plan = replace(self.plan, **kept)
        self.pipeline.detector, self.pipeline.sentiment = models
        self.state.labels = models[1].spec.answers
        self.pipeline.zones, self.pipeline.every = plan.zones, plan.every
        self.pace.fps, self.pace.idle = plan.fps, plan.idle
        self.level = plan.log_level or ("events" if self.camera.live else "frames")
        self.chores.cool(plan.cool)
        later = f"; only a restart changes {', '.join(fixed)}" if fixed else ""
        self.faults.happened("settings read", f"taken over{later}")

    def end(self) -> Watched:
        """Tell of the faces that were still there, write all that waits, and sum up."""
        for entry in self.events.of((), self.pipeline.tracker.end(), time.time()):
            self.put(entry)
        self.watched.lost = self.logs.finish()
        self.watched.dropped = self.camera.dropped
        self.watched.seconds = time.monotonic() - self.begun
        if self.watched.lost:
            raise LogError(f"{self.watched.lost} entries could not be written; {self.logs.why}")
        return self.watched


def _models(plan: Plan) -> tuple[Loaded, Loaded]:
    return load(plan.detector, "detector", plan.threads), load(plan.sentiment, "sentiment", plan.threads)


def _line(entry: Entry) -> str:
    over = f" over after {entry['seconds']:.0f} s" if "seconds" in entry else ""
    return f"{entry['time']} {entry['what']}{over}: {entry['detail']}"


@contextmanager
def _noticed(number: signal.Signals) -> Iterator[threading.Event]:
    """An event that a signal sets."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(number, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(number, before)
