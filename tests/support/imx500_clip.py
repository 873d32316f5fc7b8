"""What the network for the AI Camera, as Sony's tools quantized it, gives for the frames of a clip.

`python -m tests.support.imx500_clip DATA` writes imx500_clip.npz again, from the shipped detector "tiny"; DATA are the
images that set the ranges. It runs Sony's tools.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.inference.shipped import MODEL_NAMES
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from tests.support.ai_camera import moving_scenes

FILE = Path(__file__).with_suffix(".npz")
DETECTOR = MODEL_NAMES["tiny"]
INPUT_SIZE = 192, 256
FRAME_SIZE = 480, 640


def network_input(frame: Image) -> Image:
    """A frame in the input size, scaled as the CPU's network gets it."""
    return letterbox(frame, INPUT_SIZE)[0]


def clip_frames() -> list[Image]:
    """The frames of the clip: the middle of each scene, as the image processor of a Pi camera scales it."""
    height, width = FRAME_SIZE
    return [
        np.asarray(
            cv2.resize(scene[:, : scene.shape[0] * width // height], (width, height), interpolation=cv2.INTER_AREA)
        )
        for scene in moving_scenes()
    ]


def read_clip() -> tuple[Callable[[Image], list[Any]], dict[str, Any]]:
    """The outputs for an input that is one of the clip, sorted by name, and the facts of the network."""
    with np.load(FILE) as file:
        arrays = dict(file)
    facts = json.loads(str(arrays.pop("facts")))
    inputs = np.stack([network_input(frame) for frame in clip_frames()]).astype(np.int16)

    def run(image: Image) -> list[Any]:
        frame = int(np.abs(inputs - image).mean((1, 2, 3)).argmin())
        return [
            arrays[name][frame].astype(np.float32) * np.float32(facts["outputs"][name]["scale"])
            for name in sorted(arrays)
        ]

    return run, facts


def main(data: Path) -> None:
    from pocketsight.export.calibration import read_calibration
    from pocketsight.export.imx500 import converter
    from pocketsight.export.imx500.command import load_detector
    from pocketsight.export.imx500.tools_environment import prepare_environment

    net, spec = load_detector(Path("tiny"))
    inputs = [network_input(frame) for frame in clip_frames()]
    calibration = read_calibration(spec, [data]).samples
    converted = converter.convert(net, "tiny", prepare_environment(), calibration, inputs, print)
    steps = {
        name: np.round(values / converted.facts["outputs"][name]["scale"]).astype(np.uint8)
        for name, values in converted.outputs.items()
    }
    np.savez_compressed(FILE, facts=np.array(json.dumps(converted.facts)), **steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
