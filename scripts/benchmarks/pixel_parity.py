"""Do frames that are decoded at a fraction of their size give the same boxes and labels as whole ones?

python scripts/benchmarks/pixel_parity.py ../shared/data/faces

Each test image is scaled to the size of a frame and encoded as JPEG of quality 85, as by a camera. AP50 is measured
with whole and with reduced decoding; the labels of all faces found are compared. Exit status 1 outside the limits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pocketsight.device.inference.classifier import classify, crop_reduction
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR
from pocketsight.device.vision.image import encode_jpeg
from pocketsight.device.vision.letterbox import letterbox_scale
from pocketsight.device.vision.pixels import choose_reduction, jpeg_pixels
from pocketsight.device.vision.resize import resize
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.evaluation.matching import ImageResult
from pocketsight.train.evaluation.metrics import coco_precision

JPEG_QUALITY, MIN_SCORE = 85, 0.02
MAX_AP50_DIFFERENCE, MIN_AGREEMENT = 0.003, 0.995


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--width", "widths", multiple=True, type=int, default=(640, 1280, 1920), help="Width of the frames.")
def main(data: Path, widths: tuple[int, ...]) -> None:
    """Compare whole and reduced decoding on the test images of DATA."""
    detector, classifier = load_on_cpu(DETECTOR, "detector", 1), load_on_cpu(CLASSIFIER, "classifier", 1)
    samples = read_detection_dataset(data).splits["test"]
    failed = False
    for width in widths:
        results: dict[str, list[ImageResult]] = {"whole": [], "reduced": []}
        labels: list[bool] = []
        for sample in samples:
            image = sample.read()
            scale = width / image.shape[1]
            frame = resize(image, (round(image.shape[0] * scale), width))
            data_of_frame = encode_jpeg(frame, JPEG_QUALITY)
            whole, reduced = jpeg_pixels(data_of_frame), jpeg_pixels(data_of_frame)
            reduction = choose_reduction(letterbox_scale(whole.size, detector.spec.input_size))
            for name, pixels, factor in (("whole", whole, 1), ("reduced", reduced, reduction)):
                found = detect(pixels.reduced(factor), detector, score_threshold=MIN_SCORE, frame_size=pixels.size)
                truth, ignored = sample.boxes * scale, sample.ignored_boxes * scale
                results[name].append(ImageResult(sample.path, truth, ignored, found))
            for face in results["whole"][-1].detections:
                if face.score >= detector.spec.score_threshold:
                    small = jpeg_pixels(data_of_frame).reduced(crop_reduction(face.box, classifier.spec))
                    factor = round(whole.size[1] / small.shape[1])
                    one = classify(whole.reduced(1), face.box, classifier)
                    other = classify(small, face.box.scale(1 / factor), classifier)
                    labels.append(one.label == other.label)
        before, after = (100 * float(coco_precision(each)[0][0].mean()) for each in results.values())
        agreement = sum(labels) / max(1, len(labels))
        print(
            f"{width} wide: AP50 {before:.2f} whole, {after:.2f} reduced; labels agree {agreement:.2%} of {len(labels)}"
        )
        failed |= abs(after - before) > 100 * MAX_AP50_DIFFERENCE or agreement < MIN_AGREEMENT
    sys.exit(failed)


if __name__ == "__main__":
    main()
