"""The option --set of `pocketsight train`: other hyperparameters than those of the recipe."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

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
