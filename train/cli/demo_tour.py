"""The tour of `pocketsight demo`: shipped models on a photograph, then small models from training to benchmark.

Every step is a command that is shown before it runs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.synthetic.faces import (
    EXPRESSIONS,
    write_classification_dataset,
    write_detection_dataset,
    write_frame_folder,
)
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image, read_image, to_rgb
from pocketsight.device.vision.resize import resize

FRAME_SIZE = 240, 320
FPS = 15
# Photograph, and center x, center y and height of the view, in fractions of it, at the start and the end of 2 s.
PAN_ZOOM_STEPS = [
    ("astronaut", (0.5, 0.38, 0.75), (0.44, 0.25, 0.42)),
    ("astronaut", (0.44, 0.25, 0.42), (0.62, 0.5, 0.6)),
    ("coffee", (0.4, 0.5, 0.8), (0.6, 0.5, 0.6)),
    ("rocket", (0.4, 0.6, 0.7), (0.5, 0.4, 0.8)),
    ("astronaut", (0.35, 0.3, 0.5), (0.5, 0.4, 0.79)),
    ("chelsea", (0.4, 0.5, 0.7), (0.6, 0.5, 0.6)),
]


def run_demo(folder: Path, skip_training: bool) -> None:
    """Run both parts of the tour into `folder`, or only the first one. Raises PocketsightError when a step fails."""
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    done = [("the shipped models on a photograph", *run_shipped_models(folder))]
    if skip_training:
        pass
    elif all(find_spec(name) for name in ("tensorflow", "keras", "albumentations")):
        done += train_and_run(folder)
    else:
        click.echo(f"\nThe second part, training, needs: {install_command('demo')}")
    _print_heading(f"Done in {time.monotonic() - start:.0f} s")
    width = max(len(name) for name, *_ in done)
    for name, result, path in done:
        click.echo(f"{name:{width}}  {result:44} {path}")
    click.echo(
        "\nNext: pocketsight run --camera 0 --show      your own face"
        "\n      pocketsight train detector --help      your own images"
    )


def run_shipped_models(folder: Path) -> tuple[str, Path]:
    """Pan and zoom over a portrait and over photographs without a face; log and annotate the predictions."""
    _print_heading("1. The shipped models on a photograph (the astronaut Eileen Collins; NASA, public domain)")
    clip, log, video = (folder / name for name in ("photograph.mp4", "photograph.jsonl", "photograph-annotated.mp4"))
    _write_video(clip, _pan_zoom_frames())
    log.unlink(missing_ok=True)
    run_command("run", "--camera", clip, "--log", log, "--save-video", video)
    lines = _read_frame_entries(log)
    for line in lines[:: FPS * 2]:
        click.echo(f"  frame {line['frame']:3}: {_format_faces(line['faces'])}")
    with_face = sum(bool(line["faces"]) for line in lines)
    return f"a face in {with_face} of {len(lines)} frames", video


def _read_frame_entries(log: Path) -> list[dict[str, Any]]:
    """The frame entries of a log; it also has the events of tracks."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["kind"] == "frame"]


def _format_faces(faces: list[dict[str, object]]) -> str:
    return ", ".join(f"{f['label']} at {f['box']}, score {f['score']}" for f in faces) or "no face"


def _pan_zoom_frames() -> Iterator[Image]:
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"the photographs come with scikit-image; install it with: {install_command('demo')}")
    photos = Path(spec.submodule_search_locations[0]) / "data"
    for name, first, last in PAN_ZOOM_STEPS:
        (path,) = sorted(photos.glob(f"{name}.*"))
        image = read_image(path)
        for share in np.linspace(0, 1, 2 * FPS):
            x, y, height = (a + (b - a) * share for a, b in zip(first, last, strict=True))
            half_height = height * image.shape[0] / 2
            half_width = half_height * FRAME_SIZE[1] / FRAME_SIZE[0]
            cx, cy = x * image.shape[1], y * image.shape[0]
            window = cx - half_width, cy - half_height, cx + half_width, cy + half_height
            yield resize(crop_window(image, *map(round, window)), FRAME_SIZE)


def _write_video(path: Path, images: Iterator[Image]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, FRAME_SIZE[::-1])
    for image in images:
        writer.write(to_rgb(image))
    writer.release()


def train_and_run(folder: Path) -> list[tuple[str, str, Path]]:
    """Draw images, train both models, export, evaluate, run and benchmark them."""
    _print_heading("2. All steps on a small scale, with drawn happy and sad faces")
    faces, moods, clip = folder / "faces", folder / "moods", folder / "clip"
    for number, (split, count) in enumerate((("train", 400), ("val", 60), ("test", 60))):
        write_detection_dataset(faces / split, count, seed=number)
        write_classification_dataset(moods / split, 2 * count, seed=10 + number)
    scenes = write_frame_folder(clip, 60, seed=20)
    click.echo(f"  drew 520 images for the detector, 1040 crops for the classifier, a clip of {len(scenes)} frames")
    detector, classifier = _unused_run_folder(folder, "detector"), _unused_run_folder(folder, "classifier")
    log, video = folder / "drawn.jsonl", folder / "drawn-annotated.mp4"
    log.unlink(missing_ok=True)
    run_command("train", "detector", "--data", faces, "--out", detector, "--samples", 9600, "--batch-size", 16)
    run_command("train", "classifier", "--data", moods, "--out", classifier, "--samples", 24000, "--batch-size", 32)
    run_command("export", "tflite", detector, "--calibration-data", faces)
    run_command("export", "tflite", classifier, "--calibration-data", moods)
    run_command("evaluate", detector / "detector.tflite", "--data", faces)
    run_command("evaluate", classifier / "classifier.tflite", "--data", moods)
    models = "--detector", detector / "detector.tflite", "--classifier", classifier / "classifier.tflite"
    run_command("run", "--camera", clip, "--log", log, "--save-video", video, *models)
    run_command("bench", "--camera", clip / "0000.png", *models)
    logged = [line["faces"] for line in _read_frame_entries(log)]
    drawn = sum(len(scene.boxes) for scene in scenes)
    labeled = sum(face["label"] in EXPRESSIONS for faces_of_frame in logged for face in faces_of_frame)
    detected = f"detected {sum(map(len, logged))} of {drawn} drawn faces"
    return [
        ("a detector of drawn faces", detected, detector / "detector.tflite"),
        ("a classifier of drawn faces", f"labeled {labeled} of them", classifier / "classifier.tflite"),
        ("both on a clip", f"{len(logged)} frames logged", video),
        ("plots and images of the training runs", "curves.png, samples.png, errors.html", detector.parent),
    ]


def _unused_run_folder(folder: Path, task: str) -> Path:
    """The first free run folder: runs/TASK, runs/TASK-2, ..."""
    names = (folder / "runs" / (task if n == 1 else f"{task}-{n}") for n in range(1, 10_000))
    return next(path for path in names if not path.exists())


def run_command(*words: object) -> None:
    """Show a command and run it. Raises PocketsightError when it fails."""
    line = [str(word) for word in words]
    click.echo(f"\n$ pocketsight {shlex.join(line)}")
    sys.stdout.flush()
    program = "import sys; from pocketsight.device.cli.main import main; sys.exit(main(prog_name='pocketsight'))"
    if subprocess.run([sys.executable, "-c", program, *line], check=False).returncode:
        raise PocketsightError(f"pocketsight {words[0]} failed; see its message above")


def _print_heading(text: str) -> None:
    click.echo(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")
