from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgekit.device.follow.steady import Steady
from tests.pictures import SENTIMENT


def odds(happy: float) -> NDArray[np.float32]:
    return np.array([happy, 1 - happy], np.float32)


def labels(shares: list[float], fps: float = 20) -> list[str]:
    """What is said of a face whose probability of happy goes through `shares`; the threshold is 0.6."""
    steady = Steady(SENTIMENT)
    return [steady.update(odds(share), number / fps).label for number, share in enumerate(shares)]


def changes(said: list[str]) -> int:
    return sum(a != b for a, b in pairwise(said))


def test_the_first_frame_is_answered_at_once() -> None:
    assert labels([0.9]) == ["happy"]
    assert labels([0.5]) == ["unsure"]


def test_a_face_at_the_threshold_does_not_flap() -> None:
    noise = np.random.default_rng(0).normal(0.6, 0.08, 600).clip(0.01, 0.99).tolist()
    alone = ["happy" if share >= 0.6 else "sad" if share <= 0.4 else "unsure" for share in noise]
    assert changes(alone) > 100
    assert changes(labels(noise)) <= 2


def test_one_odd_frame_changes_nothing() -> None:
    assert set(labels([0.95] * 20 + [0.02] + [0.95] * 20)) == {"happy"}


def test_a_real_change_is_said_within_a_second_and_a_half() -> None:
    said = labels([0.95] * 40 + [0.05] * 40)
    assert said[39] == "happy" and said[40 + 30] == "sad"
    assert changes(said) <= 2


def test_the_score_is_that_of_the_label_that_is_said() -> None:
    steady = Steady(SENTIMENT)
    steady.update(odds(0.9), 0.0)
    answer = steady.update(odds(0.2), 0.05)
    assert answer.label == "happy" and answer.best == 0 and 0.6 < answer.score < 0.9


def test_a_clock_that_stands_still_does_no_harm() -> None:
    steady = Steady(SENTIMENT)
    assert [steady.update(odds(0.9), 5.0).label for _ in range(3)] == ["happy"] * 3
    assert steady.update(odds(0.9), 4.0).label == "happy"


def test_probabilities_of_zero_are_no_trouble() -> None:
    steady = Steady(SENTIMENT)
    steady.update(odds(1.0), 0.0)
    for number in range(1, 60):
        answer = steady.update(odds(0.0), number / 20)
    assert answer.label == "sad" and np.isfinite(answer.score)
