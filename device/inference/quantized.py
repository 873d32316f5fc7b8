"""The output of a model as it is, quantized or not."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class QuantizedTensor(NamedTuple):
    """Values without the batch axis (int8, uint8 or float32); real number = (value - zero_point) * scale.

    A float tensor has the scale 1 and the zero point 0.
    """

    values: NDArray[Any]
    scale: float = 1.0
    zero_point: int = 0

    def dequantize(self, index: Any = ...) -> NDArray[np.float32]:
        """The real numbers at `index`, float32."""
        floats = self.values[index].astype(np.float32)  # before the subtraction, in which int8 would overflow
        return np.asarray((floats - np.float32(self.zero_point)) * np.float32(self.scale), dtype=np.float32)

    def dequantize_at(self, indices: NDArray[np.intp]) -> NDArray[np.float32]:
        """The real numbers at indices (N,) of the flattened tensor, float32 (N,)."""
        floats = self.values.ravel()[indices].astype(np.float32)
        floats -= self.zero_point
        floats *= self.scale
        return floats

    def quantize_threshold(self, threshold: float) -> float:
        """The smallest quantized value whose real number is at least `threshold`: values are compared unconverted."""
        if self.values.dtype.kind == "f":
            return threshold
        return ceil(threshold / self.scale + self.zero_point - 1e-6)
