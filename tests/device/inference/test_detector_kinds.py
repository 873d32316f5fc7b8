"""Detectors of several labels: what the board makes of their outputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.camera import Frame
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_choice import find_classifier, use_preset
from pocketsight.device.inference.shipped import CLASSIFIER, NO_MODEL
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.tracking.tracker import Tracker
from pocketsight.device.vision.boxes import Box
from tests.support.images import DETECTOR, FACE, HAPPY
from tests.support.kinds import TWO_KINDS, detector_of

FRAME = np.zeros((96, 128, 3), np.uint8)
STOP, GO = ((16.0, 16.0, 48.0, 48.0), "stop", 0.9), ((70.0, 40.0, 110.0, 80.0), "go", 0.7)


def test_each_detection_has_its_label_and_its_own_threshold() -> None:
    found = detect(FRAME, detector_of([STOP, GO]))
    assert [(each.label, round(each.score, 3)) for each in found] == [("stop", 0.9), ("go", 0.7)]
    strict = detector_of([STOP, GO], thresholds={"go": 0.8, "stop": 0.5})
    assert [each.label for each in detect(FRAME, strict)] == ["stop"]
    assert len(detect(FRAME, strict, score_threshold=0.02)) == 2


def test_objects_of_two_labels_in_one_place_are_both_reported() -> None:
    twice = [STOP, ((17.0, 17.0, 47.0, 47.0), "go", 0.8)]
    assert sorted(each.label for each in detect(FRAME, detector_of(twice))) == ["go", "stop"]


def test_without_a_classifier_the_label_is_that_of_the_detector() -> None:
    pipeline = Pipeline(detector_of([STOP, GO]))
    assert pipeline.labels == ("go", "stop")
    for n in range(3):
        record = pipeline(Frame(FRAME, n, 0.0, captured_monotonic=n / 10))
    assert [(f.object, f.label, round(f.label_score, 2), f.track_id) for f in record.faces] == [
        ("stop", "stop", 0.9, 1),
        ("go", "go", 0.7, 2),
    ]
    still = pipeline(Frame(FRAME, 0, 0.0, "a.png"))
    assert [(f.object, f.label) for f in still.faces] == [("stop", "stop"), ("go", "go")]


def test_a_classifier_is_for_the_labels_that_it_is_told() -> None:
    pipeline = Pipeline(detector_of([STOP, GO]), HAPPY, classify=("stop",))
    assert pipeline.labels == ("happy", "sad", "go")
    labels = {face.object: face.label for face in pipeline(Frame(FRAME, 0, 0.0, "a.png")).faces}
    assert labels == {"stop": "happy", "go": "go"}
    assert {f.label for f in Pipeline(detector_of([STOP, GO]), HAPPY)(Frame(FRAME, 0, 0.0, "a.png")).faces} == {"happy"}


def test_tracks_do_not_change_their_label() -> None:
    tracker = Tracker()
    for n in range(10):  # the two swap their places in one step
        left, right = ("a", "b") if n < 5 else ("b", "a")
        found = [Detection(Box(0, 0, 40, 40), 0.9, left), Detection(Box(20, 0, 60, 40), 0.8, right)]
        tracks = tracker.update(found, n / 10, n / 10)
        assert all(track.label == {True: left, False: right}[track.box.left < 10] for track in tracks)
    assert {track.id: track.label for track in tracks} == {1: "a", 2: "b"}


def test_the_shipped_classifier_is_for_faces_only() -> None:
    assert find_classifier(None, DETECTOR) == CLASSIFIER
    assert find_classifier(None, TWO_KINDS) is None
    assert find_classifier(None, replace(TWO_KINDS, labels=("dog", "face"))) == CLASSIFIER
    assert find_classifier(NO_MODEL, DETECTOR) is None
    assert find_classifier(Path("a.tflite"), TWO_KINDS) == Path("a.tflite")


def test_a_manifest_of_several_labels_comes_back_and_one_of_one_label_is_as_before() -> None:
    several = TWO_KINDS.with_thresholds({"go": 0.6, "stop": 0.4})
    assert several.score_threshold == 0.4 and several.label_thresholds == (0.6, 0.4)
    assert ModelSpec.from_json(several.to_json(), Path()) == several
    one = DETECTOR.with_thresholds({"face": 0.3})
    assert one.score_threshold == 0.3 and one.thresholds == {}
    assert not {"thresholds", "presets", "classifies"} & set(one.to_dict())
    assert "classifies" not in HAPPY.spec.to_dict() and HAPPY.spec.classifies == ("face",)


@pytest.mark.parametrize("bad", [{"go": 0.5}, {"go": 0.5, "stop": 2}, {"go": 0.5, "stop": True}])
def test_thresholds_that_are_not_those_of_the_labels_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="thresholds"):
        ModelSpec.from_json(replace(TWO_KINDS, thresholds=bad).to_json(), Path("m.tflite"))


def test_a_preset_sets_the_thresholds_and_a_file_without_it_says_what_to_do() -> None:
    spec = replace(TWO_KINDS, presets={"precise": {"go": 0.9, "stop": 0.8}})
    assert use_preset(spec, "precise", Path()).label_thresholds == (0.9, 0.8)
    with pytest.raises(ModelError, match=r"m\.tflite has no threshold 'sensitive'; export"):
        use_preset(spec, "sensitive", Path("m.tflite"))


def test_a_detector_of_one_label_goes_the_way_it_always_went() -> None:
    (found,) = detect(FRAME, FACE)
    assert found.label == "face" and found.box == (16, 16, 48, 48) and found.score == 1.0
