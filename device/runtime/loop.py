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
from pocketsight.device.errors import LogError, PocketsightError
from pocketsight.device.results import FrameResult, LogEntry, frame_entry
from pocketsight.device.runtime.config import RELOADABLE, RunConfig, flags_text
from pocketsight.device.runtime.display import open_display
from pocketsight.device.runtime.events import EventDetector, Faults, RecordFactory, make_run_id
from pocketsight.device.runtime.housekeeping import Housekeeping
from pocketsight.device.runtime.outputs import FrameOutputs, open_outputs
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.runtime.reload import ConfigReader, ConfigReloader, ModelPair, ReloadResult, load_models
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.terminal import FrameProgress, StderrWriter
from pocketsight.device.runtime.throttle import FrameThrottle
from pocketsight.device.sinks.factory import open_sinks
from pocketsight.device.sinks.group import SinkGroup
from pocketsight.device.system.clock import clock_synced
from pocketsight.device.system.sd_notify import notify_ready, notify_reloading, notify_stopping
from pocketsight.device.system.signals import signal_events
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.system.watchdog import Watchdog

MAX_WAIT = 0.25  # seconds: the longest that the loop waits for anything


@dataclass
class RunSummary:
    """What a run saw, for the line at its end."""

    frames: int = 0
    faces: int = 0
    dropped: int = 0
    duration: float = 0.0
    lost: int = 0  # entries that could not be written
    label_counts: Counter[str] = field(default_factory=Counter)


def run(config: RunConfig, read_config: ConfigReader | None = None) -> RunSummary:
    """Log what `plan.camera` shows until it ends, `plan.frames` are done or a signal asks to stop.

    SIGHUP calls `again` and takes over what can change; on a terminal, which hung up, it ends the run. Raises
    PocketsightError when something cannot be opened.
    """
    asked, reload = threading.Event(), ConfigReloader(config, read_config) if read_config else None
    with Watchdog(config.watchdog) as dog, open_run(config, reload_requested=asked) as loop:
        dog.flush = loop.sinks.close
        notify_ready(f"watching {loop.camera.name}")
        try:
            while loop.step(dog.beat):
                if reload and asked.is_set():
                    asked.clear()
                    notify_reloading()
                    reload.start()
                if reload and (found := reload.take_result()):
                    loop.apply_reload(found)
                    notify_ready(f"watching {loop.camera.name}")
        except PocketsightError:
            with suppress(LogError):
                loop.finish()
            raise
        notify_stopping("writing what waits")
        return loop.finish()


@contextmanager
def open_run(
    config: RunConfig, camera: Camera | None = None, reload_requested: threading.Event | None = None
) -> Iterator[Run]:
    """A run with everything open; SIGINT and SIGTERM stop it, SIGHUP sets `asked`.

    `camera` takes the place of the plan's. Raises PocketsightError when something cannot be opened.
    """
    models = load_models(config)  # before signals are noticed: until there is something to lose they just end it
    stop = threading.Event()
    events = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload_requested and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        events[signal.SIGHUP] = stop if sys.stdin and sys.stdin.isatty() else reload_requested
    with signal_events(events), ExitStack() as stack:
        yield Run(config, models, stop, stack, camera)


