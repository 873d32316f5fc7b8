"""Which frames are worth labeling."""

from __future__ import annotations

import numpy as np

from pocketsight.device.inference.classifier import UNSURE, Classification
from pocketsight.device.results import FaceResult, FrameResult, LogEntry
from pocketsight.device.sinks.collect_reasons import PLACE_INTERVAL, REASON_INTERVAL, ReasonFinder
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from tests.support.images import scene

BOX = Box(60, 40, 100, 90)
DOUBTS = "unsure", "flapping", "low-score"
DARK = np.zeros((120, 160, 3), np.uint8)


def finder(*wanted: str) -> ReasonFinder:
    return ReasonFinder(wanted, lambda: {"face": 0.5})


def frame(now: float, *faces: tuple[int | None, float, str], source: str | None = None) -> FrameResult:
    """A frame at `now` with the track, the score and the label of each face."""
    found = [FaceResult(BOX, score, Classification(label, 0.5, 0), track) for track, score, label in faces]
    return FrameResult(1_790_000_000 + now, now, 0, source, found, {})


def event(name: str, track: int = 1, box: Box = BOX) -> LogEntry:
    return {"kind": "face", "event": name, "track_id": track, "box": list(box), "label": "x"}


def test_an_unsure_face_is_a_reason_once_and_not_too_often() -> None:
    reasons = finder(*DOUBTS)
    assert reasons.find(DARK, frame(0, (1, 0.9, "happy"))) == []
    assert reasons.find(DARK, frame(1, (1, 0.9, UNSURE))) == ["unsure"]
    assert reasons.find(DARK, frame(2 + REASON_INTERVAL, (1, 0.9, UNSURE))) == []  # the same face
    assert reasons.find(DARK, frame(3 + REASON_INTERVAL, (1, 0.9, UNSURE), (2, 0.9, UNSURE))) == ["unsure"]
    assert reasons.find(DARK, frame(4 + REASON_INTERVAL, (3, 0.9, UNSURE))) == []  # too soon


def test_a_score_near_the_threshold_is_a_reason() -> None:
    reasons = finder("low-score")
    assert reasons.find(DARK, frame(0, (1, 0.61, UNSURE))) == []
    assert reasons.find(DARK, frame(0, (1, 0.59, UNSURE))) == ["low-score"]


def test_a_label_that_goes_to_and_fro_flaps() -> None:
    reasons = finder(*DOUBTS)
    for now, expected in ((0, []), (5, []), (10, ["flapping"])):
        reasons.add_event(event("changed"), now)
        assert reasons.find(DARK, frame(now, (1, 0.9, "happy"))) == expected
    reasons = finder(*DOUBTS)
    for now in (0, 20, 40, 60):  # slow changes are what labels are for
        reasons.add_event(event("changed"), now)
        assert reasons.find(DARK, frame(now, (1, 0.9, "happy"))) == []


def test_an_object_that_the_detector_loses_and_finds_again_flaps() -> None:
    reasons = finder("flapping")
    reasons.add_event(event("left"), 10)
    reasons.add_event(event("appeared", 2, Box(0, 0, 20, 20)), 12)
    assert reasons.find(DARK, frame(12, (2, 0.9, "happy"))) == []  # elsewhere
    reasons.add_event(event("appeared", 3), 13)
    assert reasons.find(DARK, frame(13, (3, 0.9, "happy"))) == ["flapping"]
    reasons.add_event(event("appeared", 4), 30)
    assert reasons.find(DARK, frame(30, (4, 0.9, "happy"))) == []  # somebody else, later


def test_a_camera_that_was_moved_sees_a_new_place_when_it_rests() -> None:
    def kept(views: list[Image]) -> list[int]:
        reasons = finder("new-place")
        return [n for n, view in enumerate(views) if reasons.find(view, frame(n * (PLACE_INTERVAL + 1)))]

    here, there, passing = scene(1), scene(2), scene(3)
    lighter = np.clip(here.astype(int) + 40, 0, 255).astype(np.uint8)
    person = here.copy()
    person[40:110, 60:90] = 90
    assert kept([here, here, lighter, person, passing, here, there, there, here, there]) == [1, 7]


def test_images_that_are_unrelated_are_judged_alone() -> None:
    reasons = finder(*DOUBTS, "new-place")
    for n in range(3):
        unsure = frame(0, (None, 0.55, UNSURE), source=f"{n}.jpg")
        assert reasons.find(scene(n), unsure) == ["unsure", "low-score", "new-place"]


def test_only_the_reasons_that_are_wanted_count() -> None:
    reasons = finder("flapping")
    assert reasons.find(scene(1), frame(0, (1, 0.5, UNSURE), source="a.jpg")) == []
