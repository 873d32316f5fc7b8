"""TensorBoard event files of a training, in its run folder: curves, images, the graph and the hyperparameters.

tensorboardX writes them with every backend of Keras; the callback of Keras itself needs TensorFlow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import Image, encode_jpeg
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import EVENTS_FOLDER, read_checkpoint_state
from pocketsight.train.training.distribution import not_distributed
from pocketsight.train.training.layer_graph import layer_graph
from pocketsight.train.training.validation_figures import FiguresFn

# Folders of event files. Curves with the same tag share a chart; HPARAMS shows a training as one line, WHOLE.
WHOLE, TRAIN, VALIDATION = "", "train", "validation"
FLUSH_SECONDS = 10
CURVE_POINTS = 500  # of the training loss
FIGURES_SHARE = 0.01  # largest share of the time of a training that figures of the validation split take
FIRST_FIGURES_SECONDS = 1.0  # what the first ones are expected to take


class EventLog:
    """The event files of a run folder. If its training is resumed, they continue at its checkpoint."""

    def __init__(self, folder: Path) -> None:
        events = folder / EVENTS_FOLDER
        self.is_new = not events.exists()
        self.step = read_checkpoint_state(folder).get("steps", 0)  # the last one
        first = {WHOLE: 0, TRAIN: self.step + 1, VALIDATION: self.step + 1}  # older events from there on are dropped
        self._writers = {
            run: SummaryWriter(str(events / run), purge_step=step, flush_secs=FLUSH_SECONDS)
            for run, step in first.items()
        }

    def add_scalars(self, run: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve. The keys are tags, such as "loss/total"."""
        self.step = step
        for tag, value in values.items():
            self._writers[run].add_scalar(tag, value, step)

    def add_images(self, run: str, images: Mapping[str, Image]) -> None:
        """Add RGB images (H, W, 3) by tag, at the last step."""
        for tag, pixels in images.items():
            # Not add_image, which makes PNG files: their checksums, in Python, take seconds.
            image = Summary.Image(
                height=pixels.shape[0], width=pixels.shape[1], colorspace=3, encoded_image_string=encode_jpeg(pixels)
            )
            summary = Summary(value=[Summary.Value(tag=tag, image=image)])
            self._writers[run].file_writer.add_summary(summary, self.step)

    def add_graph(self, net: keras.Model) -> None:
        """Add the layers of a functional network."""
        self._writers[TRAIN].file_writer.add_event(Event(graph_def=layer_graph(net).SerializeToString()))

    def add_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Add the line of this training to HPARAMS."""
        _, self._start, self._end = hparams(dict(values), {})
        self._writers[WHOLE].file_writer.add_summary(self._start, 0)

    def add_results(self, metrics: Mapping[str, float]) -> None:
        """Add the metrics of the finished training to its line in HPARAMS."""
        self.add_scalars(WHOLE, self.step, metrics)
        self._writers[WHOLE].file_writer.add_summary(self._end, self.step)

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()


class TensorBoard(keras.callbacks.Callback):
    """Writes the curves of a training and, from time to time, metrics and images of the validation split.

    Learning rate and speed are those that EpochReporter adds to the logs, so it comes before this callback.
    """

    def __init__(self, log: EventLog, figures: FiguresFn | None) -> None:
        super().__init__()
        self.log, self.figures = log, figures
        self.start, self.figures_seconds, self.next_seconds = time.monotonic(), 0.0, FIRST_FIGURES_SECONDS

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.first_step, self.epoch_steps = epoch * self.params["steps"], self.params["steps"]
        self.last_batches, self.last_loss = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        batches, loss = batch + 1, (logs or {})["loss"]
        interval = max(1, self.params["epochs"] * self.epoch_steps // CURVE_POINTS)
        if batches % interval and batches != self.epoch_steps:
            return
        # Keras gives the mean from the start of the epoch; the curve shows that of the steps since the last point.
        mean = (loss * batches - self.last_loss * self.last_batches) / (batches - self.last_batches)
        self.last_batches, self.last_loss = batches, loss
        self.log.add_scalars(TRAIN, self.first_step + batches, {"loss/total": mean})

    def on_test_end(self, logs: Any = None) -> None:
        if self.figures is None:
            return
        allowed = FIGURES_SHARE * (time.monotonic() - self.start)
        is_due = self.figures_seconds + self.next_seconds <= allowed
        if not is_due or not math.isfinite((logs or {})["loss"]):
            return
        begin = time.monotonic()
        with suppress(DataError), not_distributed():  # no face counts; the images come one by one
            metrics, images = self.figures(self.model.net)
            step = self.first_step + self.epoch_steps
            self.log.add_scalars(VALIDATION, step, {f"metrics/{name}": value for name, value in metrics.items()})
            self.log.add_images(VALIDATION, {f"sheets/{name}": image for name, image in images.items()})
        self.next_seconds = time.monotonic() - begin
        self.figures_seconds += self.next_seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs, step = logs or {}, self.first_step + self.epoch_steps
        parts = {name: value for name, value in logs.items() if name.endswith("_loss")}
        validation = {name.removeprefix("val_"): value for name, value in parts.items() if name.startswith("val_")}
        train = {name: value for name, value in parts.items() if not name.startswith("val_")}
        self.log.add_scalars(VALIDATION, step, {_loss_tag(name): value for name, value in validation.items()})
        self.log.add_scalars(TRAIN, step, {_loss_tag(name): value for name, value in train.items()})
        rates = "learning_rate", "images_per_second", "share_of_waiting"
        self.log.add_scalars(TRAIN, step, {f"training/{name}": logs[name] for name in rates})


def _loss_tag(name: str) -> str:
    """ "loss/score" for "score_loss", "loss/total" for "loss"."""
    return f"loss/{name.removesuffix('loss').removesuffix('_') or 'total'}"
