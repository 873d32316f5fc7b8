"""The table of train/README.md: a tutorial's net on whole photographs against ours on faces, over several splits.

    python scripts/training/tutorial.py PHOTOS OUT          # PHOTOS/happy, PHOTOS/sad; about three minutes a split on two cores

Every step is a command that a user would type; only the counting at the end is done here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pocketsight.device.inference.interpreter import Model
from pocketsight.train.datasets.classification import ClassificationSample, read_classification_dataset
from pocketsight.train.evaluation.classifier import iter_predictions
from pocketsight.train.evaluation.evaluate import open_model

SHIPPED = Path(__file__).parents[2] / "models" / "sentiment.tflite"
Count = tuple[int, int]  # right, of so many


def pocketsight(*words: object, status: Sequence[int] = (0,)) -> None:
    program = "from pocketsight.device.cli import main; main(prog_name='pocketsight')"
    if subprocess.run([sys.executable, "-c", program, *map(str, words)]).returncode not in status:
        sys.exit(f"pocketsight {words[0]} failed")


def prepare(photos: Path, folder: Path, seed: int) -> None:
    """One split, its faces, and three nets, trained and exported."""
    shutil.copytree(photos, folder / "photos")
    whole, faces = folder / "photos", folder / "faces"
    pocketsight("data", "check", whole, "--min-bytes", 3000, "--fix", "--html", folder / "photos.html", status=(0, 3))
    pocketsight("data", "split", whole, "--seed", seed)
    pocketsight("data", "crops", whole, "-o", faces)
    pocketsight("data", "check", faces, "--min-bytes", 0, "--fix", "--html", folder / "faces.html", status=(0, 3))
    train = "train", "classifier", "--seed", seed
    pocketsight(*train, "--arch", "cnn256", "--data", whole, "--out", folder / "cnn256")
    pocketsight(*train, "--data", faces, "--samples", 40_000, "--out", folder / "anew")
    pocketsight(*train, "--data", faces, "--samples", 4_000, "--weights", "shipped", "--out", folder / "begun")
    for run, data in (("cnn256", whole), ("anew", faces), ("begun", faces)):
        pocketsight("export", "tflite", folder / run, "--calibration-data", data)


def count_correct(folder: Path) -> dict[str, Count]:
    """Right answers on the test part, by net and by what it is shown."""
    whole, faces = (
        read_classification_dataset([folder / kind], [], default_split="test").splits["test"]
        for kind in ("photos", "faces")
    )
    seen = {(p.path.parent.name, p.path.stem) for p in faces}
    with_face = [p for p in whole if (p.path.parent.name, p.path.stem) in seen]
    cnn, anew, begun = (open_model(folder / run / "sentiment.tflite") for run in ("cnn256", "anew", "begun"))
    return {
        "cnn256, whole photographs": score_model(cnn, whole),
        "cnn256, the photographs with a face": score_model(cnn, with_face),
        "cnn256, the faces": score_model(cnn, faces),
        "ours, the faces, from random weights": score_model(anew, faces),
        "ours, the faces, from shipped weights": score_model(begun, faces),
        "the shipped model, the faces": score_model(open_model(SHIPPED), faces),
    }


def score_model(model: Model, portraits: Sequence[ClassificationSample]) -> Count:
    named = list(iter_predictions(model, portraits, []))
    return sum(n.classification.best_index == n.sample.label for n in named), len(named)


def wilson_interval(good: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle, spread = good + z * z / 2, z * (good * (total - good) / total + z * z / 4) ** 0.5
    return (middle - spread) / (total + z * z), (middle + spread) / (total + z * z)


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--splits", default=5, show_default=True)
def main(photos: Path, out: Path, splits: int) -> None:
    counts = []
    for seed in range(splits):
        if not (folder := out / str(seed)).exists():
            prepare(photos, folder, seed)
        counts.append(count_correct(folder))
    for kind in counts[0]:
        each = [found[kind] for found in counts]
        good, total = (sum(column) for column in zip(*each, strict=True))
        low, high = wilson_interval(good, total)
        splits_text = ", ".join(f"{a}/{b}" for a, b in each)
        print(f"{kind:38} {good:4} of {total:4}  {good / total:.1%}  ({low:.1%} to {high:.1%})   {splits_text}")


if __name__ == "__main__":
    main()
