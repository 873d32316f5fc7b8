import json
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import classify, softmax
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.results import FrameResult, frame_entry, to_json_line
from pocketsight.device.runtime.pipeline import Pipeline, process_frames
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.zones import parse_zone
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from tests.support.images import FACE, HAPPY, SENTIMENT

FRAME = np.zeros((192, 256, 3), np.uint8)


def entry_of(record: FrameResult) -> dict[str, Any]:
    return json.loads(to_json_line(frame_entry(record, 0.0123, True)))  # type: ignore[no-any-return]


def test_a_frame_becomes_a_line_in_frame_pixels() -> None:
    frames = [Frame(FRAME, index=n, captured_at=1.5, captured_monotonic=n / 20) for n in (7, 8)]
    (_, first), (_, record) = process_frames(frames, FACE, HAPPY)
    assert first.faces == []  # a face is followed from its second sight
    line = entry_of(record)
    assert (line["v"], line["kind"], line["frame"], line["latency_ms"], line["clock_synced"]) == (
        2,
        "frame",
        8,
        12.3,
        True,
    )
    assert datetime.fromisoformat(line["time"]).timestamp() == 1.5
    assert line["time"].endswith("+00:00")
    assert "source" not in line
    (face,) = line["faces"]
    assert face["box"] == [32, 32, 96, 96]  # the model saw half the size
    assert (face["track_id"], face["score"], face["label"], face["label_score"]) == (1, 1, "happy", 0.881)
    assert list(line["stages_ms"]) == [
        "wait",
        "preprocess",
        "detect",
        "postprocess",
        "track",
        "crop",
        "classify",
        "total",
    ]


def test_a_picture_is_named_in_its_line_and_its_faces_have_no_numbers() -> None:
    ((_, record),) = process_frames([Frame(FRAME, 0, 0.0, "a/b.jpg")], FACE, HAPPY)
    line = entry_of(record)
    assert line["source"] == "a/b.jpg" and "track_id" not in line["faces"][0]


def test_stages_add_up_to_the_whole() -> None:
    """The most complete frame of many counts: another process may take the core between two stages."""
    frames = [Frame(FRAME, n, 0.0, captured_monotonic=n / 20) for n in range(20)]
    shares = []
    for _, record in process_frames(frames, FACE, HAPPY):
        parts = sum(ms for stage, ms in record.stages_ms.items() if stage not in ("wait", "total"))
        shares.append(parts / record.stages_ms["total"])
    assert 0.8 < max(shares) <= 1


def looked(pipeline: Pipeline, count: int) -> list[FrameResult]:
    return [pipeline.process(Frame(FRAME, n, n / 20, captured_monotonic=n / 20), StageTimer()) for n in range(count)]


def test_with_every_the_detector_rests_while_a_face_is_followed() -> None:
    found = looked(Pipeline(FACE, HAPPY, detect_interval=3), 12)
    searched = ["detect" in record.stages_ms for record in found]
    assert searched == [True, True] + [False, False, True] * 3 + [False]
    assert [len(record.faces) for record in found[1:]] == [1] * 11


def test_faces_outside_the_zone_do_not_count() -> None:
    assert looked(Pipeline(FACE, HAPPY, [parse_zone("0.5,0 1,1")]), 3)[-1].faces == []
    assert len(looked(Pipeline(FACE, HAPPY, [parse_zone("0,0 0.5,1")]), 3)[-1].faces) == 1
    ((_, alone),) = (
        (0, Pipeline(FACE, HAPPY, [parse_zone("0.5,0 1,1")]).process(Frame(FRAME, 0, 0.0, "a.jpg"), StageTimer())),
    )
    assert alone.faces == []


def test_what_is_found_but_not_followed_is_known_to_those_who_blur() -> None:
    first, second = looked(Pipeline(FACE, HAPPY), 2)
    assert first.ignored_boxes == [(32, 32, 96, 96)] and second.ignored_boxes == []
    outside = looked(Pipeline(FACE, HAPPY, [parse_zone("0.5,0 1,1")]), 2)[-1]
    assert outside.faces == [] and outside.ignored_boxes == [(32, 32, 96, 96)]


def test_a_track_that_moves_out_of_the_frame_is_logged_within_it() -> None:
    pipeline = Pipeline(FACE, HAPPY)
    looked(pipeline, 2)
    pipeline.tracker.tracks[0].display_box = Box(-20, 150, 60, 230)
    pipeline.tracker.tracks[0].velocity = (-100.0, 0.0)
    pipeline.detect_interval = 5
    pipeline.frames_since_detection = 0
    (seen,) = pipeline.process(Frame(FRAME, 2, 0.2, captured_monotonic=0.5), StageTimer()).faces
    assert seen.box.left >= 0 and seen.box.bottom <= 192


def test_boxes_stay_within_the_frame() -> None:
    (face,) = detect(np.zeros((40, 40, 3), np.uint8), FACE)  # fitted: 96 of 128 columns
    assert face.box == pytest.approx((16 / 2.4, 16 / 2.4, 20, 20))
    (face,) = detect(np.zeros((16, 16, 3), np.uint8), FACE)
    assert max(face.box) <= 16


def answering(logits: list[float], **changes: object) -> Model:
    def model(image: Image) -> dict[str, QuantizedTensor]:
        return {"logits": QuantizedTensor(np.array(logits, np.float32))}

    from dataclasses import replace

    return Model(model, replace(SENTIMENT, **changes))  # type: ignore[arg-type]


def test_below_the_threshold_the_answer_is_unsure() -> None:
    answer = classify(FRAME, Box(0, 0, 50, 50), answering([0.1, 0.0]))
    assert answer.label == "unsure"
    assert 0.5 < answer.score < 0.6


def test_a_face_that_is_neither_is_unsure() -> None:
    answer = classify(FRAME, Box(0, 0, 50, 50), answering([1.0, 0.0, 4.0], labels=("happy", "sad", "_other")))
    assert (answer.label, answer.best_index) == ("unsure", 0)


def test_a_temperature_makes_it_less_sure_or_more_but_not_of_another_label() -> None:
    for temperature, label, score in ((1, "happy", 0.731), (2, "unsure", 0.622), (0.5, "happy", 0.881)):
        answer = classify(FRAME, Box(0, 0, 50, 50), answering([1.0, 0.0], temperature=temperature, score_threshold=0.7))
        assert (answer.label, answer.best_index) == (label, 0)
        assert answer.score == pytest.approx(score, abs=1e-3)


def test_softmax_reads_int8_logits_and_leaves_them_as_they_are() -> None:
    logits = QuantizedTensor(np.array([10, -10], np.int8), 0.1, 0)
    real = QuantizedTensor(np.array([1.0, -1.0], np.float32))
    for tensor in (logits, real):
        assert softmax(tensor, 2.0) == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], abs=1e-6)
    assert logits.values.tolist() == [10, -10] and real.values.tolist() == [1, -1]
    scores = softmax(logits)
    assert scores == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))], abs=1e-6)
