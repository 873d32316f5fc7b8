"""Thresholds by name, chosen on the exported file."""

from dataclasses import replace

import numpy as np

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.shipped import PRESETS
from pocketsight.export.detector_presets import choose_presets, lowest_threshold
from tests.support.images import DETECTOR
from tests.support.planted_faces import looked, seen, square


def test_the_lowest_threshold_that_has_the_precision_is_taken_or_the_nearest() -> None:
    right, wrong = np.array([0.9, 0.8, 0.6, 0.0]), np.array([0.7, 0.3])
    assert lowest_threshold(right, wrong, 0.97) == (0.8, 1.0)
    assert lowest_threshold(right, wrong, 0.7) == (0.6, 0.75)
    threshold, precision = lowest_threshold(np.array([0.5]), np.array([0.9]), 0.97)
    assert (threshold, precision) == (0.5, 0.5)
    assert lowest_threshold(np.array([0.0]), np.array([]), 0.97)[1] == 0.0


def test_presets_are_ordered_and_what_cannot_be_reached_is_said() -> None:
    face = square(100, 100, 40)
    images = [seen([face], [(face, 0.4 + n / 50), (square(10, 10, 30), n / 30)]) for n in range(20)]
    presets, notes = choose_presets(looked(images), {"face": 0.5})
    assert list(presets) == list(PRESETS)
    assert presets["precise"]["face"] >= presets["balanced"]["face"] >= presets["sensitive"]["face"]
    assert ModelSpec.from_json(replace(DETECTOR, presets=presets).to_json(), None).presets == presets  # type: ignore[arg-type]
    assert not notes
    hopeless = [seen([face], [(face, 0.2), (square(10, 10, 30), 0.9)])] * 3
    assert "the highest precision for face is 0.500, not 0.97" in choose_presets(looked(hopeless), {"face": 0.5})[1][0]


def test_a_label_that_the_images_lack_keeps_its_threshold() -> None:
    results = replace(looked([seen([], [(square(10, 10, 30), 0.9)])]), labels=("go",))
    presets, notes = choose_presets(results, {"go": 0.37})
    assert all(preset == {"go": 0.37} for preset in presets.values()) and "the images have no go" in notes[0]
