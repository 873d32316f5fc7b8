"""What the data allow: how much a detector gains from more pictures, and what it loses where a source is new to it.

    python scripts/benchmarks/data_studies.py curve FACES.json TEST.json OUT         # AP50 against the number of pictures
    python scripts/benchmarks/data_studies.py leave-out FACES.json OUT --source NAME # trained without that source, scored on it
    python scripts/benchmarks/data_studies.py voters FOLDER VOTES.csv                # how often people agree with the labels

Every training has the same length, so that only the data differ. Killed, the same command goes on.
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
ARCH = click.option("--arch", default="grid133k-256", show_default=True)
SAMPLES = click.option("--samples", default=100_000, show_default=True, help="Seen in each training.")
PATH = click.Path(path_type=Path)

Coco = dict[str, Any]


def pocketsight(*words: object) -> str:
    """What a command writes to standard output."""
    program = "from pocketsight.device.cli import main; main(prog_name='pocketsight')"
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"pocketsight {words[0]} failed")
    return done.stdout


def select_images(coco: Coco, folder: Path, is_selected: Callable[[Any], bool]) -> Coco:
    """The pictures of a COCO file that are `kept`, with their annotations and whole paths."""
    images = [i | {"file_name": str(folder / i["file_name"])} for i in coco["images"] if is_selected(i)]
    numbers = {i["id"] for i in images}
    return coco | {"images": images, "annotations": [a for a in coco["annotations"] if a["image_id"] in numbers]}


def train_and_score(data: Coco, test: Path, folder: Path, arch: str, samples: int) -> dict[str, float]:
    """AP50 and its kin of a net trained on `data`, on `test`. What is in `folder` already is not done again."""
    result = folder / "score.json"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / "train.json", json.dumps(data).encode())
        run = folder / "run"
        resume = ["--resume"] if (run / "manifest.json").exists() else []
        pocketsight(
            "train",
            "detector",
            "--data",
            folder / "train.json",
            "--arch",
            arch,
            "--samples",
            samples,
            "--out",
            run,
            "--workers",
            2,
            *resume,
        )
        atomic_write(result, pocketsight("evaluate", run, "--data", test, "--json").encode())
    scores: dict[str, float] = json.loads(result.read_text())
    return scores


@click.group()
def main() -> None:
    """What data does to a detector."""


@main.command()
@click.argument("faces", type=PATH)
@click.argument("test", type=PATH)
@click.argument("out", type=PATH)
@ARCH
@SAMPLES
def curve(faces: Path, test: Path, out: Path, arch: str, samples: int) -> None:
    """AP50 against the number of training pictures; OUT/curve.png."""
    coco: Coco = json.loads(faces.read_text())
    order = np.random.default_rng(0).permutation(len(coco["images"]))
    rank = {coco["images"][place]["id"]: n for n, place in enumerate(order)}
    points = []
    for count in (*COUNTS, len(order)):
        data = select_images(coco, faces.parent.absolute(), lambda image, most=count: rank[image["id"]] < most)
        scores = train_and_score(data, test, out / str(count), arch, samples)
        people = sum(not a.get("iscrowd") for a in data["annotations"])
        points.append((count, people, scores["ap50"], scores["ap"]))
        click.echo(f"{count} pictures, {people} faces: AP50 {scores['ap50']:.3f}, AP 0.5:0.95 {scores['ap']:.3f}")
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
        xlabel="training pictures",
        ylabel="AP50 on pictures held out",
        ylim=(0, 1),
        title="more pictures, all trainings of the same length",
    )
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=110)


@main.command("leave-out")
@click.argument("faces", type=PATH)
@click.argument("out", type=PATH)
@click.option("--source", required=True, help="`source` of the pictures in the COCO file.")
@ARCH
@SAMPLES
def leave_out(faces: Path, out: Path, source: str, arch: str, samples: int) -> None:
    """Train without one source and score on it; then with a half of it, scored on the other half."""
    coco: Coco = json.loads(faces.read_text())
    folder, groups = faces.parent.absolute(), sorted({i["group"] for i in coco["images"] if i["source"] == source})
    held_out_groups = set(groups[::2])
    out.mkdir(parents=True, exist_ok=True)
    test = out / f"{source}-test.json"
    atomic_write(
        test,
        json.dumps(
            select_images(coco, folder, lambda i: i["group"] in held_out_groups and i["source"] == source)
        ).encode(),
    )
    for name, kept in (
        ("without", lambda i: i["source"] != source),
        ("with", lambda i: i["source"] != source or i["group"] not in held_out_groups),
    ):
        scores = train_and_score(select_images(coco, folder, kept), test, out / f"{source}-{name}", arch, samples)
        click.echo(f"{name} {source} in training: AP50 {scores['ap50']:.3f} on its held-out half")


@main.command()
@click.argument("folder", type=PATH)
@click.argument("votes", type=PATH)
@click.option("--classes", default="happy,sad", show_default=True, help="Folders of the classes to choose from.")
def voters(folder: Path, votes: Path, classes: str) -> None:
    """How often most of the people who voted chose the picture's folder, of these classes: the net's own question."""
    labels = tuple(classes.split(","))
    ballots = read_votes(votes, labels)
    right = split = count = 0
    for number, label in enumerate(labels):
        for path in list_images(folder / label):
            if (ballot := ballots.get(path.resolve())) is not None:
                mine, best = ballot[number], np.delete(ballot[: len(labels)], number).max()
                right, split, count = right + (mine > best), split + (mine == best), count + 1
    if not count:
        sys.exit(f"Error: {votes} votes on none of the pictures of {folder}")
    click.echo(f"{count} pictures: {right / count:.1%} agree with the folder, {split / count:.1%} are split")


if __name__ == "__main__":
    main()
