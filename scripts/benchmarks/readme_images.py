"""Draw the photograph of README.md: python scripts/benchmarks/readme_images.py"""

from pathlib import Path

import cv2

from pocketsight.device.annotators.labels import annotate
from pocketsight.device.camera import Frame
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, SHIPPED_MODELS
from pocketsight.device.runtime.pipeline import process_frames
from pocketsight.device.vision.image import read_image, to_rgb
from pocketsight.device.vision.resize import resize

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """Write the example photograph as `pocketsight run --save-video` draws it, at twice its size."""
    detector, classifier = (load_on_cpu(SHIPPED_MODELS[task], task) for task in ("detector", "classifier"))
    image = resize(read_image(EXAMPLE_IMAGE), (480, 640))
    ((frame, result),) = process_frames([Frame(image, 0, 0.0, EXAMPLE_IMAGE.name)], detector, classifier)
    drawn = annotate(frame.image, result, classifier.spec.reported_labels)
    cv2.imwrite(str(IMAGES / "astronaut.jpg"), to_rgb(drawn), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
