"""Recipes, and those of version 0.1 in old manifests."""

from dataclasses import fields

from pocketsight.device.inference.legacy_manifest import RECIPE
from pocketsight.train.cli.data import FORMATS
from pocketsight.train.datasets.formats.convert import READERS
from pocketsight.train.datasets.formats.detect import FORMAT_NAMES
from pocketsight.train.recipe import RECIPES, Recipe


def test_every_name_of_an_old_recipe_becomes_a_field() -> None:
    names = {field.name for field in fields(Recipe)}
    assert set(RECIPE.values()) <= names
    # Numbers of version 0.1 that kept their names: every field but the newer ones has a name of then.
    kept = {"learning_rate", "epochs", "repeats", "warmup", "weight_decay", "seed"}
    newer = {"source_balance", "mosaic_prob", "photograph_prob"}
    assert set(RECIPE.values()) | kept | newer == names
    assert not set(RECIPE) & names


def test_the_formats_of_the_command_are_those_that_can_be_read() -> None:
    assert tuple(FORMAT_NAMES) == FORMATS
    assert {*READERS, "fer2013"} == set(FORMATS)


def test_each_task_has_a_default_recipe() -> None:
    assert [next(iter(recipes)) for recipes in RECIPES.values()] == ["grid141k", "crop71k"]
