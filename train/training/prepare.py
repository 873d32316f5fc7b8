"""TODO docstring."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.train.console import log_message
from pocketsight.train.keras_backend import describe_backend, keras
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.recipe import Recipe
from pocketsight.train.run_folder import WEIGHTS_FILE, build_network


def training_provenance(
    data: Sequence[Path], recipe: Recipe, train: Sequence[Any], val: Sequence[Any]
) -> dict[str, Any]:
    """What the manifest says of the training. Warns when there were too few pictures to hold any out."""
    if train is val:
        log_message("too few pictures to hold any out: the validation scores are of pictures it learned from")
    return {
        "data": [path.name for path in data],
        "train_images": len(train),
        "val_images": 0 if train is val else len(val),
        "recipe": asdict(recipe),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def prepare_run_folder(out: Path | None, resume: bool, spec: ModelSpec) -> Path:
    """The run folder, made, with its manifest; prints where and on what the training runs.

    Without `out` the first free of runs/TASK, runs/TASK-2, ... Raises DataError when `out` holds another training.
    """
    if resume and out is None:
        raise DataError("--resume needs --out FOLDER, the run folder to go on with")
    folder = out or _next_run_path(spec.task)
    manifest = folder / MANIFEST_NAME
    if resume and not manifest.exists():
        raise DataError(f"{folder} holds no training to go on with")
    if not resume and manifest.exists():
        raise DataError(f"{folder} holds a training; go on with it by --resume, or choose another --out")
    if resume and (changed := _changed_settings(ModelSpec.from_json(manifest.read_text(), manifest), spec)):
        raise DataError(f"{folder} was trained with other settings: {', '.join(changed)} differ; resume with the same")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            manifest.write_text(spec.to_json())
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    log_message(f"{describe_backend()}; into {folder}")
    return folder


def _changed_settings(before: ModelSpec, now: ModelSpec) -> list[str]:
    """Names of the facts that keep a checkpoint from being gone on with."""
    old, new = (json.loads(spec.to_json()) for spec in (before, now))
    for facts in (old, new):
        facts |= {f"training {key}": value for key, value in facts.pop("training").items()}
        for free in ("score_threshold", "smoothing", "training keras", "training backend", "training initial_weights"):
            facts.pop(free, None)  # chosen at the end, or free to change
    return [key for key in new if old.get(key) != new[key]]


def _next_run_path(task: str) -> Path:
    names = (f"runs/{task}" if n == 1 else f"runs/{task}-{n}" for n in range(1, 10_000))
    return next(path for path in map(Path, names) if not path.exists())


def create_network(spec: ModelSpec, weights: str | None, resume: bool) -> tuple[keras.Model, ModelSpec]:
    """A net to train, and its spec, which says where the weights are from that it begins with.

    `weights` is a file, a run folder, or "shipped"; without them they are random. Layers of another shape, as the last
    one for other classes, begin anew. Raises DataError when hardly anything fits.
    """
    keras.utils.set_random_seed(spec.training["recipe"]["seed"])
    net, arch = build_network(spec, any_size=True), ARCHITECTURES[spec.task][spec.architecture]
    if not weights and (resume or not arch.load_pretrained):  # killed before its first checkpoint, it needs them again
        return net, spec
    if weights == "shipped" and not arch.shipped_model:
        raise DataError(f"no weights of {spec.architecture} are shipped; give a file or a run folder by --weights")
    if arch.load_pretrained and not (weights and Path(weights).is_dir()):
        if not arch.load_pretrained(net, Path(weights) if weights else None):
            log_message("begins without ImageNet's weights: Keras cannot fetch them here; give them by --weights FILE")
            return net, spec
    elif weights:
        load_matching_weights(net, _weights_file(spec, weights))
    name = Path(weights).name if weights else "ImageNet"
    return net, replace(spec, training=spec.training | {"initial_weights": name})


def _weights_file(spec: ModelSpec, weights: str) -> Path:
    if weights == "shipped":
        return (
            Path(str(files("pocketsight.models")))
            / f"{ARCHITECTURES[spec.task][spec.architecture].shipped_model}.weights.h5"
        )
    path = Path(weights)
    return path / WEIGHTS_FILE if path.is_dir() else path


def load_matching_weights(net: keras.Model, path: Path) -> None:
    """Load the weights of every layer that has the same shape. Raises DataError when less than half of them has."""
    before = net.get_weights()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names each layer that it leaves out
            net.load_weights(path, skip_mismatch=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} does not hold weights of this net: {str(error).splitlines()[0]}") from error
    pairs = [(a, b) for a, b in zip(before, net.get_weights(), strict=True) if a.ndim > 1]  # kernels begin at random
    if sum(bool(np.array_equal(a, b)) for a, b in pairs) > len(pairs) / 2:
        raise DataError(f"{path} holds weights of another net; hardly a layer fits")


def validation_subset(val: Sequence[Any], spec: ModelSpec) -> list[Any]:
    """Pictures from all over the validation part, no more than fit into 64 MB: they stay in memory all the time."""
    most = max(16, 64_000_000 // (3 * spec.input_size[0] * spec.input_size[1]))
    return list(val[:: -(-len(val) // most) or 1])
