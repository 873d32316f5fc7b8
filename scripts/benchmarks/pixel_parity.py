"""Do frames that are decoded at a fraction of their size give the same boxes and labels as whole ones?

python scripts/benchmarks/pixel_parity.py ../shared/data/faces
python scripts/benchmarks/pixel_parity.py ../shared/data/faces --kind yuyv --width 1280

Each test image is scaled to the size of a frame and encoded as by a camera: as JPEG of quality 85, as YUYV, or as
H.264. AP50 is measured with whole and with reduced decoding; the labels of all faces found are compared. Exit status 1
outside the limits.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from pixel_path import to_yuyv

from pocketsight.device.camera.av_stream import AvStream
from pocketsight.device.inference.classifier import classify, crop_reduction
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR
from pocketsight.device.vision.image import Image, encode_jpeg
from pocketsight.device.vision.letterbox import letterbox_scale
from pocketsight.device.vision.pixels import Pixels, choose_reduction, jpeg_pixels, raw_pixels
from pocketsight.device.vision.resize import resize
from pocketsight.device.vision.yuv import decode_yuyv
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.evaluation.matching import ImageResult
from pocketsight.train.evaluation.metrics import coco_precision

JPEG_QUALITY, MIN_SCORE = 85, 0.02
BLOCK = 16  # px: sides of frames are multiples, so that raw images can be reduced
MAX_AP50_DIFFERENCE, MIN_AGREEMENT = 0.003, 0.995


def as_jpeg(frame: Image) -> Pixels:
    """A frame (H, W, 3) of an MJPEG camera."""
    return jpeg_pixels(encode_jpeg(frame, JPEG_QUALITY))


def as_yuyv(frame: Image) -> Pixels:
    """A frame (H, W, 3) of a raw camera."""
    return raw_pixels(to_yuyv(frame[..., ::-1]), (frame.shape[0], frame.shape[1]), decode_yuyv)


def as_h264(frame: Image) -> Pixels:
    """The frame (H, W, 3) of a video of one frame."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(file.getvalue())) as container:
        return next(iter(AvStream(container, container.streams.video[0], live=False).frames()))[0]


KINDS: dict[str, Callable[[Image], Pixels]] = {"jpeg": as_jpeg, "yuyv": as_yuyv, "h264": as_h264}


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--width", "widths", multiple=True, type=int, default=(640, 1280, 1920), help="Width of the frames.")
@click.option("--kind", default="jpeg", show_default=True, type=click.Choice([*KINDS]), help="How they are encoded.")
def main(data: Path, widths: tuple[int, ...], kind: str) -> None:
    """Compare whole and reduced decoding on the test images of DATA."""
    detector, classifier = load_on_cpu(DETECTOR, "detector", 1), load_on_cpu(CLASSIFIER, "classifier", 1)
    samples = read_detection_dataset(data).splits["test"]
    failed = False
    for width in widths:
        results: dict[str, list[ImageResult]] = {"whole": [], "reduced": []}
        labels: list[bool] = []
        for sample in samples:
            image = sample.read()
            height = max(1, round(image.shape[0] * width / image.shape[1] / BLOCK)) * BLOCK
            whole = KINDS[kind](resize(image, (height, width)))
            reduced = Pixels(whole.size, whole.decode)
            scale = np.tile(np.divide(whole.size[::-1], image.shape[1::-1]), 2).astype(np.float32)
            reduction = choose_reduction(letterbox_scale(whole.size, detector.spec.input_size))
            for name, pixels, factor in (("whole", whole, 1), ("reduced", reduced, reduction)):
                found = detect(pixels.reduced(factor), detector, score_threshold=MIN_SCORE, frame_size=pixels.size)
                truth, ignored = sample.boxes * scale, sample.ignored_boxes * scale
                results[name].append(ImageResult(sample.path, truth, ignored, found))
            for face in results["whole"][-1].detections:
                if face.score >= detector.spec.score_threshold:
                    small = Pixels(whole.size, whole.decode).reduced(crop_reduction(face.box, classifier.spec))
                    factor = round(whole.size[1] / small.shape[1])
                    one = classify(whole.reduced(1), face.box, classifier)
                    other = classify(small, face.box.scale(1 / factor), classifier)
                    labels.append(one.label == other.label)
        before, after = (100 * float(coco_precision(each)[0][0].mean()) for each in results.values())
        agreement = sum(labels) / max(1, len(labels))
        print(f"{kind}, {width} wide: AP50 {before:.2f} whole, {after:.2f} reduced", end="; ")
        print(f"labels agree {agreement:.2%} of {len(labels)}", flush=True)
        failed |= abs(after - before) > 100 * MAX_AP50_DIFFERENCE or agreement < MIN_AGREEMENT
    sys.exit(failed)


if __name__ == "__main__":
    main()
