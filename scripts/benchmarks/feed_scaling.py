"""Whether one training can be fed by many cores, shown on few of them.

    python scripts/benchmarks/feed_scaling.py detector FACES.json [--workers 16] [--steps 300]

1. Worker processes alone: pictures a second, and the CPU time of a batch in a worker and in the training.
2. A training whose network costs nothing, fed by as many workers as asked for. Each sleeps for as long as a batch costs
   a core and hands over a ready batch, so that a few cores do for many. Prints the share of waiting, here and, from
   the training's own time for a step, where each worker has a core.
3. The same network fed by two real workers for all the steps: memory of the training and of its workers.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from data_scale import cpu_seconds, used_bytes
from feed import build_batches

from pocketsight.train.datasets.loader import Batch, BatchFn, BatchLoader

WARM_UP = 20  # batches


@dataclass(frozen=True)
class ReadyBatches:
    """One batch again and again, each as late as a core would have it."""

    batch: Batch
    seconds: float

    def __call__(self, step: int) -> Batch:
        time.sleep(self.seconds)
        return self.batch


def measure_workers(make: BatchFn, workers: int, steps: int) -> float:
    """Print the speed of real workers. Returns the CPU seconds of a batch in a worker."""
    loader = BatchLoader(make, workers, 0, WARM_UP + steps)
    for step, (images, _) in enumerate(loader):
        if step == WARM_UP:
            wall, own, fed = time.perf_counter(), time.process_time(), worker_seconds()
        if step == WARM_UP + steps - 1:
            wall, own = time.perf_counter() - wall, time.process_time() - own
            fed = (worker_seconds() - fed) / (steps - 1)
            rate, core = len(images) * (steps - 1) / wall, len(images) / fed
    own *= 1e3 / (steps - 1)
    print(
        f"  {workers} workers: {rate:6.0f} pictures/s, {core:6.0f} a second of a worker's CPU time; "
        f"of a batch {1e3 * fed:.1f} ms in the worker, {own:.2f} ms in the training",
        flush=True,
    )
    return fed


def worker_seconds() -> float:
    """CPU time of all workers until now."""
    return sum(cpu_seconds(child.pid) for child in active_children() if child.pid)


def train(make: BatchFn, workers: int, steps: int, like: Batch, report: Callable[[int], None]) -> float:
    """Train a network that costs nothing, and call `report` with each step. Returns its seconds a step, not waiting."""
    from pocketsight.train.keras_backend import keras

    image = keras.Input(like.images.shape[1:], dtype="uint8")
    corner = keras.layers.Lambda(lambda images: keras.ops.cast(images[:, 0, 0, :], "float32"))(image)
    net = keras.Model(image, keras.layers.Dense(1)(corner))
    net.compile(optimizer="sgd", loss=lambda targets, outputs: keras.ops.mean(outputs))
    loader = BatchLoader(make, workers, 0, steps)

    class Report(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == WARM_UP:
                self.start, self.waited = time.perf_counter(), loader.wait_seconds
            report(batch)

        def on_train_end(self, logs: Any = None) -> None:
            seconds = time.perf_counter() - self.start
            self.share = (loader.wait_seconds - self.waited) / seconds
            self.step_seconds = seconds / (steps - WARM_UP)

    hook = Report()
    net.fit(iter(loader), steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[hook])
    print(f"    {1e3 * hook.step_seconds:.2f} ms a step, {hook.share:.1%} of it waiting", flush=True)
    return hook.step_seconds * (1 - hook.share)


def report_memory(steps: int) -> Callable[[int], None]:
    """A function that prints the memory of this process and of its workers at six of its steps."""

    def report(step: int) -> None:
        if step % max(1, steps // 6) == WARM_UP:
            workers = [used_bytes(child.pid) for child in active_children() if child.pid]
            own = used_bytes(os.getpid())
            print(f"    step {step:6}: training {own / 1e6:.0f} MB, workers {[round(w / 1e6) for w in workers]} MB")

    return report


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["detector", "classifier"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    for name, make in build_batches(options.task, options.data).items():
        batch = make(0)
        print(name, batch.images.shape)
        seconds = min(measure_workers(make, workers, 100) for workers in (1, 2))
        own = {}
        for workers in (1, 2, options.workers):
            print(f"  a network that costs nothing, fed by {workers} cores:")
            own[workers] = train(ReadyBatches(batch, seconds), workers, options.steps, batch, lambda step: None)
        each = seconds / options.workers
        print(
            f"  with {options.workers} cores for the workers: a batch every {1e3 * each:.1f} ms; the training takes "
            f"{1e3 * own[1]:.1f} ms for one, so it waits {max(0.0, 1 - own[1] / each):.0%} of the time",
            flush=True,
        )
        print(f"  two real workers, {options.steps} steps:")
        train(make, 2, options.steps, batch, report_memory(options.steps))


if __name__ == "__main__":
    main()
