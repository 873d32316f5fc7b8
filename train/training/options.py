"""Options of a training that change its speed or its output, not what is learned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `pocketsight train` that no manifest stores and that may change when a training is resumed."""

    workers: int  # processes that prepare images
