"""AP50 of a detector in float, as int8 TFLite and as the AI Camera's network, and how far their boxes are apart.

    python scripts/benchmarks/imx500_accuracy.py tiny --calibration-data faces/train.json faces/test.json

All three get the same inputs, so that only the quantization differs. The network is quantized as `pocketsight export
imx500` does it. The first use installs Sony's tools.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path

import numpy as np

from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.shipped import MODEL_NAMES
from pocketsight.device.vision.boxes import Boxes, iou_matrix
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.export.calibration import read_calibration
from pocketsight.export.imx500 import converter, recorded
from pocketsight.export.imx500.command import load_detector, read_samples
from pocketsight.export.imx500.tools_environment import prepare_environment
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import DETECTOR_FRAME_SIZE, evaluate_detector

SAME_BOX_IOU = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", choices=["detector", "tiny", "large"])
    parser.add_argument("data", type=Path, nargs="+", help="labeled images to score")
    parser.add_argument("--calibration-data", type=Path, required=True)
    parser.add_argument("--python", type=Path, help="of an environment that has Sony's tools")
    options = parser.parse_args()
    net, spec = load_detector(Path(options.detector))
    samples = {path.stem: read_samples(path, spec.labels) for path in options.data}
    inputs = [image for each in samples.values() for image in recorded.evaluation_inputs(spec, each)]
    calibration = read_calibration(spec, [options.calibration_data])
    python = options.python or prepare_environment()
    start = time.monotonic()
    outputs = converter.quantize(net, python, calibration.samples, inputs, print)
    seconds = time.monotonic() - start
    pixels = np.stack(inputs)
    batches = [
        net.predict_on_batch(pixels[first : first + 16].astype(np.float32)) for first in range(0, len(pixels), 16)
    ]
    floats = {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}
    models = {
        "float": Model(recorded.RecordedModel(inputs, floats), spec),
        "int8 TFLite": load_on_cpu(MODEL_NAMES[options.detector], threads=1),
        "IMX500": Model(recorded.RecordedModel(inputs, outputs), spec),
    }
    scores = {
        data: {name: round(float(evaluate_detector(model, each)["ap50"]), 4) for name, model in models.items()}
        for data, each in samples.items()
    }
    boxes = {data: compare_boxes(models, each) for data, each in samples.items()}
    print(json.dumps({"detector": options.detector, "ap50": scores, "boxes": boxes, "seconds": round(seconds)}))


def compare_boxes(models: dict[str, Model], samples: list[DetectionSample]) -> dict[str, dict[str, float]]:
    """For each pair of models: found by both and by one, and how far the sides of the same box are apart.

    Distances are in pixels of frames of 320x240: the median, the 95th percentile and the maximum of the farthest side.
    """
    found: dict[str, list[Boxes]] = {name: [] for name in models}
    for sample in samples:
        frame = letterbox(sample.read(), DETECTOR_FRAME_SIZE)[0]
        for name, model in models.items():
            boxes = [each.box for each in detect(frame, model)]
            found[name].append(np.array(boxes, np.float32).reshape(-1, 4))
    facts = {}
    for one, other in combinations(models, 2):
        distances = []
        for a, b in zip(found[one], found[other], strict=True):
            rows, columns = np.nonzero(iou_matrix(a, b) > SAME_BOX_IOU)
            distances += np.abs(a[rows] - b[columns]).max(1).tolist()
        alone = sum(map(len, found[one])) + sum(map(len, found[other])) - 2 * len(distances)
        low, high, most = np.quantile(distances, (0.5, 0.95, 1)).round(2).tolist()
        facts[f"{one} and {other}"] = {"both": len(distances), "one": alone, "median": low, "p95": high, "max": most}
    return facts


if __name__ == "__main__":
    main()