class Run:
    """The loop's state: what is open, and what was seen."""

    def __init__(
        self, config: RunConfig, models: ModelPair, stop: threading.Event, stack: ExitStack, camera: Camera | None
    ) -> None:
        self.config, self.stop, self.summary, self.started_at = config, stop, RunSummary(), time.monotonic()
        cv2.setNumThreads(1)  # a frame is too small to share out, and the other cores have work
        self.stderr = StderrWriter()
        self.record_factory = RecordFactory(make_run_id(), clock_synced)
        self.status = RunStatus(self.record_factory.run_id, models[1].spec.reported_labels)
        self.faults = Faults(self.record_factory, self.publish)
        self.sinks = SinkGroup(())  # for faults that are told while the camera is opened
        self.camera: Camera = camera or stack.enter_context(
            open_camera(config.camera, config.resolution, stop, self.faults.report, reconnect=True)
        )
        self.sinks = open_sinks(config, config.rotation_config(self.camera.live), self.status, self.faults.report)
        stack.callback(self.sinks.close)
        self.outputs: FrameOutputs = stack.enter_context(open_outputs(config, self.status, self.faults.report))
        rate = min(config.fps or self.camera.fps, self.camera.fps)
        self.display = stack.enter_context(open_display(config, rate, self.status))
        self.pipeline = Pipeline(*models, config.zones, config.detect_interval)
        self.events = EventDetector(self.record_factory)
        self.housekeeping = Housekeeping(config, self.status, self.faults)
        self.housekeeping.edgetpu_monitor.watch(models)
        self.throttle = FrameThrottle(None, 0)
        self._set_rates()
        self.progress = stack.enter_context(
            FrameProgress(None if "-" in config.log else config.max_frames or self.camera.frame_count)
        )
        self.stage_timer = StageTimer()

    def _set_rates(self) -> None:
        plan, live = self.config, self.camera.live
        self.log_level = plan.log_level or ("events" if live else "frames")
        self.throttle.fps = plan.fps if live else None  # of files every frame is wanted
        self.throttle.idle_fps = (
            plan.idle_fps if live and not (plan.save_video or plan.show) else 0.0
        )  # a film must not jump
        slowest = min(self.throttle.fps or 1.0, self.throttle.idle_fps or 1.0, 1.0)
        self.status.stale_after = max(10.0, 3 / slowest)

    def publish(self, entry: LogEntry) -> None:
        """An event or a fault, to everybody. Any thread may call it."""
        self.status.add_event(entry)
        self.sinks.put(entry)
        if entry["kind"] == "fault":
            self.stderr.write(_fault_line(entry))

    def step(self, beat: Callable[[str], None]) -> bool:
        """Take and look at a frame, if there is one; False when the run is over."""
        beat("chores")
        self.housekeeping.tick(self.throttle, self.camera, self.sinks)
        if self.stop.is_set() or self.sinks.reader_closed:
            return False
        if not self._ready():
            return True
        beat("capture")
        frame = self.camera.read(MAX_WAIT)
        if frame is None:
            return not self.camera.ended
        if self.camera.live and self.throttle.should_skip(frame.image, bool(self.pipeline.tracker.tracks)):
            return True
        beat("detect")
        started = time.monotonic()
        keep_running = self._process_frame(frame)
        self.throttle.record(time.monotonic() - started)
        return keep_running

    def _ready(self) -> bool:
        """Whether the next frame may be taken: it is due, and what files show can be written without loss."""
        self.camera.counts_drops = False  # what comes while we wait on purpose is not dropped
        due = self.throttle.wait(self.stop)
        self.camera.counts_drops = due
        return due and (self.camera.live or self.sinks.has_capacity(MAX_WAIT))

    def _process_frame(self, frame: Frame) -> bool:
        record = self.pipeline.process(frame, self.stage_timer)
        latency = time.monotonic() - record.captured_monotonic if self.camera.live else record.stages_ms["whole"] / 1000
        for entry in self._track_events(record):
            self.publish(entry)
            self.outputs.on_event(entry, frame.image, record)
        if self.log_level == "frames":
            self.sinks.put(frame_entry(record, latency, clock_synced()))
        self.outputs.on_frame(frame.image, record)
        self.stage_timer("write")
        record.stages_ms["whole"] += record.stages_ms["write"]  # the record's own dictionary
        self.status.add_frame(record, latency)
        self._count(record)
        keep_running = self.display(frame.image, record) and self.summary.frames != self.config.max_frames
        self.stage_timer = StageTimer()
        return keep_running

    def _track_events(self, record: FrameResult) -> list[LogEntry]:
        tracker = self.pipeline.tracker
        tracks = [track for track in tracker.tracks if track.id and not track.misses]
        return self.events.update(tracks, tracker.ended, record.captured_at) if tracks or tracker.ended else []

    def _count(self, record: FrameResult) -> None:
        self.summary.frames += 1
        self.summary.faces += len(record.faces)
        self.summary.label_counts.update(seen.classification.label for seen in record.faces)
        self.progress.advance()

    def apply_reload(self, result: ReloadResult | PocketsightError) -> None:
        """Take over what can change of settings that were read again; what is wrong changes nothing."""
        if isinstance(result, PocketsightError):
            self.faults.report_once("settings refused", str(result))
            return
        old, new = vars(self.config), vars(result.config)
        changed = [name for name in new if new[name] != old[name]]
        needs_restart = [name for name in changed if name not in RELOADABLE]
        applied = [flags_text([name for name in changed if name in RELOADABLE]), "the models" * bool(result.models)]
        self.config = replace(self.config, **{name: new[name] for name in RELOADABLE})
        if result.models:
            self.pipeline.detector, self.pipeline.classifier = result.models
            self.housekeeping.edgetpu_monitor.watch(result.models)
            self.status.labels = result.models[1].spec.reported_labels
            for track in self.pipeline.tracker.tracks:
                track.smoother = None  # it remembers the classes of the model before
        self.pipeline.zones, self.pipeline.detect_interval = self.config.zones, self.config.detect_interval
        self._set_rates()
        self.housekeeping.set_max_temperature(self.config.max_temperature)
        later = f"; only a restart changes {flags_text(needs_restart)}" if needs_restart else ""
        now = ", ".join(filter(None, applied)) or "nothing has changed"
        self.faults.report_once("settings read", f"taken over: {now}{later}")

    def finish(self) -> RunSummary:
        """Tell of the faces that were still there, write all that waits, and sum up."""
        for entry in self.events.update((), self.pipeline.tracker.close(), time.time()):
            self.publish(entry)
        self.summary.lost = self.sinks.finish()
        self.summary.dropped = self.camera.dropped
        self.summary.duration = time.monotonic() - self.started_at
        self.stderr.flush()
        if self.summary.lost:
            raise LogError(f"{self.summary.lost} entries could not be written; {self.sinks.failure_reason}")
        return self.summary


def _fault_line(entry: LogEntry) -> str:
    over = f" over after {entry['seconds']:.0f} s" if "seconds" in entry else ""
    return f"{entry['time']} {entry['what']}{over}: {entry['detail']}"
