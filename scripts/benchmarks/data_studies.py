"""The effect of the data: a learning curve, sources left out of training, and the agreement of voters with labels.

    python scripts/benchmarks/data_studies.py curve FACES.json TEST.json OUT      # AP50 against the number of images
    python scripts/benchmarks/data_studies.py leave-out FACES.json OUT --source NAME   # train without it, score on it
    python scripts/benchmarks/data_studies.py folds FACES.json OUT --fold A,B --fold C   # mean of left-out sources
    python scripts/benchmarks/data_studies.py label-agreement FOLDER VOTES.csv    # how often voters agree with labels

Every training has the same length, so that only the data differ. Run an interrupted command again to continue it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image import list_images
from pocketsight.train.datasets.soft_labels import read_votes
from pocketsight.train.evaluation.plots import pyplot

COUNTS = 100, 300, 1000, 3000
ARCH = click.option("--arch", default="grid141k-256", show_default=True)
SAMPLES = click.option("--samples", default=100_000, show_default=True, help="Images seen in each training.")
TRAIN_OPTIONS = click.argument("train_options", nargs=-1, type=click.UNPROCESSED)
PATH = click.Path(path_type=Path)

Coco = dict[str, Any]


def pocketsight(*words: object) -> str:
    """The standard output of a command. Ends this script if the command fails."""
    program = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"pocketsight {words[0]} failed")
    return done.stdout


def select_images(coco: Coco, folder: Path, is_selected: Callable[[Any], bool]) -> Coco:
    """The selected images of a COCO file, with their annotations and absolute paths."""
    images = [i | {"file_name": str(folder / i["file_name"])} for i in coco["images"] if is_selected(i)]
    numbers = {i["id"] for i in images}
    return coco | {"images": images, "annotations": [a for a in coco["annotations"] if a["image_id"] in numbers]}


def train_and_score(
    data: Coco, test: Path, folder: Path, arch: str, samples: int, train_options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The scores on `test` of a detector trained on `data`. Results that are in `folder` already are used again."""
    result = folder / "scores.json"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / "train.json", json.dumps(data).encode())
        run = folder / "run"
        resume = ["--resume"] if (run / "manifest.json").exists() else []
        options = "--data", folder / "train.json", "--arch", arch, "--samples", samples, *resume
        pocketsight("train", "detector", *options, *train_options, "--out", run)
        atomic_write(result, pocketsight("evaluate", run, "--data", test, "--json").encode())
    scores: dict[str, Any] = json.loads(result.read_text())
    return scores


@click.group()
def main() -> None:
    """Measure the effect of the data."""


@main.command()
@click.argument("faces", type=PATH)
@click.argument("test", type=PATH)
@click.argument("out", type=PATH)
@ARCH
@SAMPLES
def curve(faces: Path, test: Path, out: Path, arch: str, samples: int) -> None:
    """Plot AP50 against the number of training images, as OUT/curve.png."""
    coco: Coco = json.loads(faces.read_text())
    order = np.random.default_rng(0).permutation(len(coco["images"]))
    rank = {coco["images"][place]["id"]: n for n, place in enumerate(order)}
    points = []
    for count in (*COUNTS, len(order)):
        data = select_images(coco, faces.parent.absolute(), lambda image, limit=count: rank[image["id"]] < limit)
        scores = train_and_score(data, test, out / str(count), arch, samples)
        people = sum(not a.get("iscrowd") for a in data["annotations"])
        points.append((count, people, scores["ap50"], scores["ap"]))
        click.echo(f"{count} images, {people} faces: AP50 {scores['ap50']:.3f}, AP 0.5:0.95 {scores['ap']:.3f}")
    plot_curve(points, out / "curve.png")


def plot_curve(points: list[tuple[int, int, float, float]], target: Path) -> None:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    counts, values = [p[0] for p in points], [p[2] for p in points]
    axes.plot(counts, values, "o-")
    for count, value in zip(counts, values, strict=True):
        axes.annotate(f"{value:.2f}", (count, value), xytext=(0, 7), textcoords="offset points", ha="center")
    axes.set(
        xscale="log",
        xlabel="training images",
        ylabel="AP50 on held-out images",
        ylim=(0, 1),
        title="AP50 by number of images, equal training length",
    )
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)


