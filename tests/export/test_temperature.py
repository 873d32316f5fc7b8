"""A classifier's temperature and threshold, fitted to the exported file. The last tests need TensorFlow."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.export.temperature import (
    TEMPERATURE_BOUNDS,
    calibrate,
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    log_softmax,
    negative_log_likelihood,
    prepare_spec,
)
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation.classifier import evaluate_classifier
from pocketsight.train.evaluation.metrics import FloatArray
from tests.support.images import DETECTOR, SENTIMENT, picture

LABELS = "happy", "sad", "_neutral"
SPEC = replace(SENTIMENT, labels=LABELS, training={"val_images": 400})


def planted(count: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Logits (N, 3), and labels drawn as often as they say, as odds (N, 3) of 0 and 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 3))
    drawn = (np.exp(log_softmax(logits, 1.0)).cumsum(1) < rng.random((count, 1))).sum(1).clip(0, 2)
    return logits, np.eye(3)[drawn]


@pytest.mark.parametrize("times", [0.5, 1, 2, 3])
def test_logits_that_are_too_large_or_too_small_are_brought_back(times: float) -> None:
    logits, odds = planted(6000)
    found = fit_temperature(times * logits, odds)
    assert found == pytest.approx(times, rel=0.06)
    before, after = (expected_calibration_error(times * logits, odds, t, reported_count=2) for t in (1.0, found))
    assert after < 0.02 and (times == 1 or before > 3 * after)


def test_it_is_the_temperature_of_the_least_loss_and_labels_may_be_soft() -> None:
    logits, odds = planted(3000)
    for labels in (odds, np.exp(log_softmax(logits, 1.7))):
        found = fit_temperature(logits, labels)
        least = negative_log_likelihood(logits, labels, found)
        assert all(
            negative_log_likelihood(logits, labels, found * factor) > least for factor in (0.5, 0.9, 0.98, 1.02, 1.1, 2)
        )
    assert found == pytest.approx(1.7, abs=0.01)


def test_the_loss_is_that_of_the_definition() -> None:
    logits, odds = np.array([[2.0, 0, 0], [0, 4, 0]]), np.array([[0.75, 0.25, 0], [0, 1, 0]])
    e = np.exp(1)
    first = -0.75 * np.log(e / (e + 2)) - 0.25 * np.log(1 / (e + 2))
    assert negative_log_likelihood(logits, odds, 2.0) == pytest.approx((first - np.log(e**2 / (e**2 + 2))) / 2)


def test_a_few_pictures_that_are_all_right_do_not_make_it_certain() -> None:
    odds = np.eye(3)[np.arange(40) % 3]
    found = fit_temperature(3 * odds, odds)
    score = np.exp(log_softmax(3 * odds, found)).max()
    assert TEMPERATURE_BOUNDS[0] < found < 1 and 0.97 < score < 0.995  # not 1 - 1e-5, as at the lower bound
    many = np.eye(3)[np.arange(40_000) % 3]
    assert fit_temperature(3 * many, many) < found


def test_pictures_count_as_their_weights_say() -> None:
    logits, odds = planted(6000)
    mixed = np.concatenate([logits, 3 * logits])  # the second half is three times too sure
    labels, weights = np.tile(odds, (2, 1)), np.repeat([1.0, 1e-6], 6000)
    assert fit_temperature(mixed, labels, weights) == pytest.approx(1, rel=0.06)
    assert fit_temperature(mixed, labels, weights[::-1]) == pytest.approx(3, rel=0.06)
    assert 1.2 < fit_temperature(mixed, labels) < 2.8
    assert (
        expected_calibration_error(mixed, labels, 1.0, 2, weights)
        < 0.02
        < 0.05
        < expected_calibration_error(mixed, labels, 1.0, 2, weights[::-1])
    )
    assert expected_calibration_error(mixed, labels, 1.0, 2, 7 * np.ones(12_000)) == pytest.approx(
        expected_calibration_error(mixed, labels, 1.0, 2)
    )


def test_labels_by_chance_end_at_the_bound() -> None:
    logits, _ = planted(300)
    assert fit_temperature(20 * logits, planted(300, seed=1)[1]) == TEMPERATURE_BOUNDS[1]


def numbered(folder: Path, odds: FloatArray) -> list[ClassificationSample]:
    """A picture for each row of `odds`, in a folder of its class, that a model can tell the number of."""
    found = []
    for number, row in enumerate(odds):
        path = folder / LABELS[row.argmax()] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), (0, number // 256, number % 256), np.uint8))
        found.append(ClassificationSample(path, int(row.argmax()), tuple(row.tolist())))
    return found


def knowing(logits: FloatArray, spec: ModelSpec) -> Model:
    """A model that gives each numbered picture its row, in int8."""
    scale = float(np.abs(logits).max()) / 127

    def model(image: Image) -> Mapping[str, QuantizedTensor]:
        red, green, _ = image[24, 24].tolist()
        return {"logits": QuantizedTensor(np.round(logits[256 * green + red] / scale).astype(np.int8), scale, 0)}

    return Model(model, spec)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> tuple[FloatArray, list[ClassificationSample]]:
    """400 faces, and logits that are twice too large."""
    logits, odds = planted(400, seed=3)
    return 2 * logits, numbered(tmp_path_factory.mktemp("faces"), odds)


def test_the_board_scores_as_was_promised(faces: tuple[FloatArray, list[ClassificationSample]]) -> None:
    logits, portraits = faces
    trained = knowing(logits, SPEC)
    spec, lines = fit_calibration(trained, portraits, None, by_soft_labels=False)
    facts, picked = spec.calibration["temperature_scaling"], spec.training["threshold_choice"]
    assert spec.temperature == facts["temperature"] == pytest.approx(2, abs=0.3)
    before, after = (evaluate_classifier(Model(trained.infer, one), portraits) for one in (SPEC, spec))
    assert [before["ece"], after["ece"]] == pytest.approx(facts["ece"], abs=2e-3)
    assert after["ece"] < before["ece"] / 2 and facts["nll"][1] < facts["nll"][0]
    assert after["reject_label_rate"] == picked["metrics"]["reject_label_rate"] <= 0.1
    assert 1 - after["unsure_rate"] == pytest.approx(picked["metrics"]["label_rate"], abs=1e-4)
    assert picked["target"] == "reject_label_rate<=0.1"
    assert after["accuracy"] == before["accuracy"]
    assert lines == [
        f"temperature {spec.temperature:.2f}: calibration error {facts['ece'][0]:.3f} -> {facts['ece'][1]:.3f} on 400 "
        "held-out images",
        f"threshold {spec.score_threshold:g} meets reject_label_rate<=0.1; "
        f"{picked['metrics']['label_rate']:.0%} of happy and sad get a label",
    ]
    assert ModelSpec.from_json(spec.to_json(), Path("x")) == spec


def test_a_second_export_finds_what_the_first_one_found(faces: tuple[FloatArray, list[ClassificationSample]]) -> None:
    logits, portraits = faces
    first, _ = fit_calibration(knowing(logits, prepare_spec(SPEC, None, ())), portraits, None, by_soft_labels=False)
    assert first.temperature != 1
    assert (
        fit_calibration(knowing(logits, prepare_spec(first, None, ())), portraits, None, by_soft_labels=False)[0]
        == first
    )


def test_what_is_asked_wins_over_what_was_asked_before(faces: tuple[FloatArray, list[ClassificationSample]]) -> None:
    logits, portraits = faces

    def asked(now: str | None, before: str) -> dict[str, Any]:
        facts = {"val_images": 400, "threshold_choice": {"target": before}}
        spec, _ = fit_calibration(knowing(logits, replace(SPEC, training=facts)), portraits, now, by_soft_labels=False)
        return dict(spec.training["threshold_choice"])

    now = asked("label_rate>=0.9", "labeled_accuracy>=0.9")
    assert now["target"] == "label_rate>=0.9" and now["metrics"]["label_rate"] >= 0.9
    then = asked(None, "labeled_accuracy>=0.9")
    assert then["target"] == "labeled_accuracy>=0.9" and then["metrics"]["labeled_accuracy"] >= 0.9
    assert asked(None, "false promises")["target"] == "reject_label_rate<=0.1"  # cannot be kept
    with pytest.raises(DataError, match="no threshold meets it"):
        fit_calibration(
            knowing(-logits, SPEC), portraits, "labeled_accuracy>=0.99", by_soft_labels=False
        )  # always wrong


def test_without_other_faces_nothing_is_promised(faces: tuple[FloatArray, list[ClassificationSample]]) -> None:
    logits, portraits = faces
    ours = [p for p in portraits if p.label < 2]
    spec, lines = fit_calibration(knowing(logits, SPEC), ours, None, by_soft_labels=False)
    assert "threshold_choice" not in spec.training and "is the default" in lines[1]
    assert f"training held out 400 images, but this data has {len(ours)}" in lines[2]
    with pytest.raises(DataError, match="has no reject folder"):
        fit_calibration(knowing(logits, SPEC), ours, "reject_label_rate<=0.1", by_soft_labels=False)


def test_a_class_that_the_net_has_not_got_counts_for_the_threshold_alone(
    faces: tuple[FloatArray, list[ClassificationSample]],
) -> None:
    logits, portraits = faces
    two = replace(SPEC, labels=LABELS[:2])
    spec, _ = fit_calibration(knowing(logits[:, :2], two), portraits, "reject_label_rate<=0.3", by_soft_labels=False)
    assert spec.calibration["temperature_scaling"]["images"] == sum(p.label < 2 for p in portraits)
    assert 0 < spec.training["threshold_choice"]["metrics"]["reject_label_rate"] <= 0.3


def test_labels_of_another_kind_are_noticed(faces: tuple[FloatArray, list[ClassificationSample]]) -> None:
    """The net doubts between happy and neutral; here every face is happy, save a few that it was sure of."""
    _, portraits = faces
    rows = np.array([[2.0, 0, 2] if n % 8 else [3.0, 0, -3] for n in range(400)])
    odds = np.array([[1.0, 0, 0] if n % 8 else [0, 0, 1.0] for n in range(400)])
    changed = [replace(p, label=int(o.argmax()), soft_label=tuple(o)) for p, o in zip(portraits, odds, strict=True)]
    spec, lines = fit_calibration(knowing(rows, SPEC), changed, None, by_soft_labels=False)
    before, after = spec.calibration["temperature_scaling"]["ece"]
    assert after > before > 0.2 and lines[-1].startswith("no temperature fixes that")


def test_damaged_pictures_are_named_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    logits, odds = planted(60)
    portraits = numbered(tmp_path, odds)
    portraits[7].path.write_bytes(b"broken")
    spec, lines = fit_calibration(knowing(logits, SPEC), portraits, None, by_soft_labels=False)
    assert spec.calibration["temperature_scaling"]["images"] == 59 and "7.png" in lines[0]
    with pytest.raises(DataError, match="none of 1 images that training held out can be read"):
        fit_calibration(knowing(logits, SPEC), portraits[7:8], None, by_soft_labels=False)


def test_with_too_few_pictures_all_stays_as_trained(capsys: pytest.CaptureFixture[str]) -> None:
    trained = knowing(np.eye(3), SPEC)
    assert calibrate(trained, [], None, ()) == SPEC
    assert "training held out fewer than 30 images of happy and sad" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"label_rate>=0.9: training held out fewer than 30 .* Nothing was written"):
        calibrate(trained, [], "label_rate>=0.9", ())


def test_what_a_detector_or_nobody_can_promise_is_refused_at_once() -> None:
    with pytest.raises(DataError, match="are for a classifier; choose a detector's threshold with: pocketsight"):
        prepare_spec(DETECTOR, "precision>=0.9", ())
    with pytest.raises(DataError, match="is not a target for a classifier"):
        prepare_spec(SPEC, "precision>=0.9", ())
    assert calibrate(Model(lambda image: {}, DETECTOR), [], None, ()) == DETECTOR


def export(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", "tflite", *map(str, words)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of an untrained network, and data: 180 faces and their votes."""
    from pocketsight.train.keras_backend import keras
    from pocketsight.train.run_folder import build_network

    folder = tmp_path_factory.mktemp("run")
    votes = ["file,happiness,sadness,neutral"]
    for part, count in (("train", 20), ("val", 40)):
        for c, name in enumerate(("happy", "sad", "neutral")):
            for number in range(count):
                path = picture(folder / "data" / part / name / f"{number}.png", (32, 32), seed=number)
                votes.append(f"{path.relative_to(folder)},{','.join(str(8 * (c == k) + 1) for k in range(3))}")
    (folder / "votes.csv").write_text("\n".join(votes))
    keras.utils.set_random_seed(0)
    spec = ModelSpec("classifier", "crop71k", (32, 32), LABELS, 0.6, crop_margin=0.1, training={"val_images": 120})
    (folder / "run").mkdir()
    build_network(spec).save_weights(folder / "run" / "model.weights.h5")
    (folder / "run" / MANIFEST_NAME).write_text(spec.to_json())
    return folder


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_an_export_writes_them_and_does_not_heap_them_up(run: Path) -> None:
    words = run / "run", "--calibration-data", run / "data", "--soft-labels", run / "votes.csv", "--format", "float32"
    done = export(*words, "--max-loss", 1, "--out", run / "a.tflite")
    assert done.exit_code == 0, done.output
    _, spec = read_model_file(run / "a.tflite")
    facts = spec.calibration["temperature_scaling"]
    assert facts["images"] == 120 and facts["temperature"] == spec.temperature != 1
    assert spec.parity["images"] == 80  # of the answers, held out too
    assert f"temperature {spec.temperature:.2f}: calibration error" in done.output.replace("\n", " ")
    before = (run / "run" / MANIFEST_NAME).read_text()
    assert ModelSpec.from_json(before, run).temperature == 1
    (run / "run" / MANIFEST_NAME).write_text(spec.to_json())  # as one may make a run folder again of a file
    again = export(*words, "--max-loss", 1, "--out", run / "b.tflite")
    (run / "run" / MANIFEST_NAME).write_text(before)
    assert again.exit_code == 0, again.output
    twice = read_model_file(run / "b.tflite")[1]
    assert replace(twice, sha256=spec.sha256) == spec  # TensorFlow numbers layers anew


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_an_export_keeps_what_was_asked(run: Path) -> None:
    words = (
        run / "run",
        "--calibration-data",
        run / "data",
        "--format",
        "float32",
        "--max-loss",
        1,
        "--out",
        run / "c.tflite",
    )
    done = export(*words, "--threshold-for", "label_rate>=0.5")
    assert done.exit_code == 0 and "meets label_rate>=0.5" in done.output
    assert read_model_file(run / "c.tflite")[1].training["threshold_choice"]["metrics"]["label_rate"] >= 0.5
    refused = export(*words, "--threshold-for", "recall>=0.5")
    assert refused.exit_code == 1 and "is not a target for a classifier" in refused.output
    lacking = export(run / "run", "--threshold-for", "label_rate>=0.5", "--format", "float32")
    assert lacking.exit_code == 1 and "need images: give --calibration-data DATA" in lacking.output
