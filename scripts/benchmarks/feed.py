"""How fast one core prepares training images: by stage, or against another checkout in turns.

    feed.py detector FACES.json [--against CHECKOUT]
    feed.py classifier FOLDER [--against CHECKOUT]

Times are CPU times of one process, so that other programs matter less. The cache of decoded images is full, as after
the first passes over the data; `decode` is what an image costs before.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TURNS, BATCHES = 6, 8  # of each size and checkout


def build_batches(task: str, data: Path) -> dict[str, Any]:
    """The BatchFn of the default recipe by its name: "small" and "full" windows, or "crops". Their cache is full."""
    import cv2

    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.train.datasets import classification, detection, holdout
    from pocketsight.train.recipe import RECIPES

    cv2.setNumThreads(1)
    name, recipe = next(iter(RECIPES[task].items()))
    if task == "classifier":
        faces = classification.read_classification_dataset([data], [])
        train = holdout.hold_out_classification(faces, recipe.val_fraction)[0]
        spec = ModelSpec(task, name, recipe.input_size, faces.classes, 0.5, crop_margin=recipe.crop_margin)
        crops = classification.ClassificationBatches(train, spec, recipe)
        return {"crops": fill_cache(crops, len(train))}
    train = holdout.hold_out_detection(detection.read_detection_dataset(data), recipe.val_fraction)[0]
    spec = ModelSpec(task, name, recipe.input_size, ("face",), 0.5, (8, 16, 32), 0.45)
    make = getattr(detection, "DetectionBatches", None)  # where a checkout of before has it
    if make is None:
        from pocketsight.train.datasets.detection_batches import DetectionBatches as make
    full = fill_cache(make(train, spec, recipe), len(train))
    small = dataclasses.replace(full, low_res=True)
    if hasattr(full, "image_cache"):  # a checkout of before the shared cache
        small.__dict__["image_cache"] = full.image_cache
    return {"small": small, "full": full}


def fill_cache(batches: Any, count: int) -> Any:
    """`batches` with all their images in their cache, as far as they fit."""
    if any(field.name == "cache" for field in dataclasses.fields(batches)):
        from pocketsight.train.datasets.image_cache import make_image_cache

        keys: Any = range(count)
        if hasattr(batches, "positives_and_negatives"):  # the samples of a detector know their place in the cache
            tables = batches.positives_and_negatives
            keys, count = [sample for table in tables for sample in table], tables[0].number_count
        batches = dataclasses.replace(batches, cache=make_image_cache(count))
        for key in keys:
            batches.read(key)
    elif hasattr(batches, "read_cached"):  # a checkout of before the shared cache
        for index in np.random.default_rng(0).permutation(count):
            batches.read_cached(batches.samples[index])
    return batches


def serve(task: str, data: Path) -> None:
    """Answer each line `NAME STEP` on standard input with the CPU seconds and pictures of BATCHES batches."""
    batches = build_batches(task, data)
    print(json.dumps(list(batches)), flush=True)
    for line in sys.stdin:
        name, step = line.split()
        start = time.process_time()
        count = sum(len(batches[name](int(step) + n).images) for n in range(BATCHES))
        print(json.dumps([time.process_time() - start, count]), flush=True)


def start_server(task: str, data: Path, checkout: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that runs `serve` with the code of a checkout, and the names of its batches."""
    environment = os.environ | {"PYTHONPATH": f"{checkout / 'scripts/package'}:{checkout}"}
    command = [sys.executable, __file__, task, str(data), "--serve"]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=checkout
    )
    assert server.stdout
    return server, json.loads(server.stdout.readline())


def compare(task: str, data: Path, checkouts: list[Path]) -> None:
    """Print pictures per second and core of each checkout, and their ratio: the median of turns."""
    servers = [start_server(task, data, checkout) for checkout in checkouts]
    for name in servers[0][1]:
        rates = np.array([[ask(server, name, turn * BATCHES) for server, _ in servers] for turn in range(TURNS)])
        shown = " ".join(f"{rate:6.0f}" for rate in np.median(rates, axis=0))
        print(f"{name:6} {shown} pictures/s and core, ratio {np.median(rates[:, 0] / rates[:, 1]):.2f}")
    for server, _ in servers:
        assert server.stdin
        server.stdin.close()
        server.wait()


def ask(server: subprocess.Popen[str], name: str, step: int) -> float:
    """Pictures per second of BATCHES batches from `step`."""
    assert server.stdin and server.stdout
    print(name, step, file=server.stdin, flush=True)
    seconds, count = json.loads(server.stdout.readline())
    return float(count / seconds)


def measure_stages(task: str, data: Path) -> None:
    """Print the milliseconds of each stage of a picture, and the whole."""
    for name, batches in build_batches(task, data).items():
        stages = detector_stages(batches) if task == "detector" else classifier_stages(batches)
        batch = batches(0)
        count = len(batch.images)
        stages["all, images from the cache"] = lambda batches=batches: batches(0)
        stages["transport"] = transport(batch)
        print(name, batch.images.shape)
        for stage, function in stages.items():
            function()
            start = time.process_time()
            for _ in range(BATCHES):
                function()
            print(f"  {(time.process_time() - start) / BATCHES / count * 1e3:6.3f} ms  {stage}")


def detector_stages(batches: Any) -> dict[str, Callable[[], Any]]:
    """Functions that process as many images as a batch has."""
    rng = np.random.default_rng(0)
    samples = [batches.draw(rng) for _ in range(batches.recipe.batch_size)]
    uncached = dataclasses.replace(batches, cache=None)
    crops = [batches.crop(sample, batches.image_size, rng) for sample in samples]
    return {
        "draw a sample": lambda: [batches.draw(rng) for _ in samples],
        "decode": lambda: [uncached.read(sample) for sample in samples],
        "read from the cache": lambda: [batches.read(sample) for sample in samples],
        "crop, rotate, resize, flip": lambda: [batches.crop(sample, batches.image_size, rng) for sample in samples],
        "light, color, quality": lambda: [batches.augmentation(image, rng) for image, _ in crops],
        "targets": lambda: batches.encode_targets([[placement] for _, placement in crops]),
    }


def classifier_stages(batches: Any) -> dict[str, Callable[[], Any]]:
    """Functions that process as many images as a batch has."""
    rng = np.random.default_rng(0)
    indices = rng.integers(len(batches.samples), size=batches.recipe.batch_size)
    uncached = dataclasses.replace(batches, cache=None)
    crops = batches(0).images
    return {
        "decode": lambda: [uncached.read(index) for index in indices],
        "read from the cache": lambda: [batches.read(index) for index in indices],
        "light, color, quality": lambda: [batches.augmentation(image, rng) for image in crops],
    }


def transport(batch: Any) -> Callable[[], Any]:
    """A function that moves a batch through shared memory, as between a worker and the training."""
    from pocketsight.train.datasets.loader import BatchSlots

    slots = BatchSlots(4, batch)

    def move() -> None:
        slots.write(0, batch)
        slots.read(0)

    return move


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["detector", "classifier"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--against", type=Path, help="checkout of another version")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.task, options.data)
    elif options.against:
        compare(options.task, options.data.resolve(), [Path(__file__).resolve().parents[2], options.against.resolve()])
    else:
        measure_stages(options.task, options.data)


if __name__ == "__main__":
    main()
