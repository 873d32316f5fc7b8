"""The detector of a run in an AI Camera: opened with its settings, and how well it does."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypedDict

from pocketsight.device.camera.base import Frame
from pocketsight.device.camera.imx500 import SensorNetwork
from pocketsight.device.errors import ModelError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.inference.imx500_file import package_network, read_imx500_file
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_choice import use_preset
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.runtime.status import RECENT_FRAMES, RunStatus

logger = logging.getLogger(__name__)


def open_sensor_monitor(
    config: RunConfig, pipeline: Pipeline, status: RunStatus, report_fault: FaultReporter
) -> SensorMonitor | None:
    """The network for the camera of `config`; None where none is asked for.

    Raises ModelError when its file is missing or damaged, cannot be prepared for the camera, or finds other objects
    than the detector of `pipeline`, which takes over where the camera fails.
    """
    path = config.accelerator_file()
    if path is None:
        return None
    spec = read_imx500_file(path)[1]
    if spec.labels != pipeline.detector.spec.labels:
        found, other = ", ".join(spec.labels), ", ".join(pipeline.detector.spec.labels)
        raise ModelError(f"{path} finds {found}, but {config.detector} finds {other}; give the two of one training")
    rpk = package_network(path)
    logger.info("detector: %s, runs in the AI Camera", path)
    network = SensorNetwork(rpk, spec, report_fault)
    monitor = SensorMonitor(network, spec, status.info)
    monitor.use_threshold(config)
    return monitor


class SensorFacts(TypedDict):
    """How a run with an AI Camera does; None where nothing is known."""

    runs_on: str  # now: imx500 or cpu
    frames: int
    with_outputs: int  # frames whose detector ran in the camera
    fps: float
    network_ms: float | None  # of the network in the sensor, as the camera reports it
    latency_ms: float | None  # median from the exposure to the result
    cpu_share: float  # of one core, all threads of this process


@dataclass
class SensorMonitor:
    """Counts the frames with outputs of the camera, for the status and for the log."""

    network: SensorNetwork
    spec: ModelSpec  # as exported
    info: dict[str, Any]
    clock: Callable[[], float] = time.monotonic
    frames: int = 0
    with_outputs: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_FRAMES))  # seconds
    network_ms: float | None = None  # of the newest frame

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self.frames = self.with_outputs = 0
        self.latencies.clear()
        self.started, self.cpu_started = self.clock(), time.process_time()

    def use_threshold(self, config: RunConfig) -> None:
        """Use the thresholds that `config` names. Raises ModelError when the file has none of this name."""
        path = config.accelerator_file()
        assert path
        self.network.spec = use_preset(self.spec, config.threshold, path) if config.threshold else self.spec

    def add_frame(self, frame: Frame, latency: float) -> None:
        """Count a processed frame; `latency` is in seconds. Time counts from the first, after the network's upload."""
        if not self.frames:
            self.restart()
        self.frames += 1
        if frame.sensor:
            self.with_outputs += 1
            self.latencies.append(latency)
            self.network_ms = frame.sensor.network_ms
        self.info["accelerator"] = self.facts()

    def facts(self) -> SensorFacts:
        """The numbers so far."""
        seconds = max(self.clock() - self.started, 1e-9)
        return {
            "runs_on": "cpu" if self.network.problem else "imx500",
            "frames": self.frames,
            "with_outputs": self.with_outputs,
            "fps": round(self.frames / seconds, 1),
            "network_ms": self.network_ms,
            "latency_ms": round(1000 * median(self.latencies), 1) if self.latencies else None,
            "cpu_share": round((time.process_time() - self.cpu_started) / seconds, 3),
        }


def describe_sensor(facts: SensorFacts) -> str:
    """The numbers of a run with an AI Camera as one line."""
    network, latency = (
        "unknown" if ms is None else f"{ms:.1f} ms" for ms in (facts["network_ms"], facts["latency_ms"])
    )
    return (
        f"the AI Camera ran the detector on {facts['with_outputs']} of {facts['frames']} frames: "
        f"{facts['fps']} a second, network {network}, latency {latency}, {facts['cpu_share']:.0%} of one core"
    )
