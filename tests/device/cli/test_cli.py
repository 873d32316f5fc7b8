"""The command as a user meets it, with the models that ship."""

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import cv2
import pytest
from click.testing import CliRunner, Result

from pocketsight.device.bench import op_profile
from pocketsight.device.cli.main import EXTRA_BY_MODULE, main, missing_module_hint
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR, SHIPPED_MODELS
from pocketsight.device.runtime.pipeline import STAGES
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.system.logging_setup import configure_logging
from tests.support import ROOT
from tests.support.images import coco, picture


def pocketsight(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def program(*words: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')",
        *map(str, words),
    ]


def error(*words: object) -> str:
    """The one line that a command fails with."""
    result = pocketsight(*words)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    return line


def test_all_folders_meet_in_one_command() -> None:
    words = {"bench", "data", "demo", "export", "info", "run", "evaluate", "train"}
    assert words <= set(re.findall(r"^  (\w+)", pocketsight("--help").output, re.MULTILINE))


def test_run_logs_the_example_and_saves_a_video(tmp_path: Path) -> None:
    result = pocketsight(
        "run", "--camera", EXAMPLE_IMAGE, "--log", tmp_path / "log.jsonl", "--save-video", tmp_path / "a.mp4"
    )
    assert result.exit_code == 0, result.output
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    (face,) = line["faces"]
    left, top, right, bottom = face["box"]
    assert left < 140 < right and top < 70 < bottom  # the astronaut's nose
    assert face["label"] == "happy"
    assert line["source"] == str(EXAMPLE_IMAGE)
    assert (tmp_path / "a.mp4").stat().st_size > 1000
    assert "1 frames" in result.output


def test_run_prints_to_standard_output_unless_told_otherwise() -> None:
    done = subprocess.run(program("run", "--camera", EXAMPLE_IMAGE), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["frame"] == 0


def test_show_without_a_screen_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        program("run", "--camera", EXAMPLE_IMAGE, "--show"), capture_output=True, text=True, check=True
    )
    assert "no window: this session has no display" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_log_whole(tmp_path: Path, number: int) -> None:
    folder, log = tmp_path / "many", tmp_path / "log.jsonl"
    folder.mkdir()
    for n in range(5000):
        (folder / f"{n}.jpg").symlink_to(EXAMPLE_IMAGE)
    process = subprocess.Popen(program("run", "--camera", folder, "--log", log), stderr=subprocess.PIPE, text=True)
    for _ in range(200):
        time.sleep(0.05)
        if log.exists() and log.stat().st_size > 5000:
            break
    process.send_signal(number)
    _, text = process.communicate(timeout=10)
    lines = [json.loads(line)["frame"] for line in log.read_text().splitlines()]
    assert process.returncode == 0
    assert 10 < len(lines) < 5000 and lines == list(range(len(lines)))
    assert f"{len(lines)} frames" in text


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """--per-op measures each operator as seldom as it may."""
    monkeypatch.setattr(op_profile, "BUDGET_SECONDS", 0.0)


@pytest.mark.usefixtures("brief")
def test_bench_counts_every_stage_of_the_pipeline() -> None:
    result = pocketsight("bench", "--frames", 20, "--warmup", 3, "--json")
    found = json.loads(result.output)
    assert list(found["stages"]) == list(STAGES)
    assert found["frames"] == 20
    assert all(row["p50"] <= row["p90"] <= row["p95"] <= row["p99"] for row in found["stages"].values())
    assert found["environment"]["interpreter"].startswith(("ai-edge-litert", "tflite-runtime"))
    text = pocketsight("bench", "--frames", 2, "--warmup", 0, "--per-op").output
    assert "p99" in text and "operators of" in text and "their sum is" in text and "MB at most" in text


def test_bench_measures_models_in_turn_against_the_first(tmp_path: Path) -> None:
    models = list(map(str, SHIPPED_MODELS.values()))
    found = json.loads(pocketsight("bench", *models, "--frames", 20, "--warmup", 2, "--json").output)
    first, second = found["models"]
    assert (first["task"], second["arch"], first["ratio"]) == ("detector", "crop71k", 1.0)
    assert second["ratio"] == pytest.approx(second["p50"] / first["p50"], abs=0.01)
    assert first["p50"] <= first["p90"] <= first["p99"] and found["rounds"] == 20
    assert "ratio" in pocketsight("bench", models[0], "--frames", 2, "--warmup", 0).output
    assert "cannot be read" in error("bench", tmp_path / "no.tflite")


def test_bench_says_how_many_threads_to_take() -> None:
    words = "bench", "--threads", "1,2", "--frames", 4, "--warmup", 0
    found = json.loads(pocketsight(*words, "--json").output)
    assert (found["schema_version"], found["kind"]) == (2, "threads")
    assert [(row["threads"], row["frames"]) for row in found["thread_counts"]] == [(1, 4), (2, 4)]
    assert found["reason"].startswith(f"--threads {found['recommended_threads']}: ")
    assert "--threads " in pocketsight(*words).output


@pytest.mark.usefixtures("brief")
def test_every_key_of_a_report_is_described() -> None:
    told = (ROOT / "device" / "bench" / "README.md").read_text().partition("### JSON")[2].partition("\n## ")[0]
    for words in (["--per-op"], ["--threads", "1,2"], [MODELS_DIR / "sentiment.tflite"]):
        found = json.loads(pocketsight("bench", *words, "--frames", 2, "--warmup", 0, "--json").output)
        rows = [*found.get("models", []), *found.get("thread_counts", []), *found.get("operators", [])]
        rows += [found["environment"], found["warmup"]] if "warmup" in found else [found["environment"]]
        for key in {key for row in (found, *rows) for key in row}:
            assert f"`{key}`" in told, key


def test_an_error_is_one_line_whatever_a_file_holds_or_is_called(tmp_path: Path) -> None:
    flatbuffer, spec = read_model_file(MODELS_DIR / "sentiment.tflite")
    path = tmp_path / "a\nb\udcff.tflite"
    path.write_bytes(flatbuffer)
    with ZipFile(path, "a") as archive:
        archive.writestr(MANIFEST_NAME, json.dumps(json.loads(spec.to_json()) | {"input_size": "\x1b[2J\nfine"}))
    assert r"a\nb\udcff.tflite has a malformed manifest (" in (line := error("info", path)) and r"\x1b[2J\nfine" in line


def test_bench_reports_a_run_over_time() -> None:
    found = json.loads(pocketsight("bench", "--duration", "3.5s", "--warmup", 0, "--json").output)
    keys = {
        "elapsed_s",
        "fps",
        "p50",
        "p99",
        "temperature_c",
        "cpu_mhz",
        "throttled",
        "under_voltage",
        "throttled_bits",
    }
    assert len(found["telemetry"]) > 1 and all(row.keys() == keys for row in found["telemetry"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--frames", 3, "--duration", "1min"], "either --frames or --duration"),
        (["--duration", "1min", "--threads", "1,2"], "--duration measures one run"),
        (["--duration", "1min", MODELS_DIR / "detector.tflite"], "--duration measures one run"),
        (["--threads", "1,2", MODELS_DIR / "detector.tflite"], "leave MODELS out"),
        (["--threads", "1,2", "--per-op"], "one number of --threads"),
        (["--threads", "1,2", "--camera", "synthetic:fast"], "need an image"),
    ],
)
def test_bench_with_options_that_contradict_each_other(words: list[object], text: str) -> None:
    assert text in error("bench", *words)


@pytest.mark.parametrize(
    "words", [["--duration", "10"], ["--duration", "0s"], ["--threads", "0"], ["--threads", "1,1"]]
)
def test_bench_with_values_that_cannot_be(words: list[str]) -> None:
    found = pocketsight("bench", *words)
    assert found.exit_code == 2 and re.search("is not a (duration|list) such as", found.output)


def test_bench_on_a_source_that_ends(tmp_path: Path) -> None:
    for n in range(4):
        picture(tmp_path / f"{n}.png", seed=n)
    found = json.loads(pocketsight("bench", "--camera", tmp_path, "--frames", 9, "--warmup", 1, "--json").output)
    assert found["frames"] == 3
    assert "lower --warmup" in error("bench", "--camera", tmp_path, "--warmup", 9)


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_info_shows_what_a_model_holds(task: str) -> None:
    path = SHIPPED_MODELS[task]
    found = json.loads(pocketsight("info", path, "--json").output)
    assert found["manifest"]["task"] == task
    assert found["manifest"]["precision"] == "int8"
    assert found["input"] == {
        "shape": [1, *found["manifest"]["input_size"], 3],
        "dtype": "int8",
        "scale": 1.0,
        "zero": -128,
    }
    assert found["operators"]["delegate"] == 1  # all of it in one XNNPACK partition
    assert found["manifest"]["license"]
    text = pocketsight("info", path).output
    assert "operators" in text
    assert (
        ("smoothing" in found["manifest"])
        is bool(re.search("^smoothing ", text, re.MULTILINE))
        is (task == "classifier")
    )


def test_info_shows_a_temperature_where_there_is_one(tmp_path: Path) -> None:
    flatbuffer, spec = read_model_file(MODELS_DIR / "sentiment.tflite")
    for heat in (1.0, 1.25):
        (tmp_path / "m.tflite").write_bytes(pack_model_file(flatbuffer, replace(spec, temperature=heat)))
        shown = re.search(r"^temperature +1\.25$", pocketsight("info", tmp_path / "m.tflite").output, re.MULTILINE)
        assert bool(shown) == (heat != 1)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    assert "cannot be written" in error("run", "--camera", EXAMPLE_IMAGE, "--log", tmp_path / "no" / "log.jsonl")
    assert "cannot be written as a video" in error(
        "run", "--camera", EXAMPLE_IMAGE, "--log", tmp_path / "log.jsonl", "--save-video", tmp_path / "no" / "a.mp4"
    )


@pytest.mark.parametrize("command", ["run", "bench"])
@pytest.mark.parametrize("source", ["97", "nowhere", "/dev/null"])
def test_no_camera_is_one_line(command: str, source: str) -> None:
    """As a process, so that what OpenCV writes past Python would be seen."""
    done = subprocess.run(program(command, "--camera", source), capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: no camera") or "cannot be opened" in line


def test_a_video_is_whole_or_not_there(tmp_path: Path) -> None:
    frames, target = tmp_path / "frames", tmp_path / "a.mp4"
    for number, size in enumerate([(61, 81), (120, 90), (61, 81)]):  # odd, and not all of one shape
        picture(frames / f"{number}.png", size)
    assert (
        pocketsight("run", "--camera", frames, "--log", tmp_path / "log.jsonl", "--save-video", target).exit_code == 0
    )
    capture = cv2.VideoCapture(str(target))
    assert [capture.get(n) for n in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH)] == [3, 80]
    again = tmp_path / "again.jsonl"
    assert (
        pocketsight("run", "--camera", target, "--log", again, "--save-video", target).exit_code == 0
    )  # in place of itself
    assert len(again.read_text().splitlines()) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"frames", "a.mp4", "log.jsonl", "again.jsonl"}


