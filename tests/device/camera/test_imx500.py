"""The AI Camera: its outputs belong to their frame, its boxes are where the CPU finds them, and it may fail."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.camera import Frame, open_camera
from pocketsight.device.camera.imx500 import FAULT_NAME, SensorNetwork
from pocketsight.device.camera.options import CameraOptions
from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.imx500_file import package_network, read_imx500_file
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.sensor import detect_in_sensor, name_outputs, require_steps
from pocketsight.device.inference.shipped import DETECTOR
from tests.support import imx500_clip
from tests.support.ai_camera import install_packager, sensor_network, stand_in_for_ai_camera, write_camera_file
from tests.support.cameras import FaultRecorder
from tests.support.processes import until

WHOLE_INPUT = 480, 640  # a frame of the shape of the input, which the CPU sees at the same scale as the camera


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install_packager(tmp_path / "bin", monkeypatch)
    return tmp_path / "cache"


def frames(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int = 5,
    size: tuple[int, int] = WHOLE_INPUT,
    facts: dict[str, Any] | None = None,
    **state: Any,
) -> tuple[list[Frame], FaultRecorder, Any]:
    """Frames of the stand-in for an AI Camera, the faults, and the module picamera2."""
    module = stand_in_for_ai_camera(folder, monkeypatch, **state)
    path, faults = write_camera_file(folder / "detector.imx500.zip", facts=facts), FaultRecorder()
    network = SensorNetwork(package_network(path), read_imx500_file(path)[1], faults)
    seen = []
    options = CameraOptions(sensor_network=network)
    with open_camera("pi", size, threading.Event(), faults, options=options) as camera:
        for frame in camera:
            seen.append(frame)
            if len(seen) == count:
                break
    return seen, faults, module


def farthest(found: list[Detection], expected: list[Detection]) -> float:
    """The largest distance of a side, in pixels; both find the same number of objects."""
    assert len(found) == len(expected) > 0
    return max(
        abs(a - b) for one, other in zip(found, expected, strict=True) for a, b in zip(one.box, other.box, strict=True)
    )


def test_boxes_of_the_camera_are_those_of_the_cpu_in_the_same_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The face moves 7.5 pixels from frame to frame: outputs of another frame would be seen."""
    seen, faults, module = frames(tmp_path, monkeypatch)
    detector = load_on_cpu(DETECTOR, threads=1)
    for frame in seen:
        assert frame.sensor
        assert farthest(detect_in_sensor(frame.sensor, frame.size), detect(frame.image, detector)) < 2
        assert frame.sensor.network_ms == 8.25
    assert not faults.faults and module.calls[0][0] == "network"  # before the camera is opened


