"""A Coral that vanishes and comes back: the monitor of a run, on the stand-in."""

import time
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.inference import coral_fallback
from pocketsight.device.inference.coral_fallback import EdgeTpuMonitor, FallbackModel
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.model_loader import active_delegate, load_model
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.vision.image import Image
from tests.support.corals import answers, blank, on_coral, opened, unplug

Reports = list[tuple[str, bool, str]]


def both(models: Path, delegate: str = "auto") -> tuple[Model, Model]:
    return (
        load_model(models / "detector.tflite", "detector", 1, delegate=delegate),
        load_model(models / "sentiment.tflite", "classifier", 1, delegate=delegate),
    )


def watched(pair: tuple[Model, Model]) -> tuple[EdgeTpuMonitor, Reports]:
    """A monitor that reports to a list, each fault once, as Faults does."""
    reports: Reports = []

    def report(name: str, active: bool, detail: str) -> None:
        if active != bool(reports and reports[-1][1]):
            reports.append((name, active, detail))

    monitor = EdgeTpuMonitor(report)
    monitor.watch(pair)
    return monitor, reports


def try_again(monitor: EdgeTpuMonitor) -> None:
    """Do what is due, as if enough time had passed."""
    monitor.tick(monitor.next_attempt)
    if monitor.thread:
        monitor.thread.join()


def test_a_coral_that_vanishes_costs_no_frame_and_is_told_once(models: Path, device: Path) -> None:
    pair = both(models)
    _, reports = watched(pair)
    assert reports == []
    unplug(device)
    expected = answers(load_on_cpu(MODELS_DIR / "detector.tflite", threads=1))
    assert answers(pair[0]) == expected  # of the same frame
    assert [answers(model) for model in pair] and [active_delegate(model) for model in pair] == ["cpu", "cpu"]
    assert len(reports) == 1
    assert reports[0][:2] == ("edgetpu lost", True)
    assert "USB transfer error 5" in reports[0][2] and reports[0][2].endswith("the CPU runs detector.tflite")


def test_it_is_tried_again_later_and_later_and_taken_when_it_is_back(models: Path, device: Path) -> None:
    pair = both(models)
    monitor, reports = watched(pair)
    unplug(device)
    on_coral(pair[0])
    assert not (device / "closed").exists()  # that may take long
    waits = []
    for _ in range(8):
        waits.append(monitor.retry_delay)
        try_again(monitor)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert monitor.next_attempt > time.monotonic() + 50 and len(reports) == 1
    assert active_delegate(pair[1]) == "cpu"
    assert len((device / "closed").read_text().split("\n")) == 3  # no model uses the device when it is opened again
    (device / "plugged").touch()
    assert len(opened(device)) == 2
    try_again(monitor)
    assert on_coral(pair[0]) and on_coral(pair[1]) and len(opened(device)) == 4
    assert reports[1:] == [("edgetpu lost", False, "the models run on it again")]
    unplug(device)
    on_coral(pair[0])
    assert monitor.retry_delay == 60  # it did not hold: no hurry
    monitor.recovered_at -= coral_fallback.STABLE_SECONDS
    (device / "plugged").touch()
    try_again(monitor)
    monitor.recovered_at -= coral_fallback.STABLE_SECONDS
    unplug(device)
    on_coral(pair[0])
    assert monitor.retry_delay == 1  # it had held for long


def test_nothing_is_tried_before_its_time_or_without_need(models: Path, device: Path) -> None:
    pair = both(models)
    monitor, _ = watched(pair)
    monitor.tick(monitor.next_attempt)
    assert monitor.thread is None
    unplug(device)
    on_coral(pair[0])
    monitor.tick(monitor.next_attempt - 0.01)
    assert monitor.thread is None


def test_a_coral_that_is_missing_at_the_start_is_told_and_taken_when_it_comes(models: Path, device: Path) -> None:
    unplug(device)
    pair = both(models)
    monitor, reports = watched(pair)
    assert len(reports) == 1 and "no Coral is plugged in" in reports[0][2]
    (device / "plugged").touch()
    try_again(monitor)
    assert [active_delegate(model) for model in pair] == ["edgetpu", "edgetpu"] and reports[-1][1] is False


def test_other_models_end_the_fault(models: Path, device: Path) -> None:
    unplug(device)
    monitor, reports = watched(both(models))
    monitor.watch(both(models, "cpu"))
    assert [active for _, active, _ in reports] == [True, False]
    monitor.tick(monitor.next_attempt)
    assert monitor.thread is None


def test_a_device_that_opens_slowly_holds_up_nothing(models: Path, device: Path) -> None:
    pair = both(models)
    monitor, _ = watched(pair)
    unplug(device)
    on_coral(pair[0])
    (device / "plugged").touch()
    (device / "slow").touch()
    monitor.tick(monitor.next_attempt)
    assert monitor.thread
    for _ in range(20):
        pair[0].infer(blank(pair[0]))
    assert monitor.thread.is_alive()  # it waits in the library, and frames went on meanwhile
    (device / "slow").unlink()
    monitor.thread.join()
    assert on_coral(pair[0])


def test_an_error_of_the_plain_model_is_not_taken_for_a_lost_coral(models: Path, device: Path) -> None:
    unplug(device)
    loaded = load_model(models / "detector.tflite", threads=1)
    assert isinstance(loaded.infer, FallbackModel)

    def fails(image: Image) -> dict[str, Any]:
        raise RuntimeError("a bug")

    loaded.infer.cpu_infer = loaded.infer.active_infer = fails
    with pytest.raises(RuntimeError, match="a bug"):
        loaded.infer(blank(loaded))
