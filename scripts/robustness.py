"""How a classifier of faces stands what cameras and detectors do to them: a table of accuracy against each hindrance.

    python scripts/robustness.py models/sentiment.tflite --data fer2013/test --votes fer2013/test/ferplus.csv

Boxes are those of the detector that comes with pocketsight, then moved, scaled or turned; pictures are darkened,
blurred, covered. Each row is all pictures with one hindrance of one strength: the same pictures in every row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from pocketsight.device.boxes import Box
from pocketsight.device.errors import PocketsightError
from pocketsight.device.image import Image, crop, resize
from pocketsight.device.interpreter import Loaded
from pocketsight.device.sentiment import Sentiment, name, probabilities
from pocketsight.train.aligned import as_trained
from pocketsight.train.answers import Named, judge, measure
from pocketsight.train.augment import draw_mask
from pocketsight.train.expressions import Portrait, face_in, read_expressions, readable
from pocketsight.train.say import bar
from pocketsight.train.verdict import open_model

PATH = click.Path(path_type=Path)
FIGURES = "accuracy", "balanced_accuracy", "unsure_rate", "accuracy_when_sure", "others_called"
Cut = Callable[[Image, Box, np.random.Generator], Image]  # picture and box -> the input of the net


@dataclass(frozen=True)
class Hindrance:
    """One row: what is done, how strongly, and the cut that does it."""

    what: str
    strength: str
    cut: Cut


def hindrances(model: Loaded) -> Iterator[Hindrance]:
    """Every row of the table for a model that sees crops with its own margin and size."""
    spec = model.spec

    def plain(image: Image, box: Box) -> Image:
        return crop(image, box, spec.margin, spec.size)

    def after(change: Callable[[Image, np.random.Generator], Image]) -> Cut:
        return lambda image, box, rng: change(plain(image, box), rng)

    yield Hindrance("none", "", lambda image, box, rng: plain(image, box))
    for share in (0.05, 0.1, 0.15, 0.2):
        yield Hindrance("box shifted", f"{share:.0%}", lambda i, b, r, s=share: plain(i, shifted(b, s, r)))
    for scale in (0.75, 0.85, 1.15, 1.3):
        yield Hindrance("box scaled", f"x{scale:g}", lambda i, b, r, s=scale: plain(i, scaled(b, s)))
    for degrees in (10, 20, 30):
        yield Hindrance("face turned", f"{degrees}°", lambda i, b, r, d=degrees: plain(turned(i, b, d, r), b))
    for side in (32, 24, 16):
        yield Hindrance(
            "small face", f"{side} px", after(lambda f, r, s=side: small(f, round(s * (1 + 2 * spec.margin))))
        )
    for sigma in (1.0, 2.0):
        yield Hindrance("blurred", f"sigma {sigma:g} px of {spec.size[0]}", after(lambda f, r, s=sigma: blurred(f, s)))
    for light in (0.5, 0.25, 0.12):
        yield Hindrance("low light", f"{light:.0%}, noise 6", after(lambda f, r, a=light: dark(f, a, r)))
    yield Hindrance("grey", "", after(lambda f, r: grey(f)))
    yield Hindrance("sunglasses", "", after(lambda f, r: band(f, 0.22, 0.45)))
    yield Hindrance("hand before the mouth", "", after(lambda f, r: band(f, 0.6, 0.95)))
    yield Hindrance("half hidden", "left", after(lambda f, r: half(f)))
    yield Hindrance("mask drawn", "", after(lambda f, r: draw_mask(f, spec.margin, r)))


def shifted(box: Box, share: float, rng: np.random.Generator) -> Box:
    """Moved by a share of its longer side, in any direction."""
    way = rng.uniform(0, 2 * np.pi)
    far = share * max(box.right - box.left, box.bottom - box.top)
    x, y = far * np.cos(way), far * np.sin(way)
    return Box(box.left + x, box.top + y, box.right + x, box.bottom + y)


def scaled(box: Box, scale: float) -> Box:
    """Of another size around the same middle."""
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    w, h = (box.right - box.left) * scale / 2, (box.bottom - box.top) * scale / 2
    return Box(x - w, y - h, x + w, y + h)


def turned(image: Image, box: Box, degrees: float, rng: np.random.Generator) -> Image:
    """The picture rotated around the middle of the box, to one side or the other."""
    middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    matrix = cv2.getRotationMatrix2D(middle, degrees * rng.choice([-1, 1]), 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)


def small(face: Image, side: int) -> Image:
    """As if the crop had been of so many pixels."""
    return resize(resize(face, (side, side)), face.shape[:2])


def blurred(face: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), np.uint8)


def dark(face: Image, share: float, rng: np.random.Generator) -> Image:
    """With a share of the light, and noise of 6 grey levels, as a cheap camera has it then."""
    return np.clip(face * share + rng.normal(0, 6, face.shape), 0, 255).astype(np.uint8)


def grey(face: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def band(face: Image, top: float, bottom: float) -> Image:
    """With a dark band from side to side, between two shares of the height."""
    covered, height = face.copy(), face.shape[0]
    covered[round(top * height) : round(bottom * height), face.shape[1] // 8 : -face.shape[1] // 8] = 30
    return covered


def half(face: Image) -> Image:
    covered = face.copy()
    covered[:, : face.shape[1] // 2] = 90
    return covered


def table(model: Loaded, portraits: Sequence[Portrait], by_votes: bool) -> list[dict[str, Any]]:
    """The figures of each row."""
    skipped: list[str] = []
    pictures = list(readable(portraits, skipped))
    rows = []
    for row in bar(list(hindrances(model)), what="hindering"):
        rng = np.random.default_rng(0)
        named = [Named(p, answer(model, row.cut(image, face_in(p, image), rng))) for p, image in pictures]
        found = measure(judge(named, len(model.spec.answers), by_votes), model.spec)
        rows.append({"what": row.what, "strength": row.strength} | {key: found[key] for key in FIGURES})
    return rows


def answer(model: Loaded, face: Image) -> Sentiment:
    """What the board would say of a crop."""
    return name(probabilities(model.model(face), model.spec.temperature), model.spec)


def show(rows: list[dict[str, Any]]) -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table("hindrance", *(key.replace("_", " ") for key in FIGURES))
    for row in rows:
        cells = ("" if row[key] is None else f"{row[key]:.1%}" for key in FIGURES)
        drawn.add_row(f"{row['what']} {row['strength']}", *cells)
    Console(width=120).print(drawn)


@click.command()
@click.argument("model", type=PATH)
@click.option("--data", type=PATH, multiple=True, required=True, help="As for pocketsight score.")
@click.option("--votes", type=PATH, multiple=True, help="As for pocketsight score.")
@click.option("--json", "as_json", is_flag=True)
def main(model: Path, data: tuple[Path, ...], votes: tuple[Path, ...], as_json: bool) -> None:
    """Score a model on the same faces under each hindrance."""
    loaded = open_model(model)
    parts = read_expressions(list(data), list(votes), loaded.spec.answers, part="test").parts
    portraits = as_trained(parts.get("test") or next(iter(parts.values())), loaded.spec)
    rows = table(loaded, portraits, bool(votes))
    click.echo(json.dumps(rows, indent=2)) if as_json else show(rows)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except PocketsightError as error:
        raise SystemExit(f"Error: {error}") from None
