"""--set, --recipe and the length of `pocketsight train`."""

from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.train.cli.recipe_option import parse_settings, read_recipe_file, write_recipe_file
from pocketsight.train.cli.train import _recipe_from_options
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
        ("grayscale=much", "expected a value like 0.35"),
        ("scale_range=1", r"expected a value like \(0.35, 2.2\)"),
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


def test_a_recipe_file_comes_back_and_its_errors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    recipe = replace(DETECTOR_RECIPE, scale_range=(0.3, 3.0), horizontal_flip=0.0)
    write_recipe_file(path, recipe)
    assert replace(DETECTOR_RECIPE, **read_recipe_file(path, DETECTOR_RECIPE)) == recipe
    for text, says in (
        ("grayscal = 1", "a recipe has no grayscal; did you mean grayscale"),
        ("batch_size = 1.5", "batch_size = 1.5 should be like 32"),
        ("scale_range = 1", "should be like"),
        ('input_size = ["tall", 320]', "should be like"),
        ("input_size = [192.5, 320]", "should be like"),
        ("= 1", "is not TOML"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            read_recipe_file(path, DETECTOR_RECIPE)


def test_the_length_fits_the_number_of_images_and_the_options_win(tmp_path: Path) -> None:
    names = "samples", "epochs", "time", "batch_size", "seed", "recipe"
    options = dict.fromkeys(names) | {"arch": "grid141k", "settings": (), "no_flip": False}
    assert _recipe_from_options("detector", options, 50).samples == 20_000
    assert _recipe_from_options("detector", options, 1_000).samples == 100_000
    assert _recipe_from_options("detector", options, 20_000) == DETECTOR_RECIPE
    assert _recipe_from_options("detector", options | {"samples": 64}, 50).samples == 64
    assert _recipe_from_options("detector", options | {"no_flip": True}, 50).horizontal_flip == 0
    (tmp_path / "r.toml").write_text("samples = 77\ngrayscale = 0")
    from_file = _recipe_from_options("detector", options | {"recipe": tmp_path / "r.toml"}, 50)
    assert (from_file.samples, from_file.grayscale) == (77, 0.0)
    with pytest.raises(click.UsageError, match="--samples and --time both set the length"):
        _recipe_from_options("detector", options | {"samples": 64, "time": 60.0}, 50)
