"""The table of train/TUTORIALS.md: a tutorial's network on whole photographs, and ours on faces, over several splits.

    python scripts/training/tutorial.py PHOTOS OUT      # PHOTOS/happy, PHOTOS/sad; about three minutes per split

Every step is a command that a user can type; this script only counts at the end.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from scipy.stats import binomtest

from pocketsight.device.inference.interpreter import Model
from pocketsight.train.datasets.classification import ClassificationSample, read_classification_dataset
from pocketsight.train.evaluation.classifier import iter_predictions
from pocketsight.train.evaluation.evaluate import open_model

SHIPPED = Path(__file__).parents[2] / "models" / "sentiment.tflite"
Count = tuple[int, int]  # correct, total


def pocketsight(*words: object, status: Sequence[int] = (0,)) -> None:
    program = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
    if subprocess.run([sys.executable, "-c", program, *map(str, words)]).returncode not in status:
        sys.exit(f"pocketsight {words[0]} failed")


def prepare(photos: Path, folder: Path, seed: int) -> None:
    """Make one split and its face crops; train and export three networks."""
    shutil.copytree(photos, folder / "photos")
    whole, faces = folder / "photos", folder / "faces"
    pocketsight("data", "check", whole, "--min-bytes", 3000, "--fix", "--html", folder / "photos.html", status=(0, 3))
    pocketsight("data", "split", whole, "--seed", seed)
    pocketsight("data", "crops", whole, "-o", faces)
    pocketsight("data", "check", faces, "--min-bytes", 0, "--fix", "--html", folder / "faces.html", status=(0, 3))
    train = "train", "classifier", "--seed", seed
    pocketsight(*train, "--arch", "cnn256", "--data", whole, "--out", folder / "cnn256")
    pocketsight(*train, "--data", faces, "--samples", 40_000, "--out", folder / "scratch")
    pocketsight(*train, "--data", faces, "--samples", 4_000, "--weights", "shipped", "--out", folder / "finetuned")
    for run, data in (("cnn256", whole), ("scratch", faces), ("finetuned", faces)):
        pocketsight("export", "tflite", folder / run, "--calibration-data", data)


def count_correct(folder: Path) -> dict[str, Count]:
    """Correct labels on the test split, by network and input."""
    whole, faces = (
        read_classification_dataset([folder / kind], [], default_split="test").splits["test"]
        for kind in ("photos", "faces")
    )
    with_crop = {(p.path.parent.name, p.path.stem) for p in faces}
    with_face = [p for p in whole if (p.path.parent.name, p.path.stem) in with_crop]
    cnn, scratch, finetuned = (
        open_model(folder / run / "classifier.tflite") for run in ("cnn256", "scratch", "finetuned")
    )
    return {
        "cnn256, whole photographs": score_model(cnn, whole),
        "cnn256, the photographs with a face": score_model(cnn, with_face),
        "cnn256, the faces": score_model(cnn, faces),
        "ours, the faces, from random weights": score_model(scratch, faces),
        "ours, the faces, from shipped weights": score_model(finetuned, faces),
        "the shipped model, the faces": score_model(open_model(SHIPPED), faces),
    }


def score_model(model: Model, samples: Sequence[ClassificationSample]) -> Count:
    predictions = list(iter_predictions(model, samples, []))
    return sum(p.classification.best_index == p.sample.label for p in predictions), len(predictions)


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--splits", default=5, show_default=True, help="Number of random splits.")
def main(photos: Path, out: Path, splits: int) -> None:
    """Compare the networks on random splits of a folder of photographs."""
    counts = []
    for seed in range(splits):
        if not (folder := out / str(seed)).exists():
            prepare(photos, folder, seed)
        counts.append(count_correct(folder))
    for kind in counts[0]:
        each = [count[kind] for count in counts]
        correct, total = (sum(column) for column in zip(*each, strict=True))
        low, high = binomtest(correct, total).proportion_ci(method="wilson")
        splits_text = ", ".join(f"{a}/{b}" for a, b in each)
        print(f"{kind:38} {correct:4} of {total:4}  {correct / total:.1%}  ({low:.1%} to {high:.1%})   {splits_text}")


if __name__ == "__main__":
    main()
