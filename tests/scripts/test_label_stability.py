"""A still face keeps its label, a face that changes gets another; and the script that counts both."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec, SmoothingConfig
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.vision.image import Image, read_image
from tests.support.images import SENTIMENT, save, scene
from tests.support.scripts import SCRIPTS, script

SCRIPT = SCRIPTS / "benchmarks" / "label_stability.py"


@pytest.fixture(scope="module", name="script")
def flicker() -> ModuleType:
    return script("benchmarks/label_stability")


@pytest.fixture(scope="module")
def detector() -> Model:
    return load_on_cpu(MODELS_DIR / "detector.tflite", "detector", threads=1)


def planted(happy: Any) -> Model:
    """A classifier that gives happy(crop), 0..1; the threshold is 0.6."""

    def model(image: Image) -> dict[str, QuantizedTensor]:
        share = happy(image)
        return {"logits": QuantizedTensor(np.log(np.array([share, 1 - share], np.float32)))}

    return Model(model, SENTIMENT)


def with_dwell(spec: ModelSpec, dwell: float) -> ModelSpec:
    return replace(spec, smoothing=replace(spec.smoothing, min_duration=dwell))


def test_a_still_video_of_one_face_gives_one_label(script: ModuleType, detector: Model) -> None:
    classifier = load_on_cpu(MODELS_DIR / "sentiment.tflite", "classifier", threads=1)
    (video,) = script.simulate_videos([(EXAMPLE_IMAGE,)], 10, 10, 0, (detector, classifier))
    assert video[0] is None  # a face is followed from its second sight
    assert {seen.label for seen in video[1:]} == {"happy"}
    assert {seen.track_id for seen in video[1:]} == {1}
    assert len({seen.probabilities.tobytes() for seen in video[1:]}) > 20  # the frames do differ
    assert [seen.label for seen in script.replay(video, classifier.spec)[1:]] == ["happy"] * 99


def test_a_classifier_in_two_minds_flickers_by_itself_and_not_over_time(script: ModuleType, detector: Model) -> None:
    shares = cycle([0.75, 0.57])
    (video,) = script.simulate_videos([(EXAMPLE_IMAGE,)], 8, 10, 0, (detector, planted(lambda crop: next(shares))))
    metrics = script.compute_metrics([video], [], SENTIMENT)
    assert metrics["raw"]["changes_per_minute"] == metrics["raw"]["max"] == pytest.approx(600, rel=0.03)
    assert metrics["raw"]["stable_share"] == 0
    assert metrics["smoothed"] == {"changes_per_minute": 0, "max": 0, "stable_share": 1}
    assert (metrics["miss_rate"], metrics["never_detected"], metrics["id_switches"]) == (pytest.approx(1 / 80), 0, 0)
    nervous = replace(SENTIMENT, smoothing=SmoothingConfig(time_constant=0, hysteresis=0, min_duration=0))
    assert script.compute_metrics([script.replay(video, nervous)], [], nervous)["smoothed"] == metrics["raw"]


def test_a_face_that_changes_is_followed_and_how_late_is_told(
    script: ModuleType, detector: Model, tmp_path: Path
) -> None:
    bright = save(tmp_path / "happy" / "a.jpg", read_image(EXAMPLE_IMAGE))
    dark = save(tmp_path / "sad" / "a.jpg", (read_image(EXAMPLE_IMAGE) * 0.6).astype(np.uint8))
    pairs = script.alternating_pairs([dark, bright], SENTIMENT.reported_labels, 5)
    assert pairs == [(dark, bright)]
    models = detector, planted(lambda crop: 0.9 if crop.mean() > 105 else 0.1)
    videos = script.simulate_videos(pairs, script.SECONDS_BEFORE_CHANGE + script.SECONDS_AFTER_CHANGE, 10, 0, models)
    found = script.label_delays(videos, SENTIMENT)
    assert (found["videos"], found["followed"]) == (1, 1)
    assert 0.4 <= found["median"] == found["max"] <= 1.5
    patient = with_dwell(SENTIMENT, 3.0)
    later = script.label_delays([script.replay(video, patient) for video in videos], patient)
    assert later["median"] == pytest.approx(found["median"] + 3.0 - SENTIMENT.smoothing.min_duration)
    deaf = with_dwell(SENTIMENT, 60.0)
    assert script.label_delays([script.replay(video, deaf) for video in videos], deaf) == {"videos": 1, "followed": 0}


def test_the_same_seed_gives_the_same_frames(script: ModuleType, detector: Model) -> None:
    still = script.make_scene(read_image(EXAMPLE_IMAGE), 90, detector)
    first, again, other = (script.SimulatedCamera(seed, 10) for seed in (0, 0, 1))
    one, two, three = ([camera.capture(still, n).image for n in range(3)] for camera in (first, again, other))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not (one[0] == one[1]).all() and not (one[0] == three[0]).all()
    assert all(image.shape == (240, 320, 3) and 1 < np.abs(one[0] - image.astype(float)).mean() < 20 for image in three)


@pytest.mark.parametrize("side", [20, 90, 300])
def test_a_scene_has_its_face_in_the_middle_at_the_size_that_was_asked(
    script: ModuleType, detector: Model, side: int
) -> None:
    frame = script.SimulatedCamera(0, 10).capture(script.make_scene(read_image(EXAMPLE_IMAGE), side, detector), 0)
    if side < 200:  # else the face is larger than the frame
        (face, *_) = detect(frame.image, detector)
        left, top, right, bottom = face.box
        assert abs(left + right - 320) / 2 < 0.15 * side and abs(top + bottom - 240) / 2 < 0.15 * side
        assert max(right - left, bottom - top) == pytest.approx(side, rel=0.3)
    assert frame.image.shape == (240, 320, 3)


def test_a_picture_without_a_face_is_taken_for_a_crop_of_one(script: ModuleType, detector: Model) -> None:
    stripes = np.zeros((50, 50, 3), np.uint8)
    stripes[:, ::2] = 255  # nothing of the ground, which is blurred, is as bright
    still = script.make_scene(stripes, 100, detector)
    rows, columns = np.nonzero((still > 250).all(axis=2))
    assert np.ptp(rows) == pytest.approx(4 * 128, rel=0.1) and np.ptp(columns) == pytest.approx(4 * 128, rel=0.1)


def run(*words: object, status: int = 0) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_script_speaks_to_programs_and_to_people(tmp_path: Path) -> None:
    found = json.loads(run(EXAMPLE_IMAGE, "--seconds", 3, "--sweep", "--json"))
    assert (found["faces"], found["smoothed"]["stable_share"], found["delay"]) == (1, 1, {"videos": 0, "followed": 0})
    assert found["smoothing"] == vars(SmoothingConfig())
    assert {(row["time_constant"], row["hysteresis"], row["min_duration"]) for row in found["sweep"]} >= {
        (0.6, 0.12, 0.4)
    }
    output = run(EXAMPLE_IMAGE, "--seconds", 3)
    assert "1 still faces, 3 s each at 10 fps" in output and "smoothed over time" in output
    assert "no images in" in run(tmp_path, status=1)
    save(tmp_path / "a.png", scene(0))
    assert "no face was detected" in run(tmp_path, "--seconds", 2, status=1)
