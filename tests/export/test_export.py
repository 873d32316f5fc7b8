"""The converter's silent slips must be loud. Needs TensorFlow, as export does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError, ParityError
from pocketsight.device.inference.interpreter import Model, TfliteModel
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.export import parity
from pocketsight.export.calibration import read_calibration
from pocketsight.export.tflite import convert, require_clean_graph
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.holdout import hold_out_classification
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import as_model, build_network
from tests.export.test_compact import tensor_names
from tests.support.images import labelme, picture

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

DETECTOR = ModelSpec("detector", "grid133k", (96, 128), ("face",), 0.5, strides=(8, 16, 32), nms_iou_threshold=0.4)
SENTIMENT = ModelSpec("classifier", "crop71k", (64, 64), ("happy", "sad"), 0.6, crop_margin=0.1)


def noise(size: tuple[int, int], count: int = 8) -> list[Image]:
    rng = np.random.default_rng(0)
    ends = [np.full((*size, 3), grey, np.uint8) for grey in (0, 255)]
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(count)] + ends


@pytest.fixture(scope="module", params=[DETECTOR, SENTIMENT], ids=lambda spec: spec.task)
def exported(request: pytest.FixtureRequest) -> tuple[ModelSpec, Model, bytes]:
    keras.utils.set_random_seed(0)
    net = build_network(request.param, batch=1)
    return request.param, as_model(net, request.param), convert(net, "int8", noise(request.param.input_size))


def test_our_nets_are_int8_throughout_in_one_piece(exported: tuple[ModelSpec, Model, bytes]) -> None:
    _, _, flatbuffer = exported
    require_clean_graph(flatbuffer, "int8")
    names = tensor_names(flatbuffer)
    assert all(names) and len(set(names)) == len(names)
    model = TfliteModel(flatbuffer, 1, Path("x"), exported[0])
    assert model.input_details["quantization"] == (1.0, -128)  # a camera's byte is one subtraction away
    for name, out in model(np.zeros((*exported[0].input_size, 3), np.uint8)).items():
        assert out.values.dtype == np.int8
        if name.startswith("score"):
            assert (out.scale, out.zero_point) == (1 / 256, -128)


def test_int8_says_what_the_net_says(exported: tuple[ModelSpec, Model, bytes]) -> None:
    spec, trained, flatbuffer = exported
    found = parity.output_differences(
        trained, Model(TfliteModel(flatbuffer, 1, Path("x"), spec), spec), noise(spec.input_size)
    )
    limit = {"score": 0.02, "box": 0.2, "logits": 0.1}
    for name, gap in found.items():
        assert gap["max_abs"] < limit[name.split("_")[0]], name


@pytest.mark.parametrize(("precision", "share"), [("float32", 1.0), ("float16", 0.6), ("dynamic", 0.4)])
def test_other_formats_take_and_give_real_numbers(precision: str, share: float) -> None:
    net = build_network(SENTIMENT, batch=1)
    flatbuffer = convert(net, precision, [])
    require_clean_graph(flatbuffer, precision)
    assert len(flatbuffer) < share * 4 * net.count_params() + 40_000
    found = parity.output_differences(
        as_model(net, SENTIMENT), Model(TfliteModel(flatbuffer, 1, Path("x"), SENTIMENT), SENTIMENT), noise((64, 64))
    )
    assert found["logits"]["max_abs"] < 0.1


def net_of(layer: Callable[[Any], Any], batch: int | None = 1) -> Any:
    pixels = keras.Input(batch_shape=(batch, 16, 16, 3))
    return keras.Model(pixels, {"out": layer(keras.layers.Conv2D(4, 3, padding="same")(pixels))})


def test_an_operator_that_stays_in_float_is_named() -> None:
    flatbuffer = convert(net_of(lambda x: keras.ops.sin(x)), "int8", noise((16, 16)))
    with pytest.raises(ParityError, match="operator SIN stayed in float"):
        require_clean_graph(flatbuffer, "int8")


def test_a_dynamic_shape_is_named() -> None:
    net = net_of(lambda x: keras.layers.UpSampling2D(2, interpolation="bilinear")(x), batch=None)
    with pytest.raises(ParityError, match="dynamic shape; build the network with a batch size of 1"):
        require_clean_graph(convert(net, "float32", []), "float32")


def test_a_graph_in_several_pieces_is_refused() -> None:
    def split(x: Any) -> Any:
        return keras.layers.Conv2D(4, 3, padding="same")(keras.layers.UpSampling2D(2, interpolation="nearest")(x))

    with pytest.raises(ParityError, match="partitions instead of one"):
        require_clean_graph(convert(net_of(split), "int8", noise((16, 16))), "int8")


def test_too_large_a_loss_is_refused() -> None:
    facts = {"metric": "accuracy", "images": 1000, "trained": 0.9, "exported": 0.88, "loss": 0.02}
    with pytest.raises(ParityError, match=r"loses 0\.0200 accuracy on 1000 held-out images"):
        parity.require_parity(facts, None)
    with pytest.raises(ParityError, match=r"limit is 0\.01"):
        parity.require_parity(facts, 0.01)
    parity.require_parity(facts, 0.02)
    parity.require_parity(facts | {"loss": -0.1}, 0.0)


def test_a_single_picture_is_forgiven_unless_a_limit_is_given() -> None:
    facts = {"metric": "accuracy", "images": 50, "trained": 1.0, "exported": 0.98, "loss": 0.02}
    parity.require_parity(facts, None)
    with pytest.raises(ParityError):
        parity.require_parity(facts, 0.005)


def test_differences_are_of_real_numbers() -> None:
    a = Model(lambda image: {"score_8": QuantizedTensor(np.array([0.5], np.float32))}, DETECTOR)
    b = Model(lambda image: {"score_8": QuantizedTensor(np.array([0], np.int8), 1 / 256, -120)}, DETECTOR)
    found = parity.output_differences(a, b, [np.zeros((1, 1, 3), np.uint8)])
    assert found["score_8"]["max_abs"] == pytest.approx(0.5 - 120 / 256, abs=1e-4)


def test_calibration_is_the_same_every_time_and_knows_its_pictures(tmp_path: Path) -> None:
    for name in ("happy", "sad"):
        for number in range(30):
            picture(tmp_path / name / f"{number}.png", (48, 48), seed=number)
    first, again = (read_calibration(SENTIMENT, [tmp_path], count=20) for _ in range(2))
    assert first.facts == again.facts
    assert first.facts["class_counts"] == {"happy": 10, "sad": 10}
    assert len(first.samples) == 22
    assert first.samples[-2].max() == 0 and first.samples[-1].min() == 255
    assert len(first.parity_samples) == 40
    picture(tmp_path / "sad" / "3.png", (48, 48), seed=99)
    assert read_calibration(SENTIMENT, [tmp_path], count=60).facts["sha256"] != first.facts["sha256"]


def test_a_detector_calibrates_on_any_folder_but_proves_itself_on_labels_only(tmp_path: Path) -> None:
    picture(tmp_path / "loose" / "a.png")
    loose = read_calibration(DETECTOR, [tmp_path / "loose"])
    assert loose.facts["class_counts"] == {"unlabeled": 1} and not loose.parity_samples
    for name in "abcd":
        labelme(tmp_path / "labelled", name, [[10, 10], [30, 40]])
    labelled = read_calibration(DETECTOR, [tmp_path / "labelled"])
    assert labelled.facts["class_counts"] == {"with faces": 2} and len(labelled.parity_samples) == 2


def test_a_classifier_is_proved_on_what_its_training_held_out(tmp_path: Path) -> None:
    for name in ("happy", "sad", "neutral"):
        for number in range(200):
            picture(tmp_path / name / f"{number}.png", (16, 16), seed=number)
    spec = replace(SENTIMENT, labels=("happy", "sad", "_neutral"), training={"recipe": {"val_fraction": 0.2}})
    found = read_calibration(spec, [tmp_path], count=50)
    held = hold_out_classification(read_classification_dataset([tmp_path], [], ("happy", "sad"), ("neutral",)), 0.2)[1]
    assert found.heldout == held and {p.label for p in held} == {0, 1, 2}
    assert sorted(found.parity_samples, key=str) == sorted((p for p in held if p.label < 2), key=str)
    assert found.facts["class_counts"] == {"happy": 25, "sad": 25}
    few = read_calibration(replace(spec, training={"recipe": {"val_fraction": 0.01}}), [tmp_path], count=50)
    assert few.heldout == [] and len(few.parity_samples) == 300
    (tmp_path / "all").mkdir()
    for name in ("happy", "sad", "neutral"):
        (tmp_path / name).rename(tmp_path / "all" / name)
    (tmp_path / "all").rename(tmp_path / "val")  # no part to train on: a share of what there is
    assert len(read_calibration(spec, [tmp_path]).heldout) == len(held)


def test_nothing_to_calibrate_with_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="has no image to calibrate with"):
        read_calibration(DETECTOR, [tmp_path])


def test_faces_of_no_answer_do_not_calibrate(tmp_path: Path) -> None:
    for name in ("happy", "sad", "_neutral"):
        for number in range(4):
            picture(tmp_path / name / f"{number}.png", (48, 48), seed=number)
    assert set(read_calibration(SENTIMENT, [tmp_path]).facts["class_counts"]) == {"happy", "sad"}


def test_a_net_that_this_version_does_not_know_is_named() -> None:
    from pocketsight.device.errors import ModelError

    with pytest.raises(ModelError, match="unknown detector architecture 'x'; this pocketsight has: grid133k"):
        build_network(replace(DETECTOR, architecture="x"))
