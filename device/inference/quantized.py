"""Tensor: a model's output as the model wrote it, quantized or not."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class QuantizedTensor(NamedTuple):
    """Values without the batch axis; real = (values - zero) * scale. A float tensor has scale 1 and zero 0."""

    values: NDArray[Any]  # int8, uint8 or float32
    scale: float = 1.0
    zero_point: int = 0

    def dequantize(self, index: Any = ...) -> NDArray[np.float32]:
        """The numbers that the values at `index` stand for."""
        wide = self.values[index].astype(np.float32)  # before subtracting, or int8 would overflow
        return np.asarray((wide - np.float32(self.zero_point)) * np.float32(self.scale), dtype=np.float32)

    def dequantize_at(self, indices: NDArray[np.intp]) -> NDArray[np.float32]:
        """As `real`, of the cells with these numbers, counted row by row."""
        wide = self.values.ravel()[indices].astype(np.float32)
        wide -= self.zero_point
        wide *= self.scale
        return wide

    def quantize_threshold(self, threshold: float) -> float:
        """The smallest value whose real number is at least `real`, so that thresholds are compared unconverted."""
        if self.values.dtype.kind == "f":
            return threshold
        return ceil(threshold / self.scale + self.zero_point - 1e-6)
