"""The nets of the two tutorials: sizes, losses, first weights, one box from pixels to pixels. Needs TensorFlow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import classify, to_probabilities
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.postprocess import decode_single
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.synthetic.faces import write_detection_dataset
from pocketsight.device.vision.box_encoding import encode_single
from pocketsight.device.vision.boxes import Box
from pocketsight.train.datasets.augmentation import random_window
from pocketsight.train.datasets.photometric import build_augmentation
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.losses import vgg16_loss
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.networks.tutorials import IMAGENET_BGR_MEAN, load_imagenet_weights
from pocketsight.train.recipe import CNN256_RECIPE, RECIPES, VGG16_RECIPE
from pocketsight.train.training.trainer import compile_trainer
from tests.support.commands import pocketsight, pocketsight_json
from tests.support.images import save, scene

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

TRACKER = ModelSpec("detector", "vgg16", (120, 120), ("face",), 0.5, nms_iou_threshold=0.45)


def test_the_nets_have_the_tutorials_sizes() -> None:
    assert ARCHITECTURES["classifier"]["cnn256"].build(CNN256_RECIPE.input_size, 2).count_params() == 3_696_625
    assert ARCHITECTURES["detector"]["vgg16"].build(VGG16_RECIPE.input_size).count_params() == 16_826_181
    assert {task: list(nets) for task, nets in ARCHITECTURES.items()} == {
        task: list(nets) for task, nets in RECIPES.items()
    }
    with pytest.raises(DataError, match="cnn256 has two classes, not 3"):
        ARCHITECTURES["classifier"]["cnn256"].build(CNN256_RECIPE.input_size, 3)


def test_one_box_comes_back_as_it_went_in() -> None:
    boxes = np.array([[10, 20, 30, 40], [12, 30, 72, 90]], np.float32)
    written = encode_single(boxes, (120, 240))
    assert written[0] == 1
    outputs = {"score": QuantizedTensor(written[:1]), "box": QuantizedTensor(written[1:])}
    back, scores = decode_single(outputs, (120, 240), 0.5)
    np.testing.assert_allclose(back, boxes[1:], rtol=1e-6)  # the largest
    assert scores == [1]
    assert (
        len(decode_single(outputs | {"score": QuantizedTensor(np.array([0.4], np.float32))}, (120, 240), 0.5)[0]) == 0
    )
    assert not encode_single(boxes[:0], (120, 120)).any()


def test_the_tracker_gives_one_face_at_most_in_pixels_of_the_frame() -> None:
    def sees(score: int, box: list[int]) -> Model:
        outputs = {
            "score": QuantizedTensor(np.array([score], np.int8), 1 / 256, -128),
            "box": QuantizedTensor(np.array(box, np.int8), 1 / 256, -128),
        }
        return Model(lambda image: outputs, TRACKER)

    frame = np.zeros((240, 320, 3), np.uint8)  # fitted to 120x90
    (face,) = detect(frame, sees(100, [-64, -64, 0, 0]))
    assert face.box == pytest.approx((80, 80, 160, 160)) and face.score == pytest.approx(228 / 256)
    assert detect(frame, sees(-10, [-64, -64, 0, 0])) == []
    assert detect(frame, sees(100, [0, 0, -64, -64])) == []  # inside out
    assert detect(frame, sees(100, [-64, 120, 0, 127])) == []  # wholly in the padding


def test_a_score_of_the_second_class_is_read_as_two() -> None:
    assert to_probabilities({"score": QuantizedTensor(np.array([64], np.int8), 1 / 256, -128)}) == pytest.approx(
        [0.25, 0.75]
    )
    hot = to_probabilities({"score": QuantizedTensor(np.array([0.9], np.float32))}, 2.0)
    assert hot == pytest.approx([1 / (1 + 3), 3 / (1 + 3)])  # odds of 9 become their root
    ends = [
        to_probabilities({"score": QuantizedTensor(np.array([end], np.int8), 1 / 256, -128)}, 2.0)
        for end in (-128, 127)
    ]
    assert 0 < ends[0][1] < ends[1][0] < 0.1 and all(end.sum() == pytest.approx(1) for end in ends)
    spec = ModelSpec("classifier", "cnn256", (256, 256), ("happy", "sad"), 0.7)
    for value, label in ((0.1, "happy"), (0.9, "sad"), (0.4, "unsure")):
        outputs = {"score": QuantizedTensor(np.array([value], np.float32))}
        model = Model(lambda image, outputs=outputs: outputs, spec)  # type: ignore[misc]
        assert classify(np.zeros((20, 20, 3), np.uint8), Box(0, 0, 10, 10), model).label == label


def test_the_localization_loss_is_corner_and_size_squared_and_half_the_presence() -> None:
    targets = np.array([[1, 0.1, 0.2, 0.5, 0.6], [0, 0, 0, 0, 0]], np.float32)
    outputs = {
        "score": np.array([[0.8], [0.3]], np.float32),
        "box": np.array([[0.2, 0.2, 0.5, 0.8], [0, 0, 0.1, 0]], np.float32),
    }
    corner, size = 0.1**2, 0.1**2 + 0.2**2 + 0.1**2
    presence = -(np.log(0.8) + np.log(0.7)) / 2
    losses = vgg16_loss(targets, outputs, VGG16_RECIPE)
    assert float(losses["box"]) == pytest.approx(corner + size, rel=1e-5)
    assert float(losses["score"]) == pytest.approx(presence / 2, rel=1e-5)


def test_the_rate_falls_to_three_quarters_in_the_first_epoch_and_stays_for_the_cnn() -> None:
    def rate(recipe: Any, step: int) -> float:
        pixels = keras.Input((4,))
        net = keras.Model(pixels, keras.layers.Dense(1)(pixels))
        trainer = keras.Model(net.input, net.output)
        compile_trainer(trainer, net, recipe, 1000, 100)
        schedule = trainer.optimizer._learning_rate
        return float(schedule(step))

    assert rate(VGG16_RECIPE, 0) == pytest.approx(1e-4) and rate(VGG16_RECIPE, 100) == pytest.approx(0.75e-4)
    assert rate(CNN256_RECIPE, 0) == rate(CNN256_RECIPE, 700) == pytest.approx(1e-3)


def test_imagenet_weights_see_our_pixels_as_they_saw_theirs(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    theirs.save_weights(tmp_path / "vgg.weights.h5")
    net = ARCHITECTURES["detector"]["vgg16"].build((64, 64))
    assert load_imagenet_weights(net, tmp_path / "vgg.weights.h5")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    bgr = image[..., ::-1] - np.array(IMAGENET_BGR_MEAN, np.float32)
    their, our = (
        keras.Model(model.input, model.get_layer("block2_conv2").output).predict(pixels, verbose=0)
        for model, pixels in ((theirs, bgr), (net, image))
    )
    np.testing.assert_allclose(our[:, 3:-3, 3:-3], their[:, 3:-3, 3:-3], rtol=1e-3, atol=1e-3)


def test_no_network_is_no_error_and_a_wrong_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = ARCHITECTURES["detector"]["vgg16"].build((64, 64))

    def refused(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", refused)
    assert not load_imagenet_weights(net, None)
    monkeypatch.undo()
    (tmp_path / "x.weights.h5").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"x\.weights\.h5 has no weights of VGG16"):
        load_imagenet_weights(net, tmp_path / "x.weights.h5")


def test_the_trackers_window_is_the_tutorials_square_or_the_whole_picture() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((480, 640, 3), np.uint8)
    boxes = np.empty((0, 4), np.float32)
    windows = [random_window(image, boxes, (120, 120), VGG16_RECIPE, rng) for _ in range(50)]
    assert {(right - left, bottom - top) for left, top, right, bottom in windows} == {(450, 450), (640, 640)}
    plain = np.random.default_rng(1).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    assert (build_augmentation(CNN256_RECIPE, is_face_crop=True)(plain, rng) == plain).all()
    effect = build_augmentation(VGG16_RECIPE)
    unchanged = np.mean([(effect(plain, rng) == plain).all() for _ in range(100)])
    assert abs(unchanged - 0.8**3) < 0.15  # each of the three changes has a probability of 0.2


def test_both_tutorials_go_the_whole_way(tmp_path: Path) -> None:
    faces, moods, runs = tmp_path / "faces", tmp_path / "moods", tmp_path / "runs"
    for part, count in (("train", 40), ("val", 12)):
        write_detection_dataset(faces / part, count, seed=len(part))
        for n in range(2 * count):  # happy is light and sad is dark, which a few steps can learn
            image = (scene(n + len(part)) * 0.3 + 150 * (n % 2)).astype(np.uint8)
            save(moods / part / ("happy" if n % 2 else "sad") / f"{n}.jpg", image)
    weights = tmp_path / "vgg.weights.h5"
    keras.applications.VGG16(include_top=False, weights=None).save_weights(weights)
    small = "--set", "input_size=64,64"  # their own sizes take minutes
    words = "--arch", "vgg16", "--data", faces, "--out", runs / "d", "--samples", 80, "--weights", weights, *small
    assert "finds one box; left out: " in pocketsight("train", "detector", *words)
    pocketsight("train", "classifier", "--arch", "cnn256", "--data", moods, "--out", runs / "s", "--epochs", 6, *small)
    for run, data in ((runs / "d", faces), (runs / "s", moods)):
        pocketsight("export", "tflite", run, "--calibration-data", data, "--max-loss", 1)
    detector, classifier = runs / "d" / "detector.tflite", runs / "s" / "classifier.tflite"
    _, spec = read_model_file(detector)
    assert spec.strides == () and spec.precision == "int8" and spec.training["initial_weights"] == "vgg.weights.h5"
    assert spec.training["recipe"]["samples"] == 80
    _, spec = read_model_file(classifier)
    assert spec.training["recipe"]["samples"] == 6 * spec.training["train_images"]
    score = pocketsight_json("evaluate", classifier, "--data", moods)
    assert score["accuracy"] > 0.9
    models = "--detector", detector, "--classifier", classifier
    lines = pocketsight("run", "--camera", faces / "val" / "images", *models, "--log", tmp_path / "log.jsonl")
    assert "12 frames" in lines
    logged = [json.loads(line)["faces"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(len(found) <= 1 for found in logged)
    bench = pocketsight_json("bench", "--frames", 3, "--warmup", 1, *models)
    assert bench["stages"]["detect"]["n"] == 3
