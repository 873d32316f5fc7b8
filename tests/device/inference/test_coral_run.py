"""A run and a benchmark on a Coral that is unplugged and comes back."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pocketsight.device.bench import benchmark as module
from pocketsight.device.bench.benchmark import run_benchmark
from pocketsight.device.bench.model_benchmark import benchmark_models
from pocketsight.device.camera import Camera, Frame
from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference import coral_fallback
from pocketsight.device.inference.coral_fallback import FallbackModel
from pocketsight.device.inference.golden import check_golden, read, zip_entries
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.model_loader import active_delegate, load_model
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import Run, open_run
from pocketsight.device.vision.image import read_image
from tests.support.corals import opened, unplug


def frames() -> Iterator[Frame]:
    image = read_image(EXAMPLE_IMAGE)
    return (Frame(image, number, time.time()) for number in count())


def step(run: Run, times: int = 3) -> list[int]:
    """How many faces each of the next frames has."""
    found = []
    for _ in range(times):
        before = run.summary.frames
        while run.summary.frames == before:
            assert run.step(lambda doing: None)
        assert run.status.latest
        found.append(len(run.status.latest.faces) + len(run.status.latest.ignored_boxes))
    return found


def test_a_run_goes_on_while_the_coral_goes_and_comes(models: Path, device: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    config = RunConfig(
        "x",
        (240, 320),
        models / "detector.tflite",
        models / "sentiment.tflite",
        1,
        idle_fps=0,
        log=(str(log),),
        verify=False,
    )
    with open_run(config, Camera(frames(), "x")) as run:
        assert step(run) == [0, 0, 0]  # the stand-in finds no face
        unplug(device)
        assert step(run) == [1, 1, 1]
        (device / "plugged").touch()
        run.housekeeping.edgetpu_monitor.tick(time.monotonic() + 60)
        assert run.housekeeping.edgetpu_monitor.thread
        run.housekeeping.edgetpu_monitor.thread.join()
        step(run)
        assert [active_delegate(model) for model in run.pipeline.models] == ["edgetpu", "edgetpu"]
        run.finish()
    faults = [entry for entry in map(json.loads, log.read_text().splitlines()) if entry["kind"] == "fault"]
    assert [(entry["event"], entry["active"]) for entry in faults] == [("edgetpu lost", True), ("edgetpu lost", False)]


def test_the_loop_itself_sees_to_it_that_the_coral_is_tried_again(models: Path, device: Path, tmp_path: Path) -> None:
    unplug(device)
    config = RunConfig(
        "x",
        (240, 320),
        models / "detector.tflite",
        models / "sentiment.tflite",
        1,
        idle_fps=0,
        log=(str(tmp_path / "l.jsonl"),),
        verify=False,
    )
    with open_run(config, Camera(frames(), "x")) as run:
        assert step(run, 1) == [1]
        assert list(run.faults.active) == ["edgetpu lost"]
        (device / "plugged").touch()
        deadline = time.monotonic() + 30
        while run.faults.active and time.monotonic() < deadline:
            step(run, 1)
        assert active_delegate(run.pipeline.detector) == "edgetpu" and not run.faults.active
        run.finish()


def test_the_command_tells_on_its_screen(
    models: Path, device: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unplug(device)
    words = [
        "run",
        "--camera",
        str(EXAMPLE_IMAGE),
        "--detector",
        str(models / "detector.tflite"),
        "--classifier",
        str(models / "sentiment.tflite"),
        "--log",
        str(tmp_path / "l.jsonl"),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    screen = done.stderr + capfd.readouterr().err
    assert screen.count("edgetpu lost") == 1 and "no Coral is plugged in" in screen
    done = CliRunner().invoke(main, [*words, "--delegate", "edgetpu"])
    assert done.exit_code == 1 and done.stderr.startswith("Error: no Coral is plugged in: plug it into")
    plain = CliRunner().invoke(main, ["run", "--camera", str(EXAMPLE_IMAGE), "--log", str(tmp_path / "l.jsonl")])
    assert plain.exit_code == 0 and "Coral" not in plain.stderr + capfd.readouterr().err


@pytest.mark.parametrize("word", ["tpu", "edgetpu:", "edgetpu:usb:", "edgetpu:firewire", "edgetpu:-1", "AUTO", ""])
def test_a_delegate_that_is_none(word: str) -> None:
    done = CliRunner().invoke(main, ["bench", "--delegate", word])
    assert done.exit_code == 2 and "is not one of auto, cpu, edgetpu" in done.output


def test_bench_says_what_ran(models: Path, device: Path) -> None:
    config = RunConfig(
        str(EXAMPLE_IMAGE),
        (240, 320),
        models / "detector.tflite",
        models / "sentiment.tflite",
        1,
        max_frames=2,
        idle_fps=0,
        verify=False,
    )
    assert [model["delegate"] for model in run_benchmark(config, 1)["models"]] == ["edgetpu", "edgetpu"]
    assert run_benchmark(replace(config, delegate="cpu"), 1)["models"][0]["delegate"] == "XNNPACK"
    paths = [models / "detector.tflite", models / "detector_edgetpu.tflite"]
    rows = benchmark_models(paths, str(EXAMPLE_IMAGE), (240, 320), 1, 2, 1)["models"]
    assert [row["delegate"] for row in rows] == ["XNNPACK", "edgetpu"]  # the very files


def test_bench_does_not_mix_two_machines(models: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unplugged_at_the_third() -> Iterator[Frame]:
        for frame in frames():
            if frame.index == 3:
                unplug(device)
            yield frame

    monkeypatch.setattr(module, "repeat_image", lambda source: Camera(unplugged_at_the_third(), source))
    config = RunConfig(
        "x",
        (240, 320),
        models / "detector.tflite",
        models / "sentiment.tflite",
        1,
        max_frames=5,
        idle_fps=0,
        verify=False,
    )
    with pytest.raises(ModelError, match="a Coral appeared or disappeared during the measurement"):
        run_benchmark(config, 1)


def test_a_coral_that_computes_something_else_is_an_error_if_it_was_asked_for(models: Path, device: Path) -> None:
    words = ["run", "--camera", str(EXAMPLE_IMAGE), "--detector", str(models / "detector.tflite"), "--threads", "1"]
    done = CliRunner().invoke(main, [*words, "--delegate", "edgetpu"])  # the stand-in finds no face in any image
    assert done.exit_code == 1 and "gives other results on this Coral than at export" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("detector.tflite --delegate edgetpu\n")
    said = CliRunner().invoke(main, ["verify", str(models / "detector.tflite"), "--delegate", "edgetpu"])
    assert said.exit_code == 1 and "detector.tflite: FAILED" in said.stdout
    assert CliRunner().invoke(main, ["verify", str(models / "detector.tflite")]).exit_code == 0


def test_the_cpu_takes_over_from_a_coral_that_computes_otherwise(models: Path, device: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    config = RunConfig(
        "x", (240, 320), models / "detector.tflite", models / "sentiment.tflite", 1, idle_fps=0, log=(str(log),)
    )
    with open_run(config, Camera(frames(), "x")) as run:
        for _ in range(2):
            assert step(run) == [1, 1, 1]
            run.housekeeping.edgetpu_monitor.tick(time.monotonic() + 100)
            assert run.housekeeping.edgetpu_monitor.thread
            run.housekeeping.edgetpu_monitor.thread.join()  # it opens again, and still gives other results
        assert step(run, 1) == [1]
        assert [active_delegate(model) for model in run.pipeline.models] == ["cpu", "cpu"]
        run.finish()
    assert len(opened(device)) == 4  # two at the start; then the first of the two fails
    (fault,) = (entry for entry in map(json.loads, log.read_text().splitlines()) if entry["kind"] == "fault")
    assert fault["event"] == "edgetpu lost" and fault["active"]
    assert "gives other results on this Coral" in fault["detail"]
    assert fault["detail"].endswith("the CPU runs detector.tflite")


def test_a_compiled_file_alone_must_compute_what_it_says(models: Path, device: Path) -> None:
    flatbuffer, spec = read_model_file(models / "detector_edgetpu.tflite")
    path = models / "alone_edgetpu.tflite"
    (golden, *_) = read(models / "detector.tflite")
    path.write_bytes(pack_model_file(flatbuffer, spec, zip_entries([golden])))
    with pytest.raises(ModelError, match="gives other results on this Coral"):
        load_model(path, "detector", 1, verify=True)
    same = golden._replace(outputs={name: b"\x80" * len(data) for name, data in golden.outputs.items()})
    path.write_bytes(pack_model_file(flatbuffer, spec, zip_entries([same])))
    assert active_delegate(load_model(path, "detector", 1, verify=True)) == "edgetpu"


def test_a_coral_that_vanishes_while_it_is_asked_for_its_golden_output(
    models: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pulled(*words: Any, **more: Any) -> None:
        unplug(device)
        check_golden(*words, **more)

    monkeypatch.setattr(coral_fallback, "check_golden", pulled)
    loaded = load_model(models / "detector.tflite", "detector", 1, verify=True)
    assert active_delegate(loaded) == "cpu" and isinstance(loaded.infer, FallbackModel)
    assert (
        "does not run on this Coral: " in loaded.infer.fallback_reason
        and "USB transfer error 5" in loaded.infer.fallback_reason
    )


def test_bench_does_not_time_a_coral_that_computes_something_else(models: Path, device: Path) -> None:
    config = RunConfig(
        str(EXAMPLE_IMAGE),
        (240, 320),
        models / "detector.tflite",
        models / "sentiment.tflite",
        1,
        max_frames=2,
        idle_fps=0,
    )
    assert [model["delegate"] for model in run_benchmark(config, 1)["models"]] == ["XNNPACK", "XNNPACK"]
