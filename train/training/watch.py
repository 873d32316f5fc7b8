"""What a training shows while it runs: event files for TensorBoard, and its page on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.vision.image import read_image
from pocketsight.train.console import log_message
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import EVENTS_FOLDER, SCORES_FILE
from pocketsight.train.training.options import TrainingOptions
from pocketsight.train.training.tensorboard_viewer import show_tensorboard
from pocketsight.train.training.validation_figures import FiguresFn

SAMPLES_SHEET = "samples.png"
SHEETS, PLOTS = ("detections", "predictions", "failures"), ("precision_recall", "threshold", "confusion", "calibration")
RESULTS = "ap50", "ap", "precision", "recall", "accuracy", "balanced_accuracy", "labeled_accuracy", "unsure_rate"


@contextmanager
def watch_training(
    folder: Path, net: keras.Model, spec: ModelSpec, options: TrainingOptions, figures: FiguresFn
) -> Iterator[list[keras.callbacks.Callback]]:
    """The callbacks that write the event files of a training. The results of the block, in `folder`, follow at its end.

    This is the only place that writes event files: call it in one process of a training.
    """
    if options.tensorboard is False:
        yield []
        return
    if not find_spec("tensorboardX"):
        log_message(f"no event files for TensorBoard: {install_command('train')}")
        yield []
        return

    from pocketsight.train.training.tensorboard import TRAIN, VALIDATION, EventLog, TensorBoard

    log = EventLog(folder)
    with ExitStack() as stack:
        stack.callback(log.close)
        log.add_hyperparameters(hyperparameters(spec))
        if log.is_new:
            log.add_graph(net)
            log.add_images(TRAIN, {"sheets/samples": read_image(folder / SAMPLES_SHEET)})
        if options.tensorboard:
            stack.enter_context(show_tensorboard(folder / EVENTS_FOLDER))
        # They run the network on one image, which does not divide among devices.
        yield [TensorBoard(log, figures if options.cluster.devices == 1 else None)]
        paths = [path for path in sorted(folder.glob("*.png")) if path.stem in (*SHEETS, *PLOTS)]
        groups = {path: "sheets" if path.stem in SHEETS else "plots" for path in paths}
        log.add_images(VALIDATION, {f"{groups[path]}/{path.stem}": read_image(path) for path in paths})
        scores = json.loads((folder / SCORES_FILE).read_text()) if (folder / SCORES_FILE).exists() else {}
        log.add_results({f"results/{name}": scores[name] for name in RESULTS if isinstance(scores.get(name), float)})


def hyperparameters(spec: ModelSpec) -> dict[str, Any]:
    """The facts of a training that differ between trainings, by name."""
    facts = {name: value for name, value in spec.training.items() if name != "recipe"}
    values = {"architecture": spec.architecture, "initial_weights": "random"} | spec.training["recipe"] | facts
    return {name: value if isinstance(value, int | float | str) else _join(value) for name, value in values.items()}


def _join(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
