"""--set of `pocketsight train`."""

import click
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.train.cli.recipe_option import parse_settings
from pocketsight.train.recipe import CLASSIFIER_RECIPE, DETECTOR_RECIPE


def test_values_have_the_types_of_the_recipe() -> None:
    words = "grayscale=0.4", "scale_range=0.3,3", "input_size=96,128", "batch_size=8", "augmentation=none"
    assert parse_settings(words, DETECTOR_RECIPE) == {
        "grayscale": 0.4,
        "scale_range": (0.3, 3.0),
        "input_size": (96, 128),
        "batch_size": 8,
        "augmentation": "none",
    }
    assert parse_settings(("align_faces=False",), CLASSIFIER_RECIPE) == {"align_faces": False}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("grayscale", "expected NAME=VALUE with one of samples"),
        ("gray=1", "expected NAME=VALUE"),
        ("grayscale=much", "expected a value like 0.25"),
        ("scale_range=1", r"expected a value like \(0.35, 1.6\)"),
        ("batch_size=1.5", "expected a value like 32"),
        ("align_faces=2", "expected a value like False"),
    ],
)
def test_a_wrong_setting_is_named(word: str, says: str) -> None:
    with pytest.raises(click.UsageError, match=says):
        parse_settings((word,), DETECTOR_RECIPE)


def test_the_command_refuses_an_unknown_name(tmp_path: object) -> None:
    from tests.support.images import coco

    done = CliRunner().invoke(main, ["train", "detector", "--data", str(coco(tmp_path)), "--set", "gray=1"])  # type: ignore[arg-type]
    assert done.exit_code and "--set gray=1: expected NAME=VALUE" in done.output
