import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.inference.detector import Detection
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.boxes import Box, Boxes, coverage_matrix, iou_matrix
from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample
from pocketsight.train.evaluation import detector
from pocketsight.train.evaluation.classifier import (
    Outcomes,
    Prediction,
    compare_with_truth,
    evaluate_classifier,
    rates_at_thresholds,
)
from pocketsight.train.evaluation.detector import (
    compute_detector_metrics,
    evaluate_detector,
    match_scores,
    run_detector,
)
from pocketsight.train.evaluation.matching import ImageResult, partition_detections
from pocketsight.train.evaluation.metrics import average_precision, calibration_error
from pocketsight.train.evaluation.threshold_choice import best_f1_threshold, default_threshold
from tests.support.images import FACE, SENTIMENT, picture
from tests.support.planted_faces import looked, seen, square


def box(*sides: float) -> Boxes:
    return np.array(sides, np.float32)


def test_iou_and_inside() -> None:
    one = box(0, 0, 10, 10)[None]
    assert iou_matrix(one, box(5, 0, 15, 10)[None])[0, 0] == pytest.approx(1 / 3)
    assert iou_matrix(one, box(20, 20, 30, 30)[None])[0, 0] == 0
    assert coverage_matrix(one, box(5, 0, 100, 100)[None])[0, 0] == 0.5


def test_the_best_hundred_detections_count_and_more_in_a_crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png", (96, 128))
    many = [Detection(Box(n, 0, n + 20.0, 20), 1 - n / 400, "face") for n in range(300)]
    monkeypatch.setattr(detector, "detect", lambda *_, **__: many)
    for faces, kept in ((1, 100), (40, 120)):
        boxes = np.repeat(box(16, 16, 48, 48)[None], faces, axis=0)
        [image] = run_detector(FACE, [DetectionSample(path, boxes)], (96, 128)).images
        assert [found.score for found in image.detections] == pytest.approx([1 - n / 400 for n in range(kept)])


def test_a_detector_that_is_right_scores_one_and_a_second_face_halves_it(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (96, 128))
    right = box(16, 16, 48, 48)[None]  # what the fake finds in every picture
    both = np.concatenate([right, right + 60])
    frame = (96, 128)
    assert evaluate_detector(FACE, [DetectionSample(path, right)], frame)["ap50"] == 1
    found = evaluate_detector(FACE, [DetectionSample(path, both)], frame)
    assert found["ap50"] == pytest.approx(0.5, abs=0.01)
    assert (found["precision"], found["recall"], found["faces"]) == (1, 0.5, 2)
    wrong = evaluate_detector(FACE, [DetectionSample(path, right + 60)], frame)
    assert (wrong["ap50"], wrong["precision"], wrong["recall"]) == (0, 0, 0)


def test_what_is_ignored_or_too_small_neither_helps_nor_hurts(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (96, 128))
    face, other = box(16, 16, 48, 48)[None], box(70, 50, 110, 90)[None]
    ignoring = evaluate_detector(FACE, [DetectionSample(path, other, face)], (96, 128))
    assert (ignoring["faces"], ignoring["precision"], ignoring["recall"]) == (1, 0, 0)
    assert ignoring["ap50"] == 0
    small = evaluate_detector(FACE, [DetectionSample(path, np.concatenate([face, other]))], (96, 128), min_face_size=35)
    assert small["faces"] == 1  # 32 px do not count, 40 do


def test_pictures_are_fitted_to_the_frame_before_detection(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (192, 256))
    assert evaluate_detector(FACE, [DetectionSample(path, box(32, 32, 96, 96)[None])], (96, 128))["ap50"] == 1


def test_a_face_is_found_once() -> None:
    faces = [Detection(Box(0, 0, 10, 10), 0.9), Detection(Box(0, 0, 10, 11), 0.8), Detection(Box(50, 50, 60, 60), 0.7)]
    seen = ImageResult(Path(), box(0, 0, 10, 10)[None], NO_BOXES, faces)
    right, wrong, missed = partition_detections(seen, 0.5)
    assert (len(right), len(wrong), missed) == (1, 2, [])
    assert partition_detections(seen, 0.95)[2] == [0]