@pytest.mark.parametrize("size", [(512, 640), (360, 640), (640, 640)], ids=str)
def test_boxes_are_in_pixels_of_the_frame_whatever_it_shows(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, _, _ = frames(tmp_path, monkeypatch, count=2, size=size)
    detector = load_on_cpu(DETECTOR, threads=1)
    for frame in seen:
        assert frame.sensor
        (found,), (expected,) = detect_in_sensor(frame.sensor, frame.size), detect(frame.image, detector)
        assert found.box.iou(expected.box) > 0.85


def test_outputs_in_another_order_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = sensor_network(order=lambda name: (name.rpartition("_")[2], name[::-1]))
    seen, faults, _ = frames(tmp_path, monkeypatch, count=1, network=network)
    assert seen[0].sensor and not faults.faults
    assert len(detect_in_sensor(seen[0].sensor, seen[0].size)) == 1


def test_outputs_of_one_shape_are_told_apart_by_their_numbers() -> None:
    facts = {"type": "uint8", "scale": 1 / 32, "shift": 0}
    expected = {"score_8": facts | {"shape": [2, 3, 4]}, "box_8": facts | {"shape": [2, 3, 4]}}
    box, score = np.full((2, 3, 4), 2, np.float32), np.full((2, 3, 4), 0.5, np.float32)
    for arrays in ([box, score], [score, box]):
        named = name_outputs(arrays, expected)
        assert named["score_8"] is score and named["box_8"] is box
    for values, problem in ((score + 0.01, "steps of 0.03125"), (box + 8, "not uint8"), (box * np.nan, "not uint8")):
        with pytest.raises(ModelError, match=problem):
            require_steps({"box_8": values}, expected)


def without(key: str) -> Callable[[int, dict[str, Any]], dict[str, Any]]:
    return lambda number, metadata: {name: value for name, value in metadata.items() if name != key}


def other_numbers(number: int, metadata: dict[str, Any]) -> dict[str, Any]:
    return metadata | {"CnnOutputTensor": tuple(0.9 * value for value in metadata["CnnOutputTensor"])}


def longer_info(number: int, metadata: dict[str, Any]) -> dict[str, Any]:
    return metadata | {"CnnOutputTensorInfo": metadata["CnnOutputTensorInfo"] + b"\1"}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"sent": without("CnnOutputTensor")}, "no CnnOutputTensor"),
        ({"sent": without("ScalerCrop")}, "no ScalerCrop"),
        ({"sent": other_numbers}, "another network"),
        ({"sent": longer_info}, "does not match expected size"),
        ({"network": lambda image: [np.zeros((4, 4), np.float32)]}, "outputs of 4x4 instead of"),
        ({"claims": (256, 192)}, "takes RGB of 256x192"),
        ({"format": "BGR"}, "takes BGR"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),  # a function has another text each time
)
def test_the_cpu_takes_over_with_one_fault(
    state: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketsight.device.camera.imx500.MAX_SILENCE", 0.05)
    seen, faults, _ = frames(tmp_path, monkeypatch, **state)
    assert all(frame.sensor is None for frame in seen)
    assert faults.faults == [(FAULT_NAME, True)] and reason in faults.details[0]


@pytest.mark.parametrize(
    ("mode", "rpk", "reason"),
    [
        ("another camera", "rpk", "camera dev-node not found"),
        ("well", "nonsense", "No matching footer"),
        ("no progress", "rpk", "update python3-picamera2"),
    ],
)
def test_another_camera_or_a_refused_network_leaves_the_pictures(
    mode: str, rpk: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2").mkdir()
    (tmp_path / "picamera2" / "mode").write_text(mode)
    install_packager(tmp_path / "bin", monkeypatch, f'mkdir -p "$4"; echo {rpk} > "$4/network.rpk"')
    seen, faults, _ = frames(tmp_path, monkeypatch, count=2)
    assert seen[1].sensor is None and len(faults.details) == 1 and reason in faults.details[0]


def test_frames_without_outputs_are_left_out_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may be slower than the sensor."""
    every_third = lambda number, metadata: metadata if number % 3 == 0 else without("CnnOutputTensor")(number, metadata)  # noqa: E731
    seen, faults, _ = frames(tmp_path, monkeypatch, sent=every_third)
    assert all(frame.sensor for frame in seen) and not faults.faults


def test_the_fault_ends_when_outputs_are_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketsight.device.camera.imx500.MAX_SILENCE", 0.05)
    later = lambda number, metadata: metadata if number > 20 else without("CnnOutputTensor")(number, metadata)  # noqa: E731
    seen, faults, _ = frames(tmp_path, monkeypatch, count=25, sent=later)
    assert seen[-1].sensor and faults.faults == [(FAULT_NAME, True), (FAULT_NAME, False)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    stand_in_for_ai_camera(tmp_path, monkeypatch)
    file, log = write_camera_file(tmp_path / "detector.imx500.zip"), tmp_path / "log.jsonl"

    def invoke(**changed: str | None) -> Any:
        options: dict[str, str | None] = {
            "camera": "pi",
            "accelerator": f"imx500:{file}",
            "max_frames": "6",
            "resolution": "640x480",
        }
        options |= {"log": str(log), "log_level": "frames"} | changed
        given = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value is not None}
        words = [word for option in given.items() for word in option]
        return CliRunner().invoke(main, ["run", *words])

    yield invoke
    logging.getLogger("pocketsight").handlers.clear()


def test_a_run_logs_faces_that_the_camera_found(run: Callable[..., Any], tmp_path: Path) -> None:
    done = run()
    assert done.exit_code == 0, done.output
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    logged = [entry for entry in entries if entry["kind"] == "frame"]
    assert len(logged) == 6 and any(entry["faces"] for entry in logged)
    assert all("detect" not in entry["stages_ms"] for entry in logged)  # the processor did not run the network
    assert {face["label"] for entry in logged for face in entry["faces"]} <= {"happy", "sad", "unsure"}
    assert not [entry for entry in entries if entry["kind"] == "fault"]


def test_a_run_with_the_tools_quantized_network_logs_the_boxes_of_the_cpu_run(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    """The metadata are what the network that Sony's tools quantized gave for the frames of a clip."""
    network, facts = imx500_clip.read_clip()
    file = write_camera_file(tmp_path / "tiny.imx500.zip", imx500_clip.DETECTOR, facts)
    log, state = tmp_path / "log.jsonl", sys.modules["picamera2"].state
    state.update(network=network, input_size=imx500_clip.INPUT_SIZE[::-1], scaled=imx500_clip.network_input)

    def logged_frames() -> list[Any]:
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [entry for entry in entries if entry["kind"] == "frame"]

    def boxes(accelerator: str | None) -> list[list[float]]:
        """Of a run that gets each frame of the clip, 25 a second."""
        log.unlink(missing_ok=True)
        begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 10**9

        def expose(number: int) -> int:
            until(lambda: len(logged_frames()) >= number - 1, 60)
            return begun + number * 40_000_000

        state["exposed"] = expose
        done = run(detector="tiny", accelerator=accelerator, max_frames="8")
        assert done.exit_code == 0, done.output
        assert all(("detect" in entry["stages_ms"]) == (accelerator is None) for entry in logged_frames())
        return [face["box"] for entry in logged_frames() for face in entry["faces"]]

    found, expected = boxes(f"imx500:{file}"), boxes(None)
    assert len(found) == len(expected) == 7  # the second detection confirms a face
    assert 0 < np.abs(np.subtract(found, expected)).max() < 2


def test_bench_reports_the_camera(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "detector.imx500.zip"
    words = ["--camera", "pi", "--accelerator", f"imx500:{file}", "--frames", "3", "--warmup", "1", "--json"]
    done = CliRunner().invoke(main, ["bench", *words])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)["accelerator"]
    assert facts["runs_on"] == "imx500" and facts["with_outputs"] == facts["frames"] == 3  # without the warm-up
    assert facts["network_ms"] == 8.25
    assert 0 < facts["latency_ms"] and 0 < facts["cpu_share"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"camera": "synthetic"}, "give --camera pi"),
        ({"rotate": "180"}, "mount the camera upright"),
        ({"accelerator": "coral"}, "'coral' is not imx500 or imx500:FILE"),
        ({"accelerator": "imx500:none.imx500.zip"}, "none.imx500.zip does not exist; make one with"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(changed: dict[str, str], problem: str, run: Callable[..., Any]) -> None:
    done = run(**changed)
    assert done.exit_code and problem in " ".join(done.output.split()) and done.output.count("\n") <= 5


def test_the_packager_is_named_where_it_is_missing(
    run: Callable[..., Any], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run()
    assert done.exit_code == 1 and "sudo apt install imx500-all" in done.output
    install_packager(tmp_path / "bin", monkeypatch, "echo no memory left >&2; exit 1")
    assert "could not prepare" in (text := run().output) and "no memory left" in text
    assert not list(cache.rglob("*.rpk"))
    install_packager(tmp_path / "bin", monkeypatch)
    assert run().exit_code == 0
    install_packager(tmp_path / "bin", monkeypatch, "exit 1")
    assert run().exit_code == 0  # it was kept


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = write_camera_file(tmp_path / "good.imx500.zip").read_bytes()
    for content, problem in ((good[:-100], "damaged"), (DETECTOR.read_bytes(), "AI Camera"), (b"", "damaged")):
        (tmp_path / "bad.imx500.zip").write_bytes(content)
        with pytest.raises(ModelError, match=problem):
            read_imx500_file(tmp_path / "bad.imx500.zip")


def test_other_commands_say_what_the_file_is(tmp_path: Path) -> None:
    path = write_camera_file(tmp_path / "detector.imx500.zip")
    shown = CliRunner().invoke(main, ["info", str(path)])
    assert shown.exit_code == 0 and "the AI Camera, 1 MB of 8 MB" in shown.output
    with pytest.raises(ModelError, match="is for the AI Camera: give it as --accelerator"):
        load_on_cpu(path)
