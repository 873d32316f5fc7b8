"""Which real numbers another program's model wants for the pixel values 0 to 255, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.model_input import QUANTIZED, quantized_range
from pocketsight.device.inference.tensor_check import RANGE_TOLERANCE
from pocketsight.export.graph import Graph
from pocketsight.export.recognize import find_rescaling

PixelRange = tuple[float, float]

PIXEL_RANGES: dict[str, PixelRange] = {"0..255": (0, 255), "0..1": (0, 1), "-1..1": (-1, 1)}
USUAL = {"yolo": "0..1", "blazeface": "-1..1", "ssd": "-1..1"}
"""By family, where nothing in a file shows it."""
MAX_NETWORK_WIDTH = 8.0  # of the numbers after a rescaling: networks want about -1..1, or up to -2.2..2.7


class PixelScale(NamedTuple):
    """The choice."""

    pixel_range: PixelRange
    reason: str
    is_proved: bool
    """Whether something in the file shows it."""


def choose_pixel_range(
    declared: str | None,
    family: str,
    detail: dict[str, Any],
    graph: Graph,
    metadata: PixelRange | None,
    facts: Mapping[str, Any],
) -> PixelScale:
    """The pixel range of an input tensor, of which `detail` is the interpreter's description.

    `declared` is a key of PIXEL_RANGES or None, `metadata` that of the flatbuffer, `facts` are Ultralytics'. Raises
    DataError when something in the file contradicts `declared`, or when nothing shows the range.
    """
    found = _find_evidence(detail, graph, metadata, facts)
    if found:
        actual, reason = found
        if declared and not _is_close(PIXEL_RANGES[declared], actual):
            raise DataError(f"--pixels {declared} is wrong: {reason} ({_text(actual)}); leave --pixels out")
        return PixelScale(actual, reason, True)
    usual = USUAL.get(family)
    if declared:
        note = f", which is not usual for {family}: {usual}" if usual and usual != declared else ""
        return PixelScale(PIXEL_RANGES[declared], f"as declared{note}", False)
    if not usual:
        raise DataError(
            "nothing in the file shows which numbers it wants for pixels: give --pixels 0..255, 0..1 or -1..1, as in "
            "its training (float files of Teachable Machine: -1..1)"
        )
    return PixelScale(PIXEL_RANGES[usual], f"usual for {family}", False)


def _find_evidence(
    detail: dict[str, Any], graph: Graph, metadata: PixelRange | None, facts: Mapping[str, Any]
) -> tuple[PixelRange, str] | None:
    if np.dtype(detail["dtype"]) in QUANTIZED:
        return quantized_range(detail), "its quantized input shows the range"
    if metadata:
        return metadata, "its metadata has the normalization"
    if facts:
        return (0, 1), "its metadata is that of Ultralytics, whose networks take 0..1"
    rescaled = find_rescaling(graph, str(detail["name"]))
    if rescaled and rescaled[1] - rescaled[0] <= MAX_NETWORK_WIDTH:
        return (0, 255), f"its first operators make {_text(rescaled)} of 0..255"
    return None


def _is_close(a: PixelRange, b: PixelRange) -> bool:
    limit = RANGE_TOLERANCE * (b[1] - b[0])
    return abs(a[0] - b[0]) <= limit and abs(a[1] - b[1]) <= limit


def _text(ends: PixelRange) -> str:
    return f"{ends[0]:.4g}..{ends[1]:.4g}"
