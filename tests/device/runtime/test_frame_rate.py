"""How often frames are looked at, by an injected clock."""

import threading

import numpy as np
import pytest

from pocketsight.device.runtime import frame_rate as module
from pocketsight.device.runtime.frame_rate import FrameThrottle
from pocketsight.device.tracking.motion import MotionDetector
from pocketsight.device.vision.image import Image

EMPTY = np.full((240, 320, 3), 90, np.uint8)


def noisy(seed: int, level: float = 4) -> Image:
    return np.clip(EMPTY + np.random.default_rng(seed).normal(0, level, EMPTY.shape), 0, 255).astype(np.uint8)


class Clock:
    """Stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Sleeper(threading.Event):
    """A stop that is never set; waiting moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def taken(pace: FrameThrottle, clock: Clock, seconds: float, look: float = 0.001) -> int:
    """Frames that a camera of 30 frames a second gives within so many seconds, each looked at for `look`."""
    stop, count, end, frame = Sleeper(clock), 0, clock.now + seconds, clock.now
    while clock.now < end:
        if pace.wait(stop):
            frame = max(frame + 1 / 30, clock.now)  # the newest, or the next that comes
            clock.now = frame + look
            pace.record(look)
            count += 1
    return count


def test_every_frame_is_taken_unless_asked_otherwise(clock: Clock) -> None:
    assert taken(FrameThrottle(None, 0), clock, 10) == pytest.approx(300, abs=10)


@pytest.mark.parametrize("fps", [0.5, 5, 12])
def test_the_asked_rate_is_kept(clock: Clock, fps: float) -> None:
    assert taken(FrameThrottle(fps, 0), clock, 20) == pytest.approx(20 * fps, abs=2)


@pytest.mark.parametrize("look", [0.05, 0.15])
def test_a_hot_board_works_for_the_share_of_the_time_that_it_may(clock: Clock, look: float) -> None:
    """Also where looking takes longer than a frame of the camera."""
    pace = FrameThrottle(None, 0)
    pace.duty = 0.25
    assert taken(pace, clock, 60, look) * look / 60 == pytest.approx(0.25, abs=0.05)
    pace.fps = 1
    assert taken(pace, clock, 20, look) == pytest.approx(20, abs=2)


def test_a_pause_is_not_made_up_for(clock: Clock) -> None:
    pace = FrameThrottle(5, 0)
    taken(pace, clock, 2)
    clock.now += 60
    assert taken(pace, clock, 1) <= 7


def test_an_empty_room_is_looked_at_seldom_and_a_movement_at_once(clock: Clock) -> None:
    pace = FrameThrottle(None, 2)
    looked = []
    for number in range(30 * 30):
        clock.now += 1 / 30
        if not pace.should_skip(noisy(number), has_faces=False):
            looked.append(clock.now)
    assert len([t for t in looked if t <= 110]) > 290  # ten seconds of full attention
    assert len([t for t in looked if t > 111]) == pytest.approx(2 * 19, abs=3)
    assert pace.is_idle
    moved = noisy(0)
    moved[60:160, 100:200] = 200
    clock.now += 1 / 30
    assert not pace.should_skip(moved, has_faces=False) and not pace.is_idle


def test_a_still_face_keeps_it_awake(clock: Clock) -> None:
    pace = FrameThrottle(None, 1)
    rests = []
    for _ in range(600):
        clock.now += 1 / 30
        rests.append(pace.should_skip(EMPTY, has_faces=True))
    assert not any(rests)


def test_noise_and_dusk_are_no_movement_and_a_small_face_is() -> None:
    movement = MotionDetector()
    assert movement.update(EMPTY)
    assert not any(movement.update(noisy(n, 8)) for n in range(50))
    dusk = MotionDetector()
    dusk.update(EMPTY)
    assert not any(dusk.update(np.full_like(EMPTY, 90 - n // 3)) for n in range(200))
    small = EMPTY.copy()
    small[100:140, 100:140] = 160
    assert movement.update(small)


def test_the_noise_of_a_cheap_camera_at_night_is_no_movement() -> None:
    movement = MotionDetector()
    assert sum(movement.update(noisy(n, 11)) for n in range(60)) == 1  # the first


def test_rest_ends_when_it_is_no_more_asked_for(clock: Clock) -> None:
    pace = FrameThrottle(None, 2)
    for number in range(500):
        clock.now += 1 / 30
        pace.should_skip(noisy(number), has_faces=False)
    assert pace.is_idle
    pace.idle_fps = 0
    assert not pace.should_skip(noisy(1), has_faces=False) and not pace.is_idle


def test_a_frame_of_another_size_counts_as_movement() -> None:
    movement = MotionDetector()
    movement.update(EMPTY)
    assert movement.update(np.full((100, 100, 3), 90, np.uint8))
