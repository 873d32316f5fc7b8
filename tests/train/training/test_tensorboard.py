"""The event files of a training, read with TensorBoard's own reader. Needs TensorFlow."""

import re
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboardX import SummaryWriter

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.system.atomic_files import write_json
from pocketsight.device.vision.image import Image, write_png
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.detector import grid_detector
from pocketsight.train.recipe import DETECTOR_RECIPE, Recipe
from pocketsight.train.run_folder import SCORES_FILE
from pocketsight.train.training import tensorboard, tensorboard_viewer
from pocketsight.train.training.layer_graph import layer_graph
from pocketsight.train.training.options import TrainingOptions
from pocketsight.train.training.tensorboard_viewer import require_tensorboard, show_tensorboard
from pocketsight.train.training.trainer import fit
from pocketsight.train.training.watch import SAMPLES_SHEET, watch_training
from tests.support.images import toy_batch

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

RECIPE = replace(DETECTOR_RECIPE, samples=8 * 60, batch_size=8, learning_rate=0.1)  # three epochs of 20 steps
SPEC = ModelSpec("detector", "toy", (4, 4), ("face",), 0.5, training={"recipe": asdict(RECIPE), "data": ["a", "b"]})
PIXELS = np.full((30, 40, 3), (200, 30, 30), np.uint8)


def halves(targets: Any, outputs: Any, recipe: Recipe) -> dict[str, Any]:
    loss = keras.ops.mean(keras.ops.square(targets - outputs))
    return {"score": 0.25 * loss, "box": 0.75 * loss}


def figures(net: keras.Model) -> tuple[dict[str, float], dict[str, Image]]:
    return {"ap50": 0.5}, {"detections": PIXELS}


def train(folder: Path, stop_at_step: int = -1) -> None:
    """As the command does. Is interrupted at a step."""
    folder.mkdir(exist_ok=True)
    write_png(folder / SAMPLES_SHEET, PIXELS)
    numbers = keras.Input((4,))
    net = keras.Model(numbers, keras.layers.Dense(1, name="sum")(numbers))

    def interrupt(epoch: int, batch: int) -> None:
        if 20 * epoch + batch == stop_at_step:
            raise KeyboardInterrupt

    with watch_training(folder, net, SPEC, TrainingOptions(1), figures) as callbacks:
        epoch = [0]
        hook = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda n, logs: epoch.__setitem__(0, n),
            on_train_batch_end=lambda n, logs: interrupt(epoch[0], n),
        )
        hooks = [*callbacks, hook]
        fit(net, halves, toy_batch, 160, toy_batch(99), RECIPE, folder, TrainingOptions(1), None, None, PARTS, hooks)
        write_png(folder / "precision_recall.png", PIXELS)
        write_json(folder / SCORES_FILE, {"ap50": 0.75, "reject_label_rate": None})


PARTS = "score", "box"


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def points(events: EventAccumulator, tag: str) -> Sequence[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_a_resumed_training_has_one_point_for_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "FIGURES_SHARE", 1e9)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(folder, stop_at_step=33)
    train(folder)
    events = folder / "tensorboard"
    curves, validation, whole = read(events / "train"), read(events / "validation"), read(events)
    assert [step for step, _ in points(curves, "loss/total")] == list(range(1, 61))
    assert [step for step, _ in points(curves, "training/learning_rate")] == [20, 40, 60]
    assert points(curves, "training/learning_rate")[-1][1] < 1e-4 < points(curves, "training/learning_rate")[0][1]
    assert all(speed > 0 for _, speed in points(curves, "training/images_per_second"))
    assert all(0 <= share <= 1 for _, share in points(curves, "training/share_of_waiting"))
    for (_, total), (_, score), (_, box) in zip(
        *(points(validation, f"loss/{part}") for part in ("total", *PARTS)), strict=True
    ):
        assert (score, box) == (pytest.approx(total / 4), pytest.approx(0.75 * total))
    rows = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    assert [float(row[2]) for row in rows[1:]] == pytest.approx(
        [value for _, value in points(validation, "loss/total")]
    )
    means = np.array([value for _, value in points(curves, "loss/total")]).reshape(3, 20).mean(1)
    assert means == pytest.approx([float(row[1]) for row in rows[1:]], rel=1e-3)
    assert points(validation, "metrics/ap50") == [(20, 0.5), (40, 0.5), (60, 0.5)]
    assert points(whole, "results/ap50") == [(60, 0.75)]

    assert [image.step for image in validation.Images("sheets/detections")] == [20, 40, 60]
    assert len(validation.Images("plots/precision_recall")) == len(curves.Images("sheets/samples")) == 1
    sample = curves.Images("sheets/samples")[0]
    assert (sample.width, sample.height, sample.encoded_image_string[:2]) == (40, 30, b"\xff\xd8")

    assert [(node.name, list(node.input)) for node in curves.Graph().node][1:] == [
        ("sum", [curves.Graph().node[0].name])
    ]
    start = HParamsPluginData.FromString(whole.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    values = start.session_start_info.hparams
    assert values["learning_rate"].number_value == 0.1 and values["data"].string_value == "a, b"
    assert "_hparams_/session_end_info" in whole.PluginTagToContent("hparams")


def test_no_event_files_on_request(tmp_path: Path) -> None:
    with watch_training(tmp_path, None, SPEC, TrainingOptions(1, tensorboard=False), figures) as callbacks:
        assert callbacks == []
    assert list(tmp_path.iterdir()) == []


def test_the_graph_connects_all_layers_of_a_detector() -> None:
    keras.utils.clear_session()  # the numbers in the names of layers
    nodes = {node.name: node for node in layer_graph(grid_detector((64, 64))).node}
    assert len(nodes["add"].input) == 2 and nodes["score-8"].attr["_output_shapes"].list.shape[0].dim[1].size == 8
    used = {name for node in nodes.values() for name in node.input}
    assert used < set(nodes) and set(nodes) - used == {f"{kind}-{s}" for kind in ("score", "box") for s in (8, 16, 32)}
    assert list(nodes["conv2d/batch_normalization"].input) == ["conv2d/conv2d"]  # one box


def test_the_page_is_served_while_the_training_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(tensorboard_viewer, "has_display", lambda: True)
    monkeypatch.setattr("webbrowser.open", opened.append)
    with SummaryWriter(str(tmp_path / "train")) as writer:
        writer.add_scalar("loss/total", 1.0, 1)
    with show_tensorboard(tmp_path):
        deadline = time.monotonic() + 300
        while not opened and time.monotonic() < deadline:
            time.sleep(0.1)
        found = re.search(r"TensorBoard: (http://127\.0\.0\.1:\d+/)", capfd.readouterr().err)
        assert found and opened == [found[1]]
        with urllib.request.urlopen(found[1], timeout=60) as page:
            assert b"TensorBoard" in page.read()
    with pytest.raises(OSError):
        urllib.request.urlopen(found[1], timeout=5)


def test_without_tensorboard_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard_viewer, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"TensorBoard is not installed; .*pip install"):
        require_tensorboard()
