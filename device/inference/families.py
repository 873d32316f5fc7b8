"""The families of detectors that other programs make: how their outputs are checked and decoded.

A family has a name in manifest.FAMILIES and a module of its own. `export adopt` recognizes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pocketsight.device.inference import blazeface, ssd, yolo
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.postprocess import Found
from pocketsight.device.inference.quantized import QuantizedTensor


class Family(NamedTuple):
    """The code of a family."""

    decode: Callable[[Mapping[str, QuantizedTensor], ModelSpec, Sequence[float]], Found]
    """Boxes in pixels of the input, scores and numbers of labels, of outputs and thresholds by label."""
    find_output_problem: Callable[[ModelSpec, Mapping[str, tuple[int, ...]]], str]
    """How the shapes of outputs differ from those of the family; "" where they do not."""


FAMILIES = {
    "ssd": Family(ssd.decode_ssd, ssd.find_output_problem),
    "yolo": Family(yolo.decode_yolo, yolo.find_output_problem),
    "blazeface": Family(blazeface.decode_blazeface, blazeface.find_output_problem),
}
