"""Does an adopted YOLO of Ultralytics find what the plain interpreter finds, decoded and suppressed by hand?

python scripts/benchmarks/yolo_parity.py last_int8.tflite yolo.tflite IMAGES

`yolo.tflite` was made by `export adopt` from `last_int8.tflite`. IMAGES is a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.device.vision.resize import resize

CONFIDENCE, MAX_IOU, GRAY = 0.05, 0.7, 114
Row = tuple[float, int, NDArray[np.float64]]  # score, number of the label, box


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    shared = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def find_by_hand(plain: Interpreter, image: Image) -> list[Row]:
    """What the network finds. Its input is float, 0..1, with the channels first or last; its boxes are fractions."""
    (given,), (output,) = plain.get_input_details(), plain.get_output_details()
    channels_first = given["shape"][1] == 3
    side = int(given["shape"][2])
    height, width = image.shape[:2]
    scale = side / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (side - rows) // 2, (side - columns) // 2
    canvas = np.full((side, side, 3), GRAY, np.uint8)
    canvas[top : top + rows, left : left + columns] = resize(image, (rows, columns))
    values = canvas.astype(np.float32) / 255
    plain.set_tensor(given["index"], (values.transpose(2, 0, 1) if channels_first else values)[None])
    plain.invoke()
    kept: list[Row] = []
    cells = plain.get_tensor(output["index"])[0].T.astype(float)  # (cells, 4 + labels)
    for cell in sorted((cell for cell in cells if max(cell[4:]) >= CONFIDENCE), key=lambda cell: -max(cell[4:])):
        (x, y, w, h), label = cell[:4] * side, int(cell[4:].argmax())
        box = (np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) - [left, top, left, top]) / scale
        if all(label != other or iou(box, seen) <= MAX_IOU for _, other, seen in kept):
            kept.append((float(max(cell[4:])), label, box))
    found = [(score, label, box.clip(0, [width, height, width, height])) for score, label, box in kept]
    return [each for each in found if each[2][2] > each[2][0] and each[2][3] > each[2][1]]


def main() -> None:
    plain = Interpreter(sys.argv[1])
    plain.allocate_tensors()
    model = load_model(Path(sys.argv[2]), threads=1, verify=True)
    count = differing = 0
    largest = 0.0
    for path in list_images(Path(sys.argv[3])):
        image = read_image(path)
        expected, found = find_by_hand(plain, image), detect(image, model, score_threshold=CONFIDENCE)
        labels = [model.spec.labels[label] for _, label, _ in expected]
        if sorted(labels) != sorted(each.label for each in found):
            differing += 1
            continue
        for each in found:  # equal scores may come in another order
            alike = [row for row, label in zip(expected, labels, strict=True) if label == each.label]
            difference = min(
                max(float(np.abs(np.array(each.box) - box).max()), abs(each.score - score)) for score, _, box in alike
            )
            largest, count = max(largest, difference), count + 1
    print(f"{count} detections; {differing} images differ; largest difference {largest:.2g} (px, or of the score)")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