@main.command("leave-out")
@click.argument("faces", type=PATH)
@click.argument("out", type=PATH)
@click.option("--source", required=True, help="Value of `source` of the images in the COCO file.")
@ARCH
@SAMPLES
def leave_out(faces: Path, out: Path, source: str, arch: str, samples: int) -> None:
    """Train without a source, then with half of it; score both on the other half."""
    coco: Coco = json.loads(faces.read_text())
    folder, groups = faces.parent.absolute(), sorted({i["group"] for i in coco["images"] if i["source"] == source})
    held_out_groups = set(groups[::2])
    out.mkdir(parents=True, exist_ok=True)
    test = out / f"{source}-test.json"
    held_out = select_images(coco, folder, lambda i: i["group"] in held_out_groups and i["source"] == source)
    atomic_write(test, json.dumps(held_out).encode())
    for name, is_selected in (
        ("without", lambda i: i["source"] != source),
        ("with", lambda i: i["source"] != source or i["group"] not in held_out_groups),
    ):
        scores = train_and_score(
            select_images(coco, folder, is_selected), test, out / f"{source}-{name}", arch, samples
        )
        click.echo(f"{name} {source} in training: AP50 {scores['ap50']:.3f} on its held-out half")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("faces", type=PATH)
@click.argument("out", type=PATH)
@click.option("--fold", "folds", multiple=True, required=True, help="Comma-separated sources to leave out together.")
@ARCH
@SAMPLES
@TRAIN_OPTIONS
def folds(
    faces: Path, out: Path, folds: tuple[str, ...], arch: str, samples: int, train_options: tuple[str, ...]
) -> None:
    """Train once for each --fold without its sources; print the AP50 on each of them, and their mean.

    The mean compares networks and recipes. Other options go to `pocketsight train detector`.
    """
    coco: Coco = json.loads(faces.read_text())
    folder, known = faces.parent.absolute(), {image["source"] for image in coco["images"]}
    if unknown := {source for fold in folds for source in fold.split(",")} - known:
        raise click.UsageError(f"--fold: no source {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    left_out: dict[str, float] = {}
    for fold in folds:
        sources = fold.split(",")
        test = out / f"{fold}-test.json"
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(test, json.dumps(select_images(coco, folder, lambda i, s=sources: i["source"] in s)).encode())
        rest = select_images(coco, folder, lambda i, s=sources: i["source"] not in s)
        scores = train_and_score(rest, test, out / fold, arch, samples, train_options)
        rows = scores["slices"].get("source", [{"slice": fold, "ap50": scores["ap50"]}])
        left_out |= {row["slice"]: row["ap50"] for row in rows if row["ap50"] is not None}
        click.echo(", ".join(f"{source} {left_out[source]:.3f}" for source in sources if source in left_out))
    click.echo(f"mean AP50 of {len(left_out)} left-out sources: {np.mean(list(left_out.values())):.4f}")


@main.command("label-agreement")
@click.argument("folder", type=PATH)
@click.argument("votes", type=PATH)
@click.option("--classes", default="happy,sad", show_default=True, help="Class folders that the voters choose from.")
def label_agreement(folder: Path, votes: Path, classes: str) -> None:
    """Print how often most voters chose the class folder of the image, among these classes."""
    labels = tuple(classes.split(","))
    ballots = read_votes(votes, labels)
    agreed = split = count = 0
    for number, label in enumerate(labels):
        for path in list_images(folder / label):
            if (ballot := ballots.get(path.resolve())) is not None:
                label_votes, best_other = ballot[number], np.delete(ballot[: len(labels)], number).max()
                agreed, split, count = (
                    agreed + (label_votes > best_other),
                    split + (label_votes == best_other),
                    count + 1,
                )
    if not count:
        sys.exit(f"Error: {votes} has no votes on the images of {folder}")
    click.echo(f"{count} images: {agreed / count:.1%} agree with the folder, {split / count:.1%} are split")


if __name__ == "__main__":
    main()
