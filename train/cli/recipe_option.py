"""The options --set and --recipe of `pocketsight train`: other hyperparameters than those of the architecture."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click

from pocketsight.device.errors import DataError
from pocketsight.device.system.toml_file import read_toml
from pocketsight.train.recipe import Recipe


def parse_settings(words: tuple[str, ...], recipe: Recipe) -> dict[str, Any]:
    """Words like `grayscale=0.4` or `scale_range=0.3,3` as values of the types in `recipe`. Raises UsageError."""
    names = [field.name for field in fields(recipe)]
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in names:
            raise click.UsageError(f"--set {word}: expected NAME=VALUE with one of {', '.join(names)}")
        values[name] = _parse(word, text, getattr(recipe, name))
    return values


def read_recipe_file(path: Path, recipe: Recipe) -> dict[str, Any]:
    """The values of a TOML file, of the types in `recipe`. Raises DataError, naming the file and the field."""
    content = read_toml(path, DataError)
    values: dict[str, Any] = {}
    for name, value in content.items():
        default = getattr(recipe, name, None)
        if default is None:
            near = difflib.get_close_matches(name, [field.name for field in fields(recipe)], 1)
            raise DataError(f"{path}: a recipe has no {name}" + (f"; did you mean {near[0]}?" if near else ""))
        values[name] = _like(default, value)
        if values[name] is None:
            raise DataError(f"{path}: {name} = {value!r} should be like {default!r}")
    return values


def _like(default: Any, value: Any) -> Any:
    """A value of a TOML file as the type of `default`; None where it is of another one."""
    if isinstance(default, tuple) and isinstance(value, list) and len(value) == len(default):
        parts = tuple(_like(old, new) for old, new in zip(default, value, strict=True))
        return None if None in parts else parts
    if isinstance(default, float) and type(value) is int:
        return float(value)
    return value if type(value) is type(default) else None


def write_recipe_file(path: Path, recipe: Recipe) -> None:
    """Write all hyperparameters as TOML, which `read_recipe_file` reads."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in asdict(recipe).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parse(word: str, text: str, default: Any) -> Any:
    """The text as a value of the type of `default`: bool, int, float, str or a tuple of numbers."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, tuple):
            parts = text.split(",")
            return tuple(type(old)(part) for old, part in zip(default, parts, strict=True))
        return type(default)(text)
    except (KeyError, ValueError) as error:
        raise click.UsageError(f"--set {word}: expected a value like {default}") from error
