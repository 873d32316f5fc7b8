"""Metrics and images of the validation split during a training. Needs TensorFlow."""

from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import compute_detector_metrics, run_detector
from pocketsight.train.run_folder import as_model, build_network
from pocketsight.train.training.validation_figures import classifier_figures, detector_figures
from tests.support.images import picture

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

EXAMPLE = MODELS_DIR / "example.jpg"


def test_the_figures_of_a_detector_are_those_of_its_evaluation(tmp_path: Path) -> None:
    _, spec = read_model_file(MODELS_DIR / "detector.tflite")
    net = build_network(spec, any_size=True)
    net.load_weights(MODELS_DIR / "detector.weights.h5")
    face = detect(read_image(EXAMPLE), as_model(net, spec))[0]
    (tmp_path / "broken.png").write_bytes(b"")
    samples = [
        DetectionSample(EXAMPLE, np.array([face.box], np.float32)),
        DetectionSample(picture(tmp_path / "noise.png"), np.array([[5, 5, 45, 45]], np.float32)),  # missed
        DetectionSample(tmp_path / "broken.png", np.array([[5, 5, 45, 45]], np.float32)),
    ]
    values, images = detector_figures(samples, spec)(net)
    exact = compute_detector_metrics(run_detector(as_model(net, spec), samples), 0.5)
    assert values["ap50"] == pytest.approx(exact["ap50"], abs=1e-3) and 0.4 < values["ap50"] < 0.6
    assert (values["precision"], values["recall"]) == (1, 0.5)
    assert set(images) == {"detections", "failures"} and images["detections"].shape[1] == 4 * 320
    with pytest.raises(DataError, match="no face"):
        detector_figures([DetectionSample(EXAMPLE, np.empty((0, 4), np.float32))], spec)(net)


def test_the_figures_of_a_classifier(tmp_path: Path) -> None:
    _, spec = read_model_file(MODELS_DIR / "sentiment.tflite")
    net = build_network(spec)
    net.load_weights(MODELS_DIR / "sentiment.weights.h5")
    samples = [ClassificationSample(picture(tmp_path / f"{label}.png"), label, ()) for label in range(2)]
    values, images = classifier_figures(samples, spec)(net)
    assert values == {"accuracy": 0.5, "balanced_accuracy": 0.5} or values["accuracy"] == 0  # both get the same label
    assert set(images) == {"predictions", "failures"}
