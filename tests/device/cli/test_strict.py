"""Options given twice, empty names, and models that do not go together: one line that says what to do."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR

STILL = "run", "--camera", str(EXAMPLE_IMAGE), "--log", "-"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--detector", "a.tflite", "--detector", "b.tflite"), "--detector was given twice"),
        (("bench", "--frames", "2", "--frames", "3"), "--frames was given twice"),
        (("run", "--classifier", ""), "a path must not be empty"),
        (("train", "detector", "--data", ""), "a path must not be empty"),
        (("train", "detector", "--data", "a", "--out", "b", "--out", "c"), "--out was given twice"),
        (("evaluate", "m", "--data", "d", "--plots", "a", "--plots", "b"), "--plots was given twice"),
        (("export", "tflite", "r", "--out", "a", "--out", "b"), "--out was given twice"),
        (("data", "preview", "d", "-o", "a", "-o", "b"), "--out was given twice"),
        ((*STILL, "--classify", "dog"), "detects face; give one of these"),
        ((*STILL, "--classifier", "none", "--classify", "face"), "--classify needs a classifier"),
    ],
)
def test_it_is_one_line(words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code in (1, 2) and says in " ".join(done.output.split()), done.output


def test_a_threshold_that_a_detector_lacks_is_one_line(tmp_path: Path) -> None:
    flatbuffer, spec = read_model_file(MODELS_DIR / "detector-tiny.tflite")
    path = tmp_path / "old.tflite"
    path.write_bytes(pack_model_file(flatbuffer, replace(spec, presets={})))
    done = CliRunner().invoke(main, [*STILL, "--detector", str(path), "--threshold", "precise"])
    assert done.exit_code == 1 and "has no threshold 'precise'; export the detector again" in done.output
    assert CliRunner().invoke(main, [*STILL, "--threshold", "precise"]).exit_code == 0


def test_options_of_several_values_and_flags_may_be_repeated(tmp_path: Path) -> None:
    log = str(tmp_path / "a.jsonl")
    words = ["run", "--camera", str(EXAMPLE_IMAGE), "--log", "-", "--log", log, "--blur", "--blur"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and '"label":"happy"' in Path(log).read_text()


def test_a_detector_alone_logs_what_it_detects(capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(main, [*STILL, "--classifier", "none"])
    assert done.exit_code == 0 and '"object":"face","label":"face"' in capfd.readouterr().out
