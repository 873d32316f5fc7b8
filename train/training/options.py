"""Options of a training that change its speed or its output, not what is learned."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketsight.train.training.distribution import Cluster


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `pocketsight train` that no manifest stores and that may change when a training is resumed."""

    workers: int  # processes that prepare images
    cluster: Cluster = field(default_factory=Cluster)  # the processes that train together
