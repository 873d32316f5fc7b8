from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.classifier import to_classification
from pocketsight.device.inference.manifest import SmoothingConfig
from pocketsight.device.tracking.smoother import LabelSmoother
from tests.support.images import SENTIMENT


def odds(happy: float) -> NDArray[np.float32]:
    return np.array([happy, 1 - happy], np.float32)


def labels(shares: list[float], fps: float = 20, steadiness: SmoothingConfig = SENTIMENT.smoothing) -> list[str]:
    """What is said of a face whose probability of happy goes through `shares`; the threshold is 0.6."""
    steady = LabelSmoother(replace(SENTIMENT, smoothing=steadiness))
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
    steady = LabelSmoother(SENTIMENT)
    steady.update(odds(0.9), 0.0)
    answer = steady.update(odds(0.2), 0.05)
    assert answer.label == "happy" and answer.best_index == 0 and 0.6 < answer.score < 0.9


def test_a_clock_that_stands_still_does_no_harm() -> None:
    steady = LabelSmoother(SENTIMENT)
    assert [steady.update(odds(0.9), 5.0).label for _ in range(3)] == ["happy"] * 3
    assert steady.update(odds(0.9), 4.0).label == "happy"


def test_probabilities_of_zero_are_no_trouble() -> None:
    steady = LabelSmoother(SENTIMENT)
    steady.update(odds(1.0), 0.0)
    for number in range(1, 60):
        answer = steady.update(odds(0.0), number / 20)
    assert answer.label == "sad" and np.isfinite(answer.score)


def test_without_memory_slack_and_dwell_each_frame_is_named_by_itself() -> None:
    shares = np.random.default_rng(1).uniform(0.05, 0.95, 200).round(3).tolist()
    alone = [to_classification(odds(share), SENTIMENT).label for share in shares]
    assert len(set(alone)) == 3
    assert labels(shares, steadiness=SmoothingConfig(time_constant=0, hysteresis=0, min_duration=0)) == alone


def test_a_label_is_said_after_its_dwell() -> None:
    for dwell in (0.25, 0.5, 2.0):
        said = labels([0.95] * 10 + [0.05] * 60, 20, SmoothingConfig(time_constant=0, hysteresis=0, min_duration=dwell))
        assert said.index("sad") == 10 + dwell * 20


def test_a_label_is_kept_within_its_slack() -> None:
    def falls_to(share: float, slack: float) -> str:
        return labels([0.9] * 5 + [share] * 40, 20, SmoothingConfig(time_constant=0, hysteresis=slack, min_duration=0))[
            -1
        ]

    assert (falls_to(0.55, 0.0), falls_to(0.55, 0.04), falls_to(0.55, 0.06)) == ("unsure", "unsure", "happy")


def test_a_longer_memory_follows_later() -> None:
    at = [
        labels(
            [0.95] * 20 + [0.05] * 200, 20, SmoothingConfig(time_constant=memory, hysteresis=0, min_duration=0)
        ).index("sad")
        for memory in (0.3, 1.0, 3.0)
    ]
    assert 20 < at[0] < at[1] < at[2]
    assert at[2] - 20 > 4 * (at[0] - 20)


def test_two_labels_above_a_low_threshold_do_not_take_turns() -> None:
    low = replace(SENTIMENT, score_threshold=0.4)
    noise = np.random.default_rng(2).normal(0.5, 0.03, 600).tolist()

    def said(steadiness: SmoothingConfig) -> list[str]:
        steady = LabelSmoother(replace(low, smoothing=steadiness))
        return [steady.update(odds(share), number / 20).label for number, share in enumerate(noise)]

    assert changes(said(SmoothingConfig(time_constant=0.1, hysteresis=0, min_duration=0))) > 50
    assert changes(said(SmoothingConfig(time_constant=0.1, hysteresis=0.12, min_duration=0))) == 0