def test_the_best_detection_chooses_first_and_an_ignored_region_only_takes_what_is_left() -> None:
    faces = [Detection(Box(0, 0, 10, 10), 0.9), Detection(Box(0, 0, 10, 9), 0.8), Detection(Box(50, 50, 60, 60), 0.7)]
    crowd = box(0, 0, 30, 30)[None]
    one = ImageResult(Path(), box(0, 0, 10, 10)[None], crowd, faces)
    assert [len(some) for some in partition_detections(one, 0.5)] == [1, 1, 0]  # the second one is in the crowd


def test_average_precision_is_that_of_pycocotools() -> None:
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(40):
        faces = [square(80 * n, 10 * n, 60) for n in range(3)]
        right = [(square(80 * n + rng.uniform(-15, 15), 10 * n, 60), rng.uniform(0.02, 1)) for n in range(3)]
        wrong = [(square(80 * n, 150, 60), rng.uniform(0.02, 0.8)) for n in range(3)]
        pictures.append(seen(faces, right + wrong))
    all_of = looked(pictures)
    whole = compute_detector_metrics(all_of, 0.5)
    assert 0.3 < whole["ap50"] < 0.95
    assert average_precision(match_scores(all_of.faces), match_scores(all_of.false_positives)) == pytest.approx(
        whole["ap50"], abs=1e-4
    )


def test_equal_scores_stand_or_fall_together() -> None:
    assert average_precision(np.array([0.5]), np.array([0.5])) == 0.5
    assert average_precision(np.array([0.5, 0]), np.array([0.4])) == pytest.approx(0.5, abs=0.01)
    assert average_precision(np.array([0.5]), np.array([0.9, 0.9]), false_positive_weight=0.5) == 0.5
    assert average_precision(np.array([0.0]), np.array([])) == 0


def test_what_other_thresholds_would_give() -> None:
    a, b = square(10, 10, 40), square(100, 10, 40)
    one = looked([seen([a, b], [(a, 0.9), (b, 0.3), (square(200, 10, 40), 0.6)]), seen([], [])])
    found = compute_detector_metrics(one, 0.5)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    table = {t: n for n, t in enumerate(found["tradeoff"]["threshold"])}
    at = {
        t: [found["tradeoff"][key][table[t]] for key in ("precision", "recall", "false_positives_per_image")]
        for t in (0.3, 0.61)
    }
    assert at[0.3] == [pytest.approx(2 / 3, abs=1e-4), 1, 0.5]
    assert at[0.61] == [1, 0.5, 0]


def test_a_picture_is_looked_at_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def counting(image: Image) -> Mapping[str, QuantizedTensor]:
        calls.append(1)
        return FACE.infer(image)

    examples = [DetectionSample(picture(tmp_path / f"{n}.png", (96, 128)), box(16, 16, 48, 48)[None]) for n in range(3)]
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    found = run_detector(replace(FACE, infer=counting), [*examples, DetectionSample(broken, NO_BOXES)], (96, 128))
    assert (len(calls), len(found.images), len(found.faces), len(found.skipped)) == (3, 3, 3, 1)


def test_results_keep_no_pixels(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (96, 128))
    sample = DetectionSample(path, box(16, 16, 48, 48)[None])
    run_detector(FACE, [sample], (96, 128))  # caches of the libraries
    tracemalloc.start()
    try:
        found = run_detector(FACE, [sample] * 20, (96, 128))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.images) == 20 and kept / 20 < 5_000  # bytes; a frame alone has 36,864


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.3], 0.65),  # at most 0.05 below the score that it reaches
        ([0.9, 0.8, 0.7], [0.68], 0.69),  # halfway
        ([0.7, 0.0], [], 0.65),
        ([0.0], [], 0.5),
    ],
)
def test_the_threshold_with_the_best_f1_is_off_the_edge(
    right: list[float], wrong: list[float], expected: float
) -> None:
    assert best_f1_threshold(np.array(right), np.array(wrong)) == expected


