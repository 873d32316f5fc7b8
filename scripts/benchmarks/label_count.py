"""What further labels cost a detector on the board: untrained int8 networks of 1, 3 and 10 labels, timed in turns.

python scripts/benchmarks/label_count.py --rounds 300
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model, TfliteModel
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.vision.image import read_image

COUNTS = 1, 3, 10


def make_detector(count: int) -> Model:
    """An int8 detector with random weights that finds nothing. Its speed is that of a trained one without an object."""
    from pocketsight.export.tflite import convert
    from pocketsight.train.networks.detector import grid_detector
    from pocketsight.train.recipe import DETECTOR_RECIPE, DETECTOR_STRIDES

    size = DETECTOR_RECIPE.input_size
    images = np.random.default_rng(0).integers(0, 256, (4, *size, 3)).astype(np.uint8)
    flatbuffer = convert(grid_detector(size, count, batch=1), "int8", list(images))
    labels = tuple(f"label{number}" for number in range(count))
    spec = ModelSpec("detector", "grid133k", size, labels, 0.5, strides=DETECTOR_STRIDES, nms_iou_threshold=0.45)
    return Model(TfliteModel(flatbuffer, 1, Path(f"{count} labels"), spec), spec)


def main() -> None:
    """Print the median milliseconds of each number of labels, and the median of the ratios to one label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    image, detectors = read_image(EXAMPLE_IMAGE), {count: make_detector(count) for count in COUNTS}
    times: dict[int, list[float]] = {count: [] for count in COUNTS}
    for number in range(rounds + 20):
        for count, detector in detectors.items():
            start = time.perf_counter()
            detect(image, detector)
            if number >= 20:
                times[count].append(1000 * (time.perf_counter() - start))
    for count in COUNTS:
        ratio = statistics.median(a / b for a, b in zip(times[count], times[1], strict=True))
        print(f"{count:3} labels  {statistics.median(times[count]):.3f} ms  {ratio:.3f} of one label")


if __name__ == "__main__":
    main()
