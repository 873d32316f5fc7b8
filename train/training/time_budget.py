"""`train --time`: how many samples fit into a time on this machine, by timing some steps of a network like it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.datasets.loader import BatchLoader
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.recipe import Recipe
from pocketsight.train.run_folder import build_network
from pocketsight.train.training.trainer import Trainer, compile_trainer

WARM_STEPS, TIMED_STEPS = 6, 24
RESERVE = 0.2  # share of the time for validation, checkpoints, scoring and plots
START_SECONDS = 20.0  # until the first step


def samples_within(
    seconds: float,
    spec: ModelSpec,
    recipe: Recipe,
    sources: tuple[Callable[[int], Any] | None, Callable[[int], Any]],
    workers: int,
    xla: bool | None = None,
) -> int:
    """The number of samples that train within a time. Raises DataError when it is too short.

    `sources` give the batches of the first share of the training, in low resolution (None: there is none), and those
    of the rest.
    """
    architecture = ARCHITECTURES[spec.task][spec.architecture]
    net = build_network(spec, any_size=True)
    start = perf_counter()
    per_step = 0.0
    for source, share in zip(sources, (recipe.low_res_share, 1 - recipe.low_res_share), strict=True):
        if source:
            trainer = Trainer(net, architecture.loss, recipe, None, architecture.loss_parts)
            compile_trainer(trainer, net, recipe, 1000, 100, xla)
            per_step += (share if sources[0] else 1.0) * _seconds_per_step(trainer, source, workers)
    left = (seconds - (perf_counter() - start) - START_SECONDS) * (1 - RESERVE)
    samples = int(left / per_step) * recipe.batch_size
    if samples < 20 * recipe.batch_size:
        raise DataError(f"--time {seconds:g}s is too short for this network here; give {2 * seconds:g}s or more")
    return samples


def _seconds_per_step(trainer: Trainer, source: Callable[[int], Any], workers: int) -> float:
    loader = BatchLoader(source, workers, 0, WARM_STEPS + TIMED_STEPS)
    start = perf_counter()
    for step, (images, targets) in enumerate(loader):
        if step == WARM_STEPS:
            start = perf_counter()
        trainer.train_on_batch(images, targets)
    return (perf_counter() - start) / TIMED_STEPS
