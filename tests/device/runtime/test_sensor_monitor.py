"""The numbers of a run with an AI Camera."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from pocketsight.device.camera import Frame
from pocketsight.device.runtime.sensor_monitor import SensorMonitor, describe_sensor

UPLOAD, INTERVAL = 180.0, 0.04  # seconds


def test_the_upload_of_the_network_is_no_part_of_the_rate() -> None:
    now = [0.0]
    network: Any = SimpleNamespace(problem=None)
    sensor: Any = SimpleNamespace(network_ms=8.25)
    monitor = SensorMonitor(network, Any, {}, clock=lambda: now[0])  # type: ignore[arg-type]
    now[0] = UPLOAD
    for number in range(101):
        image = np.zeros((2, 2, 3), np.uint8)
        monitor.add_frame(Frame(image, number, 0.0, sensor=sensor if number else None), latency=0.03)
        now[0] += INTERVAL
    now[0] -= INTERVAL
    facts = monitor.facts()
    assert (facts["frames"], facts["with_outputs"], facts["latency_ms"]) == (101, 100, 30.0)
    assert abs(facts["fps"] - 1 / INTERVAL) < 0.5
    line = describe_sensor(facts)
    assert line.startswith("the AI Camera ran the detector on 100 of 101 frames: 25.")
    assert "network 8.2 ms, latency 30.0 ms" in line
