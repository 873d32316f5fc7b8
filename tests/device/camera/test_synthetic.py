"""The drawn camera must be one for everything behind it: for the shipped models above all."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from pocketsight.device.camera import Camera, open_camera
from pocketsight.device.camera.synthetic import AWAY_BETWEEN, CYCLE_SECONDS, SyntheticScene
from pocketsight.device.inference.classifier import classify
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.vision.boxes import Box
from tests.support import ROOT

MODELS = ROOT / "models"
SIZE = 480, 640


def near(a: Box, b: Box) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) < 0.3 * (b.bottom - b.top)


@pytest.mark.parametrize("size", [(480, 640), (240, 320), (720, 1280)])
def test_the_shipped_models_find_and_name_the_drawn_people(size: tuple[int, int]) -> None:
    detector, sentiment = (
        load_on_cpu(MODELS / "detector.tflite", threads=1),
        load_on_cpu(MODELS / "sentiment.tflite", threads=1),
    )
    stage, named = SyntheticScene(size), Counter[str]()
    for number in range(0, 600, 20):
        image, people = stage.draw(number), stage.place_people(number / 30)
        faces = detect(image, detector)
        for person in people:
            if person.top + stage.portrait_size > size[0]:  # on the way out
                continue
            (face,) = (face for face in faces if near(face.box, person.box))
            named[f"{person.expression} {classify(image, face.box, sentiment).label}"] += 1
        if all(person.top + stage.portrait_size <= size[0] for person in people):
            assert len(faces) == len(people)  # and nothing else
    assert named["happy happy"] >= 15 and named["sad sad"] >= 20
    assert not named["happy sad"] and not named["sad happy"] and sum(named.values()) > 45


def test_what_a_frame_shows_depends_on_its_number_and_the_seed_alone() -> None:
    one, same, other = SyntheticScene(SIZE), SyntheticScene(SIZE), SyntheticScene(SIZE, seed=1)
    same.draw(3)
    assert np.array_equal(one.draw(40), same.draw(40))
    assert not np.array_equal(one.draw(40), other.draw(40))
    assert not np.array_equal(one.draw(40), one.draw(41))


def test_people_move_turn_sad_and_go_away_and_the_story_begins_again() -> None:
    stage = SyntheticScene(SIZE)
    there = {second: stage.place_people(second) for second in range(int(CYCLE_SECONDS))}
    assert {len(people) for people in there.values()} == {1, 2}
    assert len(there[round(sum(AWAY_BETWEEN) / 2)]) == 1
    assert {people[0].expression for people in there.values()} == {"happy", "sad"}
    assert len({(people[0].left, people[0].top) for people in there.values()}) > 15
    assert [p.expression for p in stage.place_people(CYCLE_SECONDS + 2)] == [
        p.expression for p in stage.place_people(2)
    ]


def seen(source: str, seconds: float) -> tuple[Camera, list[int]]:
    """The numbers of the frames that came, and the camera."""
    numbers = []
    with open_camera(source, SIZE, threading.Event()) as camera:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (frame := camera.read(0.1)) is not None:
                numbers.append(frame.index)
                assert time.monotonic() - frame.captured_monotonic < 5
    return camera, numbers


def test_it_is_a_live_camera_at_its_rate() -> None:
    camera, numbers = seen("synthetic:64x48@20", 2)
    assert camera.live and camera.fps == 20 and 5 < len(numbers) < 60
    assert camera.has_timestamps


def test_fast_waits_for_nothing_and_loses_nothing() -> None:
    for source in ("synthetic:fast", "synthetic:320x240@fast"):
        camera, numbers = seen(source, 1)
        assert not camera.live and camera.dropped == 0 and not camera.ended
        assert numbers == list(range(len(numbers))) and len(numbers) > 31


@pytest.mark.parametrize("source", ["synthetic:320x240@15", "synthetic:320x240", "synthetic@15", "synthetic"])
def test_size_and_rate_may_be_named(source: str) -> None:
    stop = threading.Event()
    with open_camera(source, SIZE, stop, reconnect=True) as camera:
        frame = next(iter(camera))
        assert frame.image.shape == ((240, 320, 3) if "320" in source else (480, 640, 3))
        assert camera.fps == (15 if "15" in source else 30)
