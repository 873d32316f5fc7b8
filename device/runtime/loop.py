"""The loop of `pocketsight run`: take the newest frame, process it, publish the results.

It runs in the main thread. Everything that can block has its own thread: camera, sinks, web server, watchdog, logging.
"""

from __future__ import annotations

import logging
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
from pocketsight.device.camera.imx500 import UPLOAD_TIMEOUT
from pocketsight.device.errors import LogError, PocketsightError
from pocketsight.device.results import DEFAULT_STALE_AFTER, FrameResult, LogEntry, frame_entry
from pocketsight.device.runtime.config import OPTIONS, RELOADABLE, RunConfig
from pocketsight.device.runtime.display import open_display
from pocketsight.device.runtime.events import EntryFactory, EventDetector, Faults, make_run_id
from pocketsight.device.runtime.frame_rate import FrameThrottle
from pocketsight.device.runtime.housekeeping import Housekeeping
from pocketsight.device.runtime.outputs import FrameOutputs, open_outputs
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.runtime.reload import (
    ConfigReader,
    ConfigReloader,
    ModelPair,
    ReloadResult,
    describe_models,
    labels_to_classify,
    load_models,
)
from pocketsight.device.runtime.sensor_monitor import describe_sensor, open_sensor_monitor
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.terminal import FrameProgress
from pocketsight.device.sinks.factory import open_sinks
from pocketsight.device.sinks.group import SinkGroup
from pocketsight.device.system.clock import clock_synced
from pocketsight.device.system.logging_setup import flush_logging
from pocketsight.device.system.sd_notify import notify_ready, notify_reloading, notify_stopping
from pocketsight.device.system.signals import signal_events
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.system.watchdog import LOADING_TIMEOUT, Watchdog
from pocketsight.device.vision.image import Image

logger = logging.getLogger(__name__)

# Seconds that the loop waits for anything at most.
MAX_WAIT = 0.25


@dataclass
class RunSummary:
    """Totals of a run."""

    frames: int = 0
    faces: int = 0
    dropped: int = 0
    duration: float = 0.0  # seconds
    lost: int = 0  # entries that could not be written
    label_counts: Counter[str] = field(default_factory=Counter)
    objects: tuple[str, ...] = ()  # labels of the detector


def run(config: RunConfig, read_config: ConfigReader | None = None) -> RunSummary:
    """Process frames of `config.camera` until it ends, `config.max_frames` is reached, or SIGINT or SIGTERM arrives.

    SIGHUP calls `read_config` and applies the settings that can change; on a terminal, where it means that the
    terminal was closed, it ends the run. Raises PocketsightError when something cannot be opened or fails for good.
    """
    reload_requested = threading.Event()
    reloader = ConfigReloader(config, read_config) if read_config else None
    loading_timeout = LOADING_TIMEOUT + (UPLOAD_TIMEOUT if config.accelerator else 0)
    watchdog = Watchdog(config.watchdog, loading_timeout)
    with watchdog, open_run(config, reload_requested=reload_requested) as loop:
        watchdog.flush = loop.sinks.close
        notify_ready(f"watching {loop.camera.name}")
        try:
            while loop.step(watchdog.beat):
                if reloader and reload_requested.is_set():
                    reload_requested.clear()
                    notify_reloading()
                    reloader.start()
                if reloader and (result := reloader.take_result()):
                    loop.apply_reload(result)
                    notify_ready(f"watching {loop.camera.name}")
        except PocketsightError:
            with suppress(LogError):
                loop.finish()
            raise
        notify_stopping("writing the rest of the log")
        return loop.finish()


@contextmanager
def open_run(
    config: RunConfig, camera: Camera | None = None, reload_requested: threading.Event | None = None
) -> Iterator[Run]:
    """Open everything for a run. SIGINT and SIGTERM stop it, SIGHUP sets `reload_requested`.

    `camera` replaces the one of `config`. Raises PocketsightError when something cannot be opened.
    """
    # Models are loaded before the signals are caught: until then a signal just ends the process.
    models = load_models(config)
    stop = threading.Event()
    events = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if reload_requested and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup sets SIG_IGN
        events[signal.SIGHUP] = stop if sys.stdin and sys.stdin.isatty() else reload_requested
    with signal_events(events), ExitStack() as stack:
        yield Run(config, models, stop, stack, camera)


