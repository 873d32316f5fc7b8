"""`pocketsight run`: watch a camera, log what is seen, show it, and stay up.

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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

import cv2

from pocketsight.device.camera import Camera, Frame, open_camera
from pocketsight.device.chores import Chores
from pocketsight.device.errors import LogError, PocketsightError
from pocketsight.device.events import Events, Faults, Numbered, run_name
from pocketsight.device.health.clock import synced
from pocketsight.device.health.watchdog import Watchdog, ready, reloading, stopping
from pocketsight.device.outputs import Bar, drawn
from pocketsight.device.pace import Pace
from pocketsight.device.pipeline import Pipeline
from pocketsight.device.plan import CHANGES, Plan
from pocketsight.device.record import Entry, Record, frame_entry
from pocketsight.device.reload import Again, Found, Models, Reload, load_models
from pocketsight.device.screen import Speaker, noticed
from pocketsight.device.shown import Shown, shown
from pocketsight.device.sinks.opened import Logs, open_logs
from pocketsight.device.state import State
from pocketsight.device.timing import Laps

TICK = 0.25  # seconds: the longest that the loop waits for anything


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

    SIGHUP calls `again` and takes over what can change; on a terminal, which hung up, it ends the run. Raises
    PocketsightError when something cannot be opened.
    """
    asked, reload = threading.Event(), Reload(plan, again) if again else None
    with Watchdog(plan.watchdog) as dog, watching(plan, asked=asked) as run:
        dog.flush = run.logs.close
        ready(f"watching {run.camera.name}")
        try:
            while run.step(dog.beat):
                if reload and asked.is_set():
                    asked.clear()
                    reloading()
                    reload.start()
                if reload and (found := reload.taken()):
                    run.adopt(found)
                    ready(f"watching {run.camera.name}")
        except PocketsightError:
            with suppress(LogError):
                run.end()
            raise
        stopping("writing what waits")
        return run.end()


@contextmanager
def watching(plan: Plan, camera: Camera | None = None, asked: threading.Event | None = None) -> Iterator[Run]:
    """A run with everything open; SIGINT and SIGTERM stop it, SIGHUP sets `asked`.

    `camera` takes the place of the plan's. Raises PocketsightError when something cannot be opened.
    """
    models = load_models(plan)  # before signals are noticed: until there is something to lose they just end it
    stop = threading.Event()
    events = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if asked and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        events[signal.SIGHUP] = stop if sys.stdin and sys.stdin.isatty() else asked
    with noticed(events), ExitStack() as stack:
        yield Run(plan, models, stop, stack, camera)


class Run:
    """The loop's state: what is open, and what was seen."""

    def __init__(
        self, plan: Plan, models: Models, stop: threading.Event, stack: ExitStack, camera: Camera | None
    ) -> None:  # fmt: skip
        self.plan, self.stop, self.watched, self.begun = plan, stop, Watched(), time.monotonic()
        cv2.setNumThreads(1)  # a frame is too small to share out, and the other cores have work
        self.speaker = Speaker()
        self.numbered = Numbered(run_name(), synced)
        self.state = State(self.numbered.run, models[1].spec.answers)
        self.faults = Faults(self.numbered, self.put)
        self.logs = Logs(())  # for faults that are told while the camera is opened
        self.camera: Camera = camera or stack.enter_context(
            open_camera(plan.camera, plan.size, stop, self.faults.tell, patient=True)
        )
        self.logs = open_logs(plan, plan.limits(self.camera.live), self.state, self.faults.tell)
        stack.callback(self.logs.close)
        self.shown: Shown = stack.enter_context(shown(plan, self.state, self.faults.tell))
        rate = min(plan.fps or self.camera.fps, self.camera.fps)
        self.draw = stack.enter_context(drawn(plan, rate, self.state))
        self.pipeline = Pipeline(*models, plan.zones, plan.every)
        self.events = Events(self.numbered)
        self.chores = Chores(plan, self.state, self.faults)
        self.chores.coral.adopt(models)
        self.pace = Pace(None, 0)
        self._set_pace()
        self.bar = stack.enter_context(Bar(None if "-" in plan.log else plan.frames or self.camera.length))
        self.laps = Laps()

    def _set_pace(self) -> None:
        plan, live = self.plan, self.camera.live
        self.level = plan.log_level or ("events" if live else "frames")
        self.pace.fps = plan.fps if live else None  # of files every frame is wanted
        self.pace.idle = plan.idle if live and not (plan.save or plan.show) else 0.0  # a film must not jump
        slowest = min(self.pace.fps or 1.0, self.pace.idle or 1.0, 1.0)
        self.state.patience = max(10.0, 3 / slowest)

    def put(self, entry: Entry) -> None:
        """An event or a fault, to everybody. Any thread may call it."""
        self.state.tell(entry)
        self.logs.put(entry)
        if entry["kind"] == "fault":
            self.speaker.say(_line(entry))

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
        if self.camera.live and self.pace.rest(frame.image, bool(self.pipeline.tracker.tracks)):
            return True
        beat("detect")
        begun = time.monotonic()
        going = self._look(frame)
        self.pace.took(time.monotonic() - begun)
        return going

    def _ready(self) -> bool:
        """Whether the next frame may be taken: it is due, and what files show can be written without loss."""
        self.camera.counting = False  # what comes while we wait on purpose is not dropped
        due = self.pace.wait(self.stop)
        self.camera.counting = due
        return due and (self.camera.live or self.logs.has_room(TICK))

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

    def adopt(self, found: Found | PocketsightError) -> None:
        """Take over what can change of settings that were read again; what is wrong changes nothing."""
        if isinstance(found, PocketsightError):
            self.faults.happened("settings refused", str(found))
            return
        old, new = vars(self.plan), vars(found.plan)
        changed = [name for name in new if new[name] != old[name]]
        fixed = [name for name in changed if name not in CHANGES]
        taken = [name for name in changed if name in CHANGES] + ["the models"] * bool(found.models)
        self.plan = replace(self.plan, **{name: new[name] for name in CHANGES})
        if found.models:
            self.pipeline.detector, self.pipeline.sentiment = found.models
            self.chores.coral.adopt(found.models)
            self.state.labels = found.models[1].spec.answers
            for track in self.pipeline.tracker.tracks:
                track.steady = None  # it remembers the classes of the model before
        self.pipeline.zones, self.pipeline.every = self.plan.zones, self.plan.every
        self._set_pace()
        self.chores.cool(self.plan.cool)
        later = f"; only a restart changes {', '.join(fixed)}" if fixed else ""
        self.faults.happened("settings read", f"taken over: {', '.join(taken) or 'nothing has changed'}{later}")

    def end(self) -> Watched:
        """Tell of the faces that were still there, write all that waits, and sum up."""
        for entry in self.events.of((), self.pipeline.tracker.end(), time.time()):
            self.put(entry)
        self.watched.lost = self.logs.finish()
        self.watched.dropped = self.camera.dropped
        self.watched.seconds = time.monotonic() - self.begun
        self.speaker.hush()
        if self.watched.lost:
            raise LogError(f"{self.watched.lost} entries could not be written; {self.logs.why}")
        return self.watched


def _line(entry: Entry) -> str:
    over = f" over after {entry['seconds']:.0f} s" if "seconds" in entry else ""
    return f"{entry['time']} {entry['what']}{over}: {entry['detail']}"