def test_a_damaged_picture_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    assert "a.jpg is not an image" in error("run", "--camera", tmp_path)


def test_models_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    good = (MODELS_DIR / "detector.tflite").read_bytes()
    bad = tmp_path / "m.tflite"
    for content, message in (
        (good[:-300], "cut short"),
        (good[: good.rindex(b"PK\3\4")], "cut short"),
        (good[:5000] + bytes([good[5000] ^ 1]) + good[5001:], "is damaged"),
        (b"", "not a model file"),
    ):
        bad.write_bytes(content)
        for command in (["run", "--camera", EXAMPLE_IMAGE, "--detector"], ["info"]):
            assert message in error(*command, bad)
    assert "is a classifier; use a detector" in error(
        "run", "--camera", EXAMPLE_IMAGE, "--detector", MODELS_DIR / "sentiment.tflite"
    )
    assert "No such file" in error("run", "--camera", EXAMPLE_IMAGE, "--detector", tmp_path / "none.tflite")


def test_score_speaks_to_people_and_to_programs(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE_IMAGE, tmp_path / "a.jpg")
    data = coco(
        tmp_path,
        images=[{"id": 7, "file_name": "a.jpg", "width": 320, "height": 240}],
        annotations=[{"id": 1, "image_id": 7, "category_id": 1, "bbox": [115, 33, 50, 70]}],
    )
    model = MODELS_DIR / "detector.tflite"
    found = json.loads(pocketsight("evaluate", model, "--data", data, "--json").output)
    assert (found["images"], found["faces"], found["frame"], found["min_face_size"]) == (1, 1, [320, 240], 16)
    assert found["ap50"] == 1
    assert 0 < found["ap"] <= 1
    assert "AP50" in pocketsight("evaluate", model, "--data", data, "--plots", tmp_path / "plots").output
    assert {p.name for p in (tmp_path / "plots").iterdir()} == {
        "precision_recall.png",
        "detections.png",
        "threshold.png",
        "errors.html",
    }
    assert "no face of 300 px" in error("evaluate", model, "--data", data, "--min-face-size", 300)


