"""Options given twice, empty names, and models that do not go together: one line that says what to do."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE

STILL = "run", "--camera", str(EXAMPLE_IMAGE), "--log", "-"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--detector", "a.tflite", "--detector", "b.tflite"), "--detector was given twice"),
        (("bench", "--frames", "2", "--frames", "3"), "--frames was given twice"),
        (("run", "--classifier", ""), "a path must not be empty"),
        (("train", "detector", "--data", ""), "a path must not be empty"),
        (("train", "detector", "--data", "a", "--data", "b"), "--data was given twice"),
        (("evaluate", "m", "--data", "d", "--plots", "a", "--plots", "b"), "--plots was given twice"),
        (("export", "tflite", "r", "--out", "a", "--out", "b"), "--out was given twice"),
        (("data", "preview", "d", "-o", "a", "-o", "b"), "--out was given twice"),
        ((*STILL, "--threshold", "precise"), "has no threshold 'precise'; export the detector again"),
        ((*STILL, "--classify", "dog"), "detects face; give one of these"),
        ((*STILL, "--classifier", "none", "--classify", "face"), "--classify needs a classifier"),
    ],
)
def test_it_is_one_line(words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code in (1, 2) and says in " ".join(done.output.split()), done.output


def test_options_of_several_values_and_flags_may_be_repeated(tmp_path: Path) -> None:
    log = str(tmp_path / "a.jsonl")
    words = ["run", "--camera", str(EXAMPLE_IMAGE), "--log", "-", "--log", log, "--blur", "--blur"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and '"label":"happy"' in Path(log).read_text()


def test_a_detector_alone_logs_what_it_detects(capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(main, [*STILL, "--classifier", "none"])
    assert done.exit_code == 0 and '"object":"face","label":"face"' in capfd.readouterr().out
