"""Metrics of a detector of several labels, on detections and boxes that are known."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import write_jpeg
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation import detector, evaluate
from pocketsight.train.evaluation.confusion import confusion_matrix
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.formatting import format_scores
from pocketsight.train.evaluation.threshold_choice import choose_by_label, parse_target, write_threshold
from tests.support.kinds import LABELS, TWO_KINDS, detector_of

SIDE = 24.0


@pytest.fixture(scope="module")
def images() -> list[tuple[list[tuple[Box, int]], list[Detection]]]:
    """For each image the objects with their kinds, and detections: some moved, some missed, some of the other label."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(40):
        truth, found = [], []
        for column in range(4):
            left, top = 30 * column + 2.0, rng.uniform(0, 60)
            kind = int(rng.integers(2))
            truth.append((Box(left, top, left + SIDE, top + SIDE), kind))
            moved = Box(*(side + rng.uniform(-3, 3) for side in truth[-1][0]))
            if rng.random() < 0.85:
                label = LABELS[kind if rng.random() < 0.8 else 1 - kind]
                found.append(Detection(moved, float(rng.uniform(0.1, 1)), label))
        made.append((truth, sorted(found, key=lambda each: -each.score)))
    return made


@pytest.fixture(scope="module")
def results(
    images: list[tuple[list[tuple[Box, int]], list[Detection]]], tmp_path_factory: pytest.TempPathFactory
) -> DetectionResults:
    path = tmp_path_factory.mktemp("images") / "a.jpg"
    write_jpeg(path, np.full((96, 128, 3), 90, np.uint8))
    samples = [
        DetectionSample(path, np.array([box for box, _ in truth], np.float32), kinds=tuple(k for _, k in truth))
        for truth, _ in images
    ]
    answers = iter([found for _, found in images])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "detect", lambda *_, **__: next(answers))
        return detector.run_detector(detector_of([]), samples, (96, 128))


def test_ap_is_that_of_pycocotools_by_category_and_on_average(
    images: list[tuple[list[tuple[Box, int]], list[Detection]]], results: DetectionResults
) -> None:
    truth, found = COCO(), COCO()
    for side, items in (
        (truth, [(n, box, kind, 1.0) for n, (boxes, _) in enumerate(images) for box, kind in boxes]),
        (found, [(n, d.box, LABELS.index(d.label), d.score) for n, (_, some) in enumerate(images) for d in some]),
    ):
        side.dataset = {
            "images": [{"id": n} for n in range(len(images))],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": [
                {
                    "id": number,
                    "image_id": n,
                    "category_id": kind + 1,
                    "bbox": [box.left, box.top, box.width, box.height],
                    "area": box.area,
                    "iscrowd": 0,
                    "score": score,
                }
                for number, (n, box, kind, score) in enumerate(items, 1)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            side.createIndex()
    run = COCOeval(truth, found, "bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        run.evaluate()
        run.accumulate()
    expected = run.eval["precision"][:, :, :, 0, 2]  # IoU, recall, category
    scores = evaluate.detector_scores(results, 0.5)
    assert scores["ap50"] == pytest.approx(expected[0].mean(), abs=1e-3)
    assert scores["ap"] == pytest.approx(expected.mean(), abs=1e-3)
    for kind, label in enumerate(LABELS):
        assert scores["by_label"][label]["ap50"] == pytest.approx(expected[0, :, kind].mean(), abs=1e-3)


def test_the_confusion_matrix_counts_every_object_once(results: DetectionResults) -> None:
    counts = confusion_matrix(results.images, LABELS, dict.fromkeys(LABELS, 0.5))
    objects = [
        sum(label in image.truth_labels[n : n + 1] for image in results.images for n in range(4)) for label in LABELS
    ]
    assert counts[:2].sum(1).tolist() == objects
    assert counts[0, 1] > 0 and counts[1, 0] > 0 and counts[0, 0] > counts[0, 1]


def test_a_target_is_met_by_each_label_and_written(results: DetectionResults, tmp_path: Path) -> None:
    choices = choose_by_label(parse_target("recall>=0.3", "detector"), results, TWO_KINDS)
    assert set(choices) == set(LABELS) and all(choice["after"]["recall"] >= 0.3 for choice in choices.values())
    (tmp_path / "manifest.json").write_text(TWO_KINDS.to_json())
    write_threshold(tmp_path, choices, ["a.json"])
    written = type(TWO_KINDS).from_json((tmp_path / "manifest.json").read_text(), tmp_path)
    assert written.thresholds == {label: choice["threshold"] for label, choice in choices.items()}
    scores = evaluate.detector_scores(results, written.score_threshold, written.thresholds)
    for label in LABELS:
        assert scores["by_label"][label]["recall"] == pytest.approx(choices[label]["after"]["recall"], abs=1e-3)


def test_the_report_and_the_pages_are_by_label(results: DetectionResults, tmp_path: Path) -> None:
    scores = evaluate.detector_scores(results, 0.5)
    said = format_scores(scores)
    assert "160 objects of 16 px and more" in said and "detected as" in said and "faces" not in said
    evaluate.write_detector_plots(results, scores, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"go", "stop", "errors.html", "precision_recall.png", "detections.png", "failures.png"}
    assert "Detected with another label" in (tmp_path / "errors.html").read_text()
    assert "Missed objects" in (tmp_path / "go" / "errors.html").read_text()