def test_scores_of_a_classifier(tmp_path: Path) -> None:
    for name, count in (("happy", 3), ("sad", 2), ("angry", 4)):
        for n in range(count):
            picture(tmp_path / name / f"{n}.png", (48, 48), n)
    found = json.loads(pocketsight("evaluate", MODELS_DIR / "sentiment.tflite", "--data", tmp_path, "--json").output)
    assert found["labels"] == ["happy", "sad"]
    assert (found["images"], found["rejects"]) == (5, 4)
    assert found["balanced_accuracy"] == pytest.approx(sum(found["recall"].values()) / 2, abs=1e-3)
    assert sum(map(sum, found["confusion"])) == 5
    assert 0 <= found["unsure_rate"] <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "detector", "--data", "{}"], "has no images"),
        (["train", "detector", "--data", "{}/none.json"], "none.json"),
        (["train", "classifier", "--data", "{}"], "needs at least two"),
        (["train", "detector", "--data", "{}", "--out", "{}/run", "--resume"], "has no images"),
        (["train", "classifier", "--data", "{}/none"], "is not a folder"),
        (["evaluate", "{}", "--data", "{}"], "is not a run folder"),
        (["evaluate", "{}/none.tflite", "--data", "{}"], "No such file"),
        (["export", "tflite", "{}"], "--calibration-data"),
        (["export", "tflite", "{}", "--calibration-data", "{}"], "is not a run folder"),
    ],
)
def test_the_workstation_says_what_is_wrong_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    assert message in error(*(word.format(tmp_path) for word in words))