def classifier(answers: dict[int, int]) -> Model:
    """Answers by the grey level of a picture; a level that is not listed leaves it unsure."""

    def model(image: Image) -> dict[str, QuantizedTensor]:
        logits = np.zeros(2, np.float32)
        if (level := int(image[24, 24, 0])) in answers:
            logits[answers[level]] = 5
        return {"logits": QuantizedTensor(logits)}

    return Model(model, replace(SENTIMENT, crop_margin=0.0))


def grey(folder: Path, level: int, label: int, voted: int = -1) -> ClassificationSample:
    path = folder / f"{level}-{label}.png"
    cv2.imwrite(str(path), np.full((48, 48, 3), level, np.uint8))
    return ClassificationSample(path, label, (0.5, 0.5), voted)


def test_scores_of_a_classifier_count_what_they_say(tmp_path: Path) -> None:
    portraits = [
        grey(tmp_path, 10, 0),
        grey(tmp_path, 20, 0),
        grey(tmp_path, 30, 1),
        grey(tmp_path, 40, 1),
        grey(tmp_path, 50, -1),
    ]
    found = evaluate_classifier(classifier({10: 0, 20: 1, 30: 1, 50: 0}), portraits)
    assert found["confusion"] == [[1, 1], [1, 1]]  # 40 is unsure, and its most likely label is the first
    assert found["accuracy"] == found["balanced_accuracy"] == 0.5
    assert found["unsure_rate"] == 0.25
    assert found["labeled_accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert (found["rejects"], found["reject_label_rate"]) == (1, 1)


def test_the_voters_decide_when_asked(tmp_path: Path) -> None:
    portraits = [grey(tmp_path, 10, 0, voted=1), grey(tmp_path, 20, 0, voted=-1)]
    found = evaluate_classifier(classifier({10: 1, 20: 0}), portraits, use_soft_labels=True)
    assert (found["images"], found["accuracy"], found["rejects"]) == (1, 1, 0)  # the other had no clear vote


def test_the_default_threshold_is_where_wrong_labels_begin() -> None:
    def named(label: int, best: int, score: float) -> Prediction:
        return Prediction(ClassificationSample(Path(), label, (0.5, 0.5)), Classification("", score, best))

    sure = [named(0, 0, 0.9)] * 10
    assert default_threshold(compare_with_truth([*sure, *[named(0, 1, 0.6)] * 5], 2)) == pytest.approx(0.61)
    assert default_threshold(compare_with_truth([*sure, *[named(-1, 0, 0.7)] * 5], 2)) == pytest.approx(0.71)
    assert default_threshold(compare_with_truth(sure, 2)) == pytest.approx(0.3)


def judged(rows: list[tuple[int, int, float]]) -> Outcomes:
    """(truth, answer, score); -1 for a face that is none of the two classes."""
    return compare_with_truth(
        [
            Prediction(ClassificationSample(Path("x/a.png"), a, (0.5, 0.5)), Classification("", s, b))
            for a, b, s in rows
        ],
        2,
    )


def test_the_trade_off_of_a_classifier() -> None:
    faces = judged([(0, 0, 0.9), (0, 1, 0.6), (1, 1, 0.4), (1, 1, 0.8), (-1, 0, 0.7), (-1, 0, 0.2)])
    found = {key: values.tolist() for key, values in rates_at_thresholds(faces, np.array([0.3, 0.6, 0.85])).items()}
    assert found == {"label_rate": [1, 0.75, 0.25], "error_rate": [0.25, 0.25, 0], "reject_label_rate": [0.5, 0.5, 0]}


def test_calibration_is_the_gap_between_score_and_share_of_right_answers() -> None:
    right = np.array([True, True, False, False])
    assert calibration_error(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0
    assert calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), right) == pytest.approx(0.4)
    assert calibration_error(np.array([1.0, 1.0, 0.0, 0.0]), right) == 0
    assert calibration_error(np.array([0.8, 0.8, 0.2, 0.2]), right) == pytest.approx(0.2)  # 15 bins keep them apart
