"""A whole run, and a measurement, on a Coral that goes and comes."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.device.bench import measure as module
from edgekit.device.bench.measure import measure
from edgekit.device.bench.models import side_by_side
from edgekit.device.camera import Camera, Frame
from edgekit.device.cli import main
from edgekit.device.commands.options import EXAMPLE
from edgekit.device.edgetpu import runs_on
from edgekit.device.errors import ModelError
from edgekit.device.image import read_image
from edgekit.device.plan import Plan
from edgekit.device.run import Run, watching
from tests.corals import plug_in, unplug, write_pairs


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with both models, plain and compiled."""
    return write_pairs(tmp_path / "models")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's folder, with the device plugged in: see edgetpu.c."""
    return plug_in(tmp_path / "device", monkeypatch)


def frames() -> Iterator[Frame]:
    image = read_image(EXAMPLE)
    return (Frame(image, number, time.time()) for number in count())


def step(run: Run, times: int = 3) -> list[int]:
    """How many faces each of the next frames has."""
    found = []
    for _ in range(times):
        before = run.watched.frames
        while run.watched.frames == before:
            assert run.step(lambda doing: None)
        assert run.state.latest
        found.append(len(run.state.latest.faces) + len(run.state.latest.others))
    return found


def test_a_run_goes_on_while_the_coral_goes_and_comes(models: Path, device: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    plan = Plan("x", (240, 320), models / "detector.tflite", models / "sentiment.tflite", 1, idle=0, log=(str(log),),
                verify=False)  # fmt: skip
    with watching(plan, Camera(frames(), "x")) as run:
        assert step(run) == [0, 0, 0]  # the stand-in sees nobody
        unplug(device)
        assert step(run) == [1, 1, 1]
        (device / "plugged").touch()
        run.chores.coral.due(time.monotonic() + 60)
        assert run.chores.coral.thread
        run.chores.coral.thread.join()
        step(run)
        assert [runs_on(run.pipeline.detector), runs_on(run.pipeline.sentiment)] == ["edgetpu", "edgetpu"]
        run.end()
    faults = [entry for entry in map(json.loads, log.read_text().splitlines()) if entry["kind"] == "fault"]
    assert [(entry["what"], entry["begun"]) for entry in faults] == [("Coral lost", True), ("Coral lost", False)]


def test_the_loop_itself_sees_to_it_that_the_coral_is_tried_again(models: Path, device: Path, tmp_path: Path) -> None:
    unplug(device)
    plan = Plan("x", (240, 320), models / "detector.tflite", models / "sentiment.tflite", 1, idle=0,
                log=(str(tmp_path / "l.jsonl"),), verify=False)  # fmt: skip
    with watching(plan, Camera(frames(), "x")) as run:
        assert step(run, 1) == [1]
        assert list(run.faults.active) == ["Coral lost"]
        (device / "plugged").touch()
        deadline = time.monotonic() + 30
        while run.faults.active and time.monotonic() < deadline:
            step(run, 1)
        assert runs_on(run.pipeline.detector) == "edgetpu" and not run.faults.active
        run.end()


def test_the_command_tells_on_its_screen(
    models: Path, device: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unplug(device)
    words = ["run", "--camera", str(EXAMPLE), "--detector", str(models / "detector.tflite"), "--sentiment",
             str(models / "sentiment.tflite"), "--log", str(tmp_path / "l.jsonl")]  # fmt: skip
    assert CliRunner().invoke(main, words).exit_code == 0
    screen = capfd.readouterr().err
    assert screen.count("Coral lost") == 1 and "no Coral is plugged in" in screen
    done = CliRunner().invoke(main, [*words, "--delegate", "edgetpu"])
    assert done.exit_code == 1 and done.stderr.startswith("Error: no Coral is plugged in: plug it into")
    plain = CliRunner().invoke(main, ["run", "--camera", str(EXAMPLE), "--log", str(tmp_path / "l.jsonl")])
    assert plain.exit_code == 0 and "Coral" not in plain.stderr + capfd.readouterr().err


@pytest.mark.parametrize("word", ["tpu", "edgetpu:", "edgetpu:usb:", "edgetpu:firewire", "edgetpu:-1", "AUTO", ""])
def test_a_delegate_that_is_none(word: str) -> None:
    done = CliRunner().invoke(main, ["bench", "--delegate", word])
    assert done.exit_code == 2 and "is none of auto, cpu, edgetpu" in done.output


def test_bench_says_what_ran(models: Path, device: Path) -> None:
    plan = Plan(str(EXAMPLE), (240, 320), models / "detector.tflite", models / "sentiment.tflite", 1, frames=2, idle=0,
                verify=False)  # fmt: skip
    assert [model["delegate"] for model in measure(plan, 1)["models"]] == ["edgetpu", "edgetpu"]
    assert measure(replace(plan, delegate="cpu"), 1)["models"][0]["delegate"] == "XNNPACK"
    paths = [models / "detector.tflite", models / "detector_edgetpu.tflite"]
    rows = side_by_side(paths, str(EXAMPLE), (240, 320), 1, 2, 1)["models"]
    assert [row["delegate"] for row in rows] == ["XNNPACK", "edgetpu"]  # the very files


def test_bench_does_not_mix_two_machines(models: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unplugged_at_the_third() -> Iterator[Frame]:
        for frame in frames():
            if frame.index == 3:
                unplug(device)
            yield frame

    monkeypatch.setattr(module, "again", lambda source: Camera(unplugged_at_the_third(), source))
    plan = Plan("x", (240, 320), models / "detector.tflite", models / "sentiment.tflite", 1, frames=5, idle=0,
                verify=False)  # fmt: skip
    with pytest.raises(ModelError, match="a Coral came or went while it was measured"):
        measure(plan, 1)


def test_a_coral_that_computes_something_else_is_refused(models: Path, device: Path) -> None:
    words = ["run", "--camera", str(EXAMPLE), "--detector", str(models / "detector.tflite"), "--threads", "1"]
    done = CliRunner().invoke(main, words)  # the stand-in sees nobody, whatever it is shown
    assert done.exit_code == 1 and "computes something else here than where it was exported" in done.stderr
    said = CliRunner().invoke(main, ["verify", str(models / "detector.tflite"), "--delegate", "edgetpu"])
    assert said.exit_code == 1 and "detector.tflite: FAILED" in said.stdout
    assert CliRunner().invoke(main, ["verify", str(models / "detector.tflite")]).exit_code == 0
