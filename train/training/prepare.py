"""Before a training: its facts for the manifest, the run folder, the network and its initial weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.train.console import log_message
from pocketsight.train.datasets.loader import Batch
from pocketsight.train.gpu import describe_backend
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.recipe import Recipe
from pocketsight.train.run_folder import WEIGHTS_FILE, build_network
from pocketsight.train.training.validation_figures import FiguresFn

# Chosen at the end of a training, or free to change when it is resumed.
RESUMABLE_FACTS = (
    "score_threshold",
    "thresholds",
    "smoothing",
    "classifies",
    "training keras",
    "training backend",
    "training initial_weights",
)
MAX_VALIDATION_BYTES = 64_000_000  # the validation images stay in memory


class TaskSteps(NamedTuple):
    """What differs between the trainings of a detector and of a classifier."""

    draw_samples: Callable[[Any, Path], None]  # batches, target
    validation_batch: Callable[[list[Any], ModelSpec], Batch]
    figures: Callable[[Sequence[Any], ModelSpec], FiguresFn]  # of the validation split
    finish: Callable[[Path, Sequence[Any]], None]  # run folder, validation split


def training_provenance(
    data: Sequence[Path],
    recipe: Recipe,
    train: Sequence[Any],
    val: Sequence[Any],
    soft_labels: Sequence[Path] = (),
    teacher: Path | None = None,
) -> dict[str, Any]:
    """The entry `training` of the manifest. Warns when there are too few images to hold any out."""
    if train is val:
        log_message("too few images to hold any out: the validation scores are those of training images")
    facts: dict[str, Any] = {
        "data": [path.name for path in data],
        "train_images": len(train),
        "val_images": 0 if train is val else len(val),
        "recipe": asdict(recipe),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    facts |= {"soft_labels": [path.name for path in soft_labels]} if soft_labels else {}
    return facts | ({"teacher": teacher.name} if teacher else {})


def prepare_run_folder(out: Path | None, resume: bool, spec: ModelSpec) -> Path:
    """Make the run folder with its manifest, and log where and on which hardware the training runs.

    Without `out` it is the first free of runs/TASK, runs/TASK-2, ... Raises DataError when `out` has another training.
    """
    if resume and out is None:
        raise DataError("--resume needs --out FOLDER, the run folder to continue")
    folder = out or _next_run_path(spec.task)
    manifest = folder / MANIFEST_NAME
    if resume and not manifest.exists():
        raise DataError(f"no training to resume in {folder}")
    if not resume and manifest.exists():
        raise DataError(f"{folder} has a training; continue it with --resume, or choose another --out")
    before = None
    if resume:
        before = ModelSpec.from_json(manifest.read_text(), manifest)
        if changed := _changed_settings(before, spec):
            raise DataError(
                f"{folder} was trained with other settings: {', '.join(changed)}; resume with the same ones"
            )
        # The learning rate may have changed.
        spec = replace(before, training=before.training | {"recipe": spec.training["recipe"]})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if spec != before:
            manifest.write_text(spec.to_json())
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    log_message(f"{describe_backend()}; into {folder}")
    return folder


def _changed_settings(before: ModelSpec, now: ModelSpec) -> list[str]:
    """Names of the facts that differ and so prevent resuming."""
    old, new = (json.loads(spec.to_json()) for spec in (before, now))
    for facts in (old, new):
        facts |= {f"training {key}": value for key, value in facts.pop("training").items()}
        for name in RESUMABLE_FACTS:
            facts.pop(name, None)
        facts["training recipe"] = {k: v for k, v in facts["training recipe"].items() if k != "learning_rate"}
    return [key for key in new if old.get(key) != new[key]]


def _next_run_path(task: str) -> Path:
    names = (f"runs/{task}" if n == 1 else f"runs/{task}-{n}" for n in range(1, 10_000))
    return next(path for path in map(Path, names) if not path.exists())


def create_network(spec: ModelSpec, weights: str | None, resume: bool) -> tuple[keras.Model, ModelSpec]:
    """A network to train, and its spec with the origin of its initial weights.

    `weights` is a file, a run folder, or "shipped"; None: random. Layers of another shape, such as the last one for
    other classes, stay random. Raises DataError when hardly any layer matches.
    """
    keras.utils.set_random_seed(spec.training["recipe"]["seed"])
    net, architecture = build_network(spec, any_size=True), ARCHITECTURES[spec.task][spec.architecture]
    # A training that was killed before its first checkpoint needs its pretrained weights again.
    if not weights and (resume or not architecture.load_pretrained):
        return net, spec
    if weights == "shipped" and not architecture.shipped_model:
        raise DataError(f"no weights of {spec.architecture} are shipped; give a file or a run folder with --weights")
    if architecture.load_pretrained and not (weights and Path(weights).is_dir()):
        if not architecture.load_pretrained(net, Path(weights) if weights else None):
            log_message(
                "training starts without the ImageNet weights: their download failed; give a file with --weights"
            )
            return net, spec
    elif weights:
        load_matching_weights(net, _weights_file(spec, weights))
    name = Path(weights).name if weights else "ImageNet"
    return net, replace(spec, training=spec.training | {"initial_weights": name})


def _weights_file(spec: ModelSpec, weights: str) -> Path:
    if weights == "shipped":
        return MODELS_DIR / f"{ARCHITECTURES[spec.task][spec.architecture].shipped_model}.weights.h5"
    path = Path(weights)
    return path / WEIGHTS_FILE if path.is_dir() else path


def load_matching_weights(net: keras.Model, path: Path) -> None:
    """Load the weights of every layer of the same shape. Raises DataError when less than half of the layers match."""
    before = net.get_weights()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras names each layer that it leaves out
            net.load_weights(path, skip_mismatch=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} has no weights for this network: {str(error).splitlines()[0]}") from error
    # Kernels (more than one dimension) start at random, so an unchanged one was not loaded.
    pairs = [(a, b) for a, b in zip(before, net.get_weights(), strict=True) if a.ndim > 1]
    if sum(bool(np.array_equal(a, b)) for a, b in pairs) > len(pairs) / 2:
        raise DataError(f"{path} has the weights of another network; hardly any layer matches")


def validation_subset(val: Sequence[Any], spec: ModelSpec) -> list[Any]:
    """Evenly spaced images of the validation split, as many as fit into MAX_VALIDATION_BYTES, in a fixed random order.

    The loss of a detector is by batch, over its objects: it would be huge in a batch whose source has none.
    """
    limit = max(16, MAX_VALIDATION_BYTES // (3 * spec.input_size[0] * spec.input_size[1]))
    chosen = list(val[:: -(-len(val) // limit) or 1])
    return [chosen[n] for n in np.random.default_rng(0).permutation(len(chosen))]
