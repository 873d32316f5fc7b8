"""Golden inputs of a model file: inputs and exact outputs, for `pocketsight verify` on the board."""

from __future__ import annotations

import numpy as np

from pocketsight.device.inference.golden import Golden
from pocketsight.device.inference.interpreter import InferenceFn
from pocketsight.device.vision.image import Image


def make_golden_inputs(infer: InferenceFn, size: tuple[int, int]) -> list[Golden]:
    """The inputs of `draw_inputs`, and their outputs."""
    return [
        Golden(image.tobytes(), {name: out.values.tobytes() for name, out in infer(image).items()})
        for image in draw_inputs(size)
    ]


def draw_inputs(size: tuple[int, int]) -> list[Image]:
    """Two synthetic inputs of `size` (height, width), RGB, uint8: color patches, and drawn faces.

    They compress well and show no real person.
    """
    from pocketsight.device.synthetic.faces import draw_scene

    rng = np.random.default_rng(0)
    height, width = size
    patches = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    scene = draw_scene(rng, (-(-height // 2), -(-width // 2)), 4).image // 32 * 32  # without noise
    images = [np.kron(small, np.ones((side, side, 1), np.uint8)) for small, side in ((patches, 8), (scene, 2))]
    return [np.ascontiguousarray(image[:height, :width]) for image in images]
