"""The clip for every emulated board: python make_clip.py FOLDER

FOLDER/video.mkv shows the shipped photograph, slowly enlarged. Its codec is lossless, because builds of lossy decoders
differ by one gray level. FOLDER/images holds some of the frames as PNG and JPEG, which all builds decode alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.vision.image import read_image, to_rgb

COUNT, FPS = 20, 10


def main(folder: Path) -> None:
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    bgr = to_rgb(read_image(EXAMPLE_IMAGE))
    height, width = bgr.shape[:2]
    video = cv2.VideoWriter(str(folder / "video.mkv"), cv2.VideoWriter.fourcc(*"FFV1"), FPS, (width, height))
    if not video.isOpened():
        sys.exit("this build of OpenCV cannot write FFV1")
    for number in range(COUNT):
        scale = 1 + 0.02 * number
        matrix = np.array([[scale, 0, -3 * number], [0, scale, -1.5 * number]], np.float32)
        frame = cv2.warpAffine(bgr, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        video.write(frame)
        if number % 5 == 0:
            for suffix in ("jpg", "png"):
                cv2.imwrite(str(images / f"{number:02}.{suffix}"), frame)
    video.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