class Run:
    """The state of the loop."""

    def __init__(
        self, config: RunConfig, models: ModelPair, stop: threading.Event, stack: ExitStack, camera: Camera | None
    ) -> None:
        self.config, self.stop, self.summary, self.started_at = config, stop, RunSummary(), time.monotonic()
        cv2.setNumThreads(1)  # frames are too small to split, and the other cores have work
        self.entry_factory = EntryFactory(make_run_id(), clock_synced)
        self.pipeline = Pipeline(*models, config.zones, config.detect_interval, labels_to_classify(config, models))
        self.status = RunStatus(self.entry_factory.run_id, self.pipeline.labels)
        if config.board:
            self.status.info["board"] = config.board
        self._describe_models()
        self.faults = Faults(self.entry_factory, self.publish)
        self.sinks = SinkGroup(())  # for faults that are reported while the camera is opened
        options = config.camera_options(config.fps)
        self.sensor_monitor = open_sensor_monitor(config, self.pipeline, self.status, self.faults.report)
        if self.sensor_monitor:
            options = replace(options, sensor_network=self.sensor_monitor.network)
        self.camera: Camera = camera or stack.enter_context(
            open_camera(config.camera, config.resolution, stop, self.faults.report, True, options)
        )
        logger.debug("run %s: %s at %g fps", self.entry_factory.run_id, self.camera.name, self.camera.fps)
        rotation = config.rotation_config(self.camera.live)
        self.sinks = open_sinks(config.log, rotation, config.mqtt_config(), self.status, self.faults.report)
        stack.callback(self.sinks.close)
        self.outputs: FrameOutputs = stack.enter_context(
            open_outputs(config, self.status, self.faults.report, self._thresholds)
        )
        fps = min(config.fps or self.camera.fps, self.camera.fps)
        self.display = stack.enter_context(open_display(config, fps, self.camera.live, self.status))
        self.camera.choose_reduction = self.pipeline.choose_reduction
        self.events = EventDetector(self.entry_factory)
        self.housekeeping = Housekeeping(config, self.status, self.faults)
        self.housekeeping.edgetpu_monitor.watch(self.pipeline.models)
        self.throttle = FrameThrottle(None, 0)
        self._set_rates()
        self.progress = stack.enter_context(
            FrameProgress(None if "-" in config.log else config.max_frames or self.camera.frame_count)
        )
        self.stage_timer = StageTimer()

    def _describe_models(self) -> None:
        """Name and checksum of the models, and what they detect, for the status and the events."""
        models = describe_models(self.config, self.pipeline.models)
        self.status.info["models"] = self.entry_factory.models = models
        self.summary.objects = self.pipeline.detector.spec.labels
        self.status.labels, self.status.object_label = self.pipeline.labels, self.pipeline.object_label

    def _thresholds(self) -> dict[str, float]:
        """Those of the detector by label."""
        spec = self.pipeline.detector.spec
        return dict(zip(spec.labels, spec.label_thresholds, strict=True))

    def _set_rates(self) -> None:
        config, live = self.config, self.camera.live
        self.log_level = config.log_level or ("events" if live else "frames")
        self.throttle.fps = config.fps if live else None  # every frame of a file is processed
        idle_is_visible = bool(config.save_video or config.show)  # a video must not jump
        self.throttle.idle_fps = config.idle_fps if live and not idle_is_visible else 0.0
        lowest_fps = min(self.throttle.fps or 1.0, self.throttle.idle_fps or 1.0, 1.0)
        self.status.stale_after = max(DEFAULT_STALE_AFTER, 3 / lowest_fps)

    def publish(self, entry: LogEntry) -> None:
        """Pass an event or a fault to the status, the sinks and the log of messages. Any thread may call it."""
        self.status.add_event(entry)
        self.sinks.put(entry)
        if entry["kind"] == "fault":
            _log_fault(entry)

    def step(self, beat: Callable[[str], None]) -> bool:
        """Process one frame if there is one; returns False when the run is over."""
        beat("housekeeping")
        self.housekeeping.tick(self.throttle, self.camera, self.sinks)
        if self.stop.is_set() or self.sinks.reader_closed:
            return False
        if not self._ready():
            return True
        beat("capture")
        frame = self.camera.read(MAX_WAIT)
        if frame is None:
            return not self.camera.ended
        if self.camera.live and self.throttle.should_skip(self._small_image(frame), bool(self.pipeline.tracker.tracks)):
            return True
        beat("detect")
        started = time.monotonic()
        keep_running = self._process_frame(frame)
        self.throttle.record(time.monotonic() - started)
        return keep_running

    def _small_image(self, frame: Frame) -> Image:
        """The image as it is decoded for the detector."""
        return frame.reduced(self.pipeline.choose_reduction(frame.size))

    def _ready(self) -> bool:
        """Whether the next frame may be taken: it is due, and results of files can be written without loss."""
        self.camera.counts_drops = False  # frames that pass while the loop waits on purpose are not dropped
        is_due = self.throttle.wait(self.stop)
        self.camera.counts_drops = is_due
        return is_due and (self.camera.live or self.sinks.has_capacity(MAX_WAIT))

    def _process_frame(self, frame: Frame) -> bool:
        result = self.pipeline.process(frame, self.stage_timer)
        is_live = self.camera.live
        latency = time.monotonic() - result.captured_monotonic if is_live else result.stages_ms["total"] / 1000
        for entry in self._track_events(result):
            self.publish(entry)
            self.outputs.on_event(entry, frame.content, result)
        if self.log_level == "frames":
            self.sinks.put(frame_entry(result, latency, clock_synced()))
        self.outputs.on_frame(frame.content, result)
        self.stage_timer("emit")
        result.stages_ms["total"] += result.stages_ms["emit"]
        self.status.add_frame(result, latency)
        if self.sensor_monitor:
            self.sensor_monitor.add_frame(frame, latency)
        self._count(result)
        keep_running = self.display(frame, result) and self.summary.frames != self.config.max_frames
        self.stage_timer = StageTimer()
        return keep_running

    def _track_events(self, result: FrameResult) -> list[LogEntry]:
        tracker = self.pipeline.tracker
        if result.position is not None:
            self.events.recording_start = result.captured_monotonic - result.position
        tracks = [track for track in tracker.tracks if track.id and not track.misses]
        return self.events.update(tracks, tracker.ended, result.captured_at) if tracks or tracker.ended else []

    def _count(self, result: FrameResult) -> None:
        self.summary.frames += 1
        self.summary.faces += len(result.faces)
        self.summary.label_counts.update(face.label for face in result.faces)
        self.progress.advance()

    def apply_reload(self, result: ReloadResult | PocketsightError) -> None:
        """Apply the settings that can change while running. If the new settings are invalid the old ones stay."""
        if isinstance(result, PocketsightError):
            self.faults.report_once("settings refused", str(result))
            return
        old, new = vars(self.config), vars(result.config)
        changed = [name for name in new if new[name] != old[name]]
        needs_restart = [OPTIONS[name].flag for name in changed if name not in RELOADABLE]
        applied = [OPTIONS[name].flag for name in changed if name in RELOADABLE] + ["the models"] * bool(result.models)
        self.config = replace(self.config, **{name: new[name] for name in RELOADABLE})
        if result.models:
            self._replace_models(result.models)
        self.pipeline.zones, self.pipeline.detect_interval = self.config.zones, self.config.detect_interval
        self._set_rates()
        self.housekeeping.set_max_temperature(self.config.max_temperature)
        later = f"; restart to change {', '.join(needs_restart)}" if needs_restart else ""
        self.faults.report_once("settings read", f"applied: {', '.join(applied) or 'no changes'}{later}")

    def _replace_models(self, models: ModelPair) -> None:
        self.pipeline.detector, self.pipeline.classifier = models
        self.pipeline.classify = labels_to_classify(self.config, models)
        self.housekeeping.edgetpu_monitor.watch(self.pipeline.models)
        if self.sensor_monitor:
            self.sensor_monitor.use_threshold(self.config)
        self._describe_models()
        for track in self.pipeline.tracker.tracks:
            track.smoother = None  # it holds the classes of the old model

    def finish(self) -> RunSummary:
        """Log that the remaining faces left, write the rest of the log, and return the totals.

        Raises LogError when entries could not be written.
        """
        for entry in self.events.update((), self.pipeline.tracker.close(), time.time()):
            self.publish(entry)
        self.summary.lost = self.sinks.finish()
        self.summary.dropped = self.camera.dropped
        self.summary.duration = time.monotonic() - self.started_at
        if self.sensor_monitor:
            logger.info("%s", describe_sensor(self.sensor_monitor.facts()))
        flush_logging()
        if self.summary.lost:
            raise LogError(f"{self.summary.lost} entries could not be written; {self.sinks.failure_reason}")
        return self.summary


def _log_fault(entry: LogEntry) -> None:
    is_news = "duration_s" in entry or entry["event"] == "settings read"
    after = f" ended after {entry['duration_s']:.0f} s" if "duration_s" in entry else ""
    logger.log(logging.INFO if is_news else logging.WARNING, "%s%s: %s", entry["event"], after, entry["detail"])
