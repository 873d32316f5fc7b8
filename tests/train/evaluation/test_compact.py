"""What an evaluation keeps in arrays gives the same results as the objects."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box
from pocketsight.train.evaluation import metrics
from pocketsight.train.evaluation.compact import FaceArray, FalsePositives
from pocketsight.train.evaluation.matching import ImageResult, collect_matches
from tests.support.planted_faces import seen


def crowded(seed: int) -> ImageResult:
    """Labeled boxes, some to ignore, and detections near them and elsewhere; some scores are equal."""
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> list[tuple[float, ...]]:
        corners = rng.uniform(0, (200, 150), (count, 2)).round()
        return [(x, y, x + s, y + s) for (x, y), s in zip(corners.tolist(), rng.uniform(20, 80, count), strict=True)]

    faces: Any = boxes(int(rng.integers(0, 5)))
    near = [tuple(np.array(box) + rng.uniform(-9, 9)) for box in faces]
    found: Any = [(box, float(np.float32(rng.integers(1, 20) / 20))) for box in [*near, *boxes(8)]]
    return seen(faces, found, source=str(seed % 3), ignore=faces[:1] if seed % 2 else [])


def test_faces_in_an_array_are_the_same_faces() -> None:
    faces = [Detection(Box(1.5, 2.25, 3.0, 4.125), 0.5), Detection(Box(0, 0, 9, 9), 0.25)]
    array = FaceArray(faces)
    assert list(array) == faces and array[1] == faces[1] and array[:1] == faces[:1] and len(array) == 2
    assert not FaceArray([]) and list(FaceArray([])) == []


def test_false_positives_are_the_same_matches() -> None:
    kept, expected = FalsePositives(), []
    for seed in range(6):
        result = crowded(seed)
        _, wrong = collect_matches(result, np.random.default_rng(seed).integers(0, 255, (240, 320, 3)).astype(np.uint8))
        kept.extend(result, wrong)
        expected += wrong
    assert len(expected) > 20
    for a, b in zip(kept, expected, strict=True):
        assert (a.image_result, a.detection, a.iou, a.appearance) == (b.image_result, b.detection, b.iou, b.appearance)
        assert a.truth_box is None and a.score == b.score and a.size == b.size


def test_parts_give_what_pycocotools_gives_for_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [crowded(seed) for seed in range(11)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(results))],
            "annotations": metrics._coco_annotations(results),
            "categories": [{"id": 1, "name": "face"}],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(metrics._coco_detections(results)), "bbox")
        run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ["all"], [300]
        run.evaluate()
        run.accumulate()
    monkeypatch.setattr(metrics, "COCO_IMAGES", 3)
    precision, scores = metrics.coco_precision(results)
    assert (precision == run.eval["precision"][:, :, 0, 0, 0]).all() and 0 < precision.mean() < 1
    assert (scores == run.eval["scores"][0, :, 0, 0, 0]).all()
    assert not metrics.coco_precision([seen([(0, 0, 9, 9)], [])])[0].any()
