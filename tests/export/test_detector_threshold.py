"""The threshold of an exported detector, and exports that prove nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError, ParityError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.export.calibration import read_calibration, require_varied
from pocketsight.export.detector_threshold import choose_threshold, describe_margin
from pocketsight.export.parity import require_parity
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample
from tests.support.images import DETECTOR, FACE, picture, save


def detector_with(score: float, threshold: float, target: str = "") -> Model:
    """A detector that sees its face with one score."""

    def infer(image: Image) -> dict[str, QuantizedTensor]:
        found = dict(FACE.infer(image))
        scores = {name: out.values * np.float32(score) for name, out in found.items() if "score" in name}
        return found | {name: QuantizedTensor(values) for name, values in scores.items()}

    training = {"threshold_choice": {"target": target}} if target else {}
    return Model(infer, replace(DETECTOR, score_threshold=threshold, training=training))


def samples(folder: Path) -> list[DetectionSample]:
    box = np.array([[16, 16, 48, 48]], np.float32)
    return [DetectionSample(picture(folder / f"{n}.png", (96, 128), n), box, size=(96, 128)) for n in range(3)]


@pytest.mark.parametrize(
    ("trained", "target", "expected"),
    [
        (0.7, "", 0.55),  # quantization moved the score below it
        (0.5, "", 0.5),  # it stays
        (0.7, "recall>=0.9", 0.6),
    ],
)
def test_the_threshold_is_tried_on_the_file(
    tmp_path: Path, trained: float, target: str, expected: float, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = choose_threshold(detector_with(0.6, trained, target), samples(tmp_path))
    assert spec.score_threshold == pytest.approx(expected, abs=1e-3)
    assert f"threshold {spec.score_threshold:g}: " in capsys.readouterr().err


def test_without_a_face_the_threshold_stays(tmp_path: Path) -> None:
    empty = [replace(sample, boxes=NO_BOXES) for sample in samples(tmp_path)]
    assert choose_threshold(detector_with(0.6, 0.7), empty).score_threshold == 0.7


def test_the_margin_is_the_distance_to_the_nearest_scores() -> None:
    assert describe_margin(np.array([0.9, 0.6, 0.3]), 0.5).endswith("0.100 above and 0.200 below")
    assert describe_margin(np.array([0.3]), 0.5).endswith("none above and 0.200 below")


def test_an_export_that_scored_nothing_is_not_proved(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ParityError, match="not proved: nothing in 1 held-out images could be scored"):
        require_parity({"images": 1}, None)
    require_parity({"images": 1}, None, force=True)
    assert "not proved" in capsys.readouterr().err


def test_one_image_or_black_ones_calibrate_nothing(tmp_path: Path) -> None:
    for count in (1, 4):  # copies are one image
        picture(tmp_path / "copies" / f"{count}.png")
        with pytest.raises(DataError, match="gives one image to calibrate with"):
            require_varied(read_calibration(DETECTOR, [tmp_path / "copies"]))
    for n in range(4):
        save(tmp_path / "one" / f"gray{n}.png", np.full((60, 60, 3), (200, 40 * n, 30), np.uint8))  # with bars
    with pytest.raises(DataError, match="has only images of one color"):
        require_varied(read_calibration(DETECTOR, [tmp_path / "one"]))
    for n in range(3):
        picture(tmp_path / "one" / f"{n}.png", seed=n)
    require_varied(read_calibration(DETECTOR, [tmp_path / "one"]))
