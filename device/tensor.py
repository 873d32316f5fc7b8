"""Tensor: a model's output as the model wrote it, quantized or not."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tensor(NamedTuple):
    """Values without the batch axis; real = (values - zero) * scale. A float tensor has scale 1 and zero 0."""

    values: NDArray[Any]  # int8, uint8 or float32
    scale: float = 1.0
    zero: int = 0

    def real(self, index: Any = ...) -> NDArray[np.float32]:
        """The numbers that the values at `index` stand for."""
        wide = self.values[index].astype(np.float32)  # before subtracting, or int8 would overflow
        return np.asarray((wide - np.float32(self.zero)) * np.float32(self.scale), dtype=np.float32)

    def real_at(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """As `real`, of the cells with these numbers, counted row by row."""
        wide = self.values.ravel()[cells].astype(np.float32)
        wide -= self.zero
        wide *= self.scale
        return wide

    def least(self, real: float) -> float:
        """The smallest value whose real number is at least `real`, so that thresholds are compared unconverted."""
        if self.values.dtype.kind == "f":
            return real
        return ceil(real / self.scale + self.zero - 1e-6)