def test_a_missing_package_is_one_line_with_the_fix(tmp_path: Path) -> None:
    block = f"import sys; sys.modules['cv2'] = None\n{program()[2]}"
    done = subprocess.run(
        [sys.executable, "-c", block, "run", "--camera", EXAMPLE_IMAGE], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: cv2 is not installed; get it with: {install_command('opencv')}")


def test_every_extra_has_a_command_that_works_for_this_copy() -> None:
    for module, extra in EXTRA_BY_MODULE.items():
        assert missing_module_hint(module).startswith(install_command(extra))
        assert not re.search(r"install\s+'?pocketsight(\[|')", missing_module_hint(module))


@pytest.mark.parametrize(("words", "level"), [((), 30), (("-v",), 20), (("-vv",), 10), (("-q",), 40)])
def test_more_and_fewer_messages(words: tuple[str, ...], level: int) -> None:
    try:
        assert pocketsight(*words, "info", EXAMPLE_IMAGE.parent / "sentiment.tflite").exit_code == 0
        assert logging.getLogger("pocketsight").level == level
    finally:
        configure_logging(0)


@pytest.mark.parametrize("command", ["run", "bench", "doctor"])
def test_the_old_word_for_the_classifier_is_taken_and_not_shown(command: str) -> None:
    shown = pocketsight(command, "--help").output
    assert "--classifier" in shown and "--sentiment" not in shown
    (line,) = pocketsight(command, "--sentiment", "x", "--no-such-option").output.splitlines()[-1:]
    assert "No such option" in line and "--no-such-option" in line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketsight.device.inference.model_info.describe_model", lambda path: 1 / 0)
    assert isinstance(pocketsight("info", EXAMPLE_IMAGE).exception, ZeroDivisionError)


def test_nothing_in_the_board_waits_for_tensorflow() -> None:
    code = "import sys, pocketsight.device.runtime.pipeline, pocketsight.device.cli.main as _\n"
    code += "print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_tour_begins_with_the_shipped_models_on_a_photograph(tmp_path: Path) -> None:
    words = program("demo", "--quick", "--out", "tour")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = re.findall(r"a face in (\d+) of (\d+) frames", done.stdout)
    assert 60 < int(found[0]) < int(found[1]) == 180
    assert "happy at [" in done.stdout and (tmp_path / "tour" / "photograph-annotated.mp4").stat().st_size > 10_000
