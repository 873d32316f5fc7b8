"""Training on several devices, of one machine or of several: data parallelism of Keras on JAX.

Every process runs the same commands and makes its own rows of each batch; JAX averages the gradients. Process 0 alone
reads and writes the run folder. README.md in this folder shows how the processes are started.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.console import log_message, logger
from pocketsight.train.datasets.loader import Batch
from pocketsight.train.gpu import list_gpus
from pocketsight.train.keras_backend import keras

ADDRESS, COUNT, RANK = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
HEARTBEAT_TIMEOUT_S = 60  # a process that is silent for longer counts as dead, and JAX ends the others
START_TIMEOUT_S = 300  # for all processes to appear
INTERRUPTED = 130  # exit status


@dataclass(frozen=True)
class Cluster:
    """The processes and devices of a training, seen from one process. The default is one device of one process."""

    rank: int = 0
    processes: int = 1
    devices: int = 1  # of all processes

    @property
    def is_writer(self) -> bool:
        """Whether this process reads and writes the run folder, and reports."""
        return self.rank == 0

    def rows(self, batch_size: int) -> range:
        """The rows of a batch that this process makes."""
        return range(self.rank * batch_size // self.processes, (self.rank + 1) * batch_size // self.processes)

    def shard(self, batch: Batch, batch_size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """This process's images and targets of the validation, which Keras cuts into parts of the size of its rows.

        The first images are repeated at the end until all devices have the same number.
        """
        order = np.resize(np.arange(len(batch.images)), -(-len(batch.images) // self.devices) * self.devices)
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        own = np.concatenate([part[self.rows(len(part)).start : self.rows(len(part)).stop] for part in parts])
        return batch.images[own], batch.targets[own]

    def broadcast(self, tree: Any) -> Any:
        """The arrays of process 0, in every process."""
        if self.processes == 1:
            return tree
        from jax.experimental import multihost_utils

        return multihost_utils.broadcast_one_to_all(tree)

    @contextmanager
    def shared_file(self, path: Path) -> Iterator[Path]:
        """A file of process 0; in the others a copy for the time of the block. Only in all together Keras reads it."""
        if self.processes == 1:
            yield path
            return
        size = int(self.broadcast(np.array(path.stat().st_size if self.is_writer else 0)))
        content = np.fromfile(path, np.uint8) if self.is_writer else np.zeros(size, np.uint8)
        content = self.broadcast(content)
        with TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            content.tofile(copy)
            yield copy


@contextmanager
def not_distributed() -> Iterator[None]:
    """Let Keras write a file of weights in one process alone; it would wait for the others."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


@contextmanager
def joined_cluster(spec: ModelSpec) -> Iterator[Cluster]:
    """Join the other processes of the training of `spec`, if the environment names any, and use all devices.

    Enter it before the first network is made. Raises DataError when the batch does not divide among the devices, or
    the processes do not train the same.
    """
    processes = _find_processes()
    if keras.backend.backend() != "jax":
        if processes:
            raise DataError("several processes train together only on JAX: set KERAS_BACKEND=jax, or start one process")
        if (count := len(list_gpus())) > 1:
            log_message(f"1 of {count} GPUs is used; KERAS_BACKEND=jax uses all")
        yield Cluster()
        return
    try:
        if processes:
            _connect(*processes)
        cluster = _distribute(spec.training["recipe"]["batch_size"])
        _compare_settings(cluster, spec)
        yield cluster
        if processes:
            _disconnect()
    except BaseException as error:
        if processes:
            _end_process(error)
        raise
    finally:
        keras.distribution.set_distribution(None)


def _find_processes() -> tuple[str | None, int | None, int | None] | None:
    """Address of process 0, number of processes and rank, all None if JAX reads them from SLURM; or None if alone.

    Raises DataError when a variable is missing or wrong.
    """
    address, count, rank = (os.environ.get(name, "") for name in (ADDRESS, COUNT, RANK))
    if not (address or count or rank):
        # srun sets both for each of its processes; a shell in an allocation has the first alone.
        under_srun = int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_NODELIST" in os.environ
        return (None, None, None) if under_srun else None
    if not address.rpartition(":")[2].isdigit() or not count.isdigit() or rank not in map(str, range(int(count))):
        raise DataError(f"several processes need {ADDRESS}=HOST:PORT of process 0, {COUNT}=N, and {RANK}=0 to N-1")
    return address, int(count), int(rank)


def _connect(address: str | None, count: int | None, rank: int | None) -> None:
    """Wait for the other processes."""
    import jax

    log_message(f"waits up to {START_TIMEOUT_S} s for the other processes")
    jax.config.update("jax_enable_preemption_service", False)  # or SIGTERM, as of scancel, would not end the process
    jax.distributed.initialize(
        address,
        count,
        rank,
        # Without an address JAX asks SLURM, and takes one GPU for each process of a machine.
        cluster_detection_method="deactivate" if address else None,
        initialization_timeout=START_TIMEOUT_S,
        heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_S,
    )


def _disconnect() -> None:
    """Leave the other processes, which do this after the same step. Process 0 then works on alone."""
    import jax

    jax.distributed.shutdown()


def _distribute(batch_size: int) -> Cluster:
    """Let Keras use all devices. Raises DataError when the batch does not divide among them."""
    import jax

    devices = keras.distribution.list_devices()
    cluster = Cluster(jax.process_index(), jax.process_count(), len(devices))
    if cluster.devices == 1:
        return cluster
    if batch_size % cluster.devices:
        raise DataError(
            f"a batch of {batch_size} images does not divide among {cluster.devices} devices; "
            f"give --batch-size {max(1, batch_size // cluster.devices) * cluster.devices}"
        )
    if not cluster.is_writer:
        logger.setLevel(logging.WARNING)
    processes = f"{cluster.processes} process{'es' * (cluster.processes > 1)}"
    log_message(
        f"{cluster.devices} devices in {processes}: each takes {batch_size // cluster.devices} images of a batch of "
        f"{batch_size}"
    )
    # The feed is split already: with `auto_shard_dataset` Keras refuses it.
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
    return cluster


def _compare_settings(cluster: Cluster, spec: ModelSpec) -> None:
    """Raises DataError when another process was started with other settings or data than process 0."""
    own = np.frombuffer(hashlib.sha256(spec.to_json().encode()).digest(), np.uint8)
    if (cluster.broadcast(own) != own).any():
        raise DataError(f"process {cluster.rank} has other options, data or versions than process 0; give all the same")


def _end_process(error: BaseException) -> None:
    """Print an error and end this process at once, so that the others see a broken connection.

    A regular end would wait for the others, and they for this process.
    """
    import jax

    chain = [error]  # with averaged weights, Keras on JAX hides a failed step in a TypeError
    while (earlier := chain[-1].__cause__ or chain[-1].__context__) and earlier not in chain:
        chain.append(earlier)
    failed_steps = [str(link).splitlines()[0] for link in chain if isinstance(link, jax.errors.JaxRuntimeError)]
    if isinstance(error, PocketsightError):
        print(f"Error: {error}", file=sys.stderr)
    elif failed_steps:
        print(f"Error: {failed_steps[0]}; if another process ended, start all with --resume", file=sys.stderr)
    elif not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    for worker in multiprocessing.active_children():
        worker.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)
