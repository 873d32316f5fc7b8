import json
from datetime import datetime

import numpy as np
import pytest

from edgekit.device.bench import summary
from edgekit.device.boxes import Box
from edgekit.device.camera import Frame
from edgekit.device.detector import detect
from edgekit.device.errors import CameraError
from edgekit.device.image import Image
from edgekit.device.interpreter import Loaded
from edgekit.device.pipeline import records
from edgekit.device.record import to_line
from edgekit.device.sentiment import classify, softmax
from edgekit.device.tensor import Tensor
from tests.pictures import FACE, HAPPY, SENTIMENT

FRAME = np.zeros((192, 256, 3), np.uint8)


def test_a_frame_becomes_a_line_in_frame_pixels() -> None:
    ((_, record),) = records([Frame(FRAME, index=7, taken=1.5)], FACE, HAPPY)
    line = json.loads(to_line(record))
    assert line["frame"] == 7
    assert datetime.fromisoformat(line["time"]).timestamp() == 1.5
    assert line["time"].endswith("+00:00")
    assert "source" not in line
    (face,) = line["faces"]
    assert face["box"] == [32, 32, 96, 96]  # the model saw half the size
    assert (face["score"], face["sentiment"], face["sentiment_score"]) == (1, "happy", 0.881)
    assert list(line["ms"]) == ["wait", "fit", "detect", "decode", "crop", "classify", "whole"]


def test_a_picture_is_named_in_its_line() -> None:
    ((_, record),) = records([Frame(FRAME, 0, 0.0, "a/b.jpg")], FACE, HAPPY)
    assert json.loads(to_line(record))["source"] == "a/b.jpg"


def test_stages_add_up_to_the_whole() -> None:
    ((_, record),) = records([Frame(FRAME, 0, 0.0)], FACE, HAPPY)
    parts = sum(ms for stage, ms in record.ms.items() if stage not in ("wait", "whole"))
    assert 0.8 * record.ms["whole"] < parts <= record.ms["whole"]


def test_boxes_stay_within_the_frame() -> None:
    (face,) = detect(np.zeros((40, 40, 3), np.uint8), FACE)  # fitted: 96 of 128 columns
    assert face.box == pytest.approx((16 / 2.4, 16 / 2.4, 20, 20))
    (face,) = detect(np.zeros((16, 16, 3), np.uint8), FACE)
    assert max(face.box) <= 16


def answering(logits: list[float], **changes: object) -> Loaded:
    def model(image: Image) -> dict[str, Tensor]:
        return {"logits": Tensor(np.array(logits, np.float32))}

    from dataclasses import replace

    return Loaded(model, replace(SENTIMENT, **changes))  # type: ignore[arg-type]


def test_below_the_threshold_the_answer_is_unsure() -> None:
    answer = classify(FRAME, Box(0, 0, 50, 50), answering([0.1, 0.0]))
    assert answer.label == "unsure"
    assert 0.5 < answer.score < 0.6


def test_a_face_that_is_neither_is_unsure() -> None:
    answer = classify(FRAME, Box(0, 0, 50, 50), answering([1.0, 0.0, 4.0], labels=("happy", "sad", "_other")))
    assert (answer.label, answer.best) == ("unsure", 0)


def test_softmax_reads_int8_logits() -> None:
    scores = softmax(Tensor(np.array([10, -10], np.int8), 0.1, 0))
    assert scores == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))], abs=1e-6)


def test_percentiles_are_of_sorted_times_and_of_the_frames_that_had_the_stage() -> None:
    rows = [{"detect": float(ms), "whole": 1.0, "write": 0.0} for ms in (9, 1, 8, 2, 7, 3, 6, 4, 5)]
    rows[0]["crop"] = 3.0
    found = summary(rows)
    assert (found["detect"]["p50"], found["detect"]["n"], found["crop"]["n"]) == (5, 9, 1)
    assert "classify" not in found


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(CameraError, match="lower --warmup"):
        summary([])
