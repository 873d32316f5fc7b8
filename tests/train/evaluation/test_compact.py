"""What an evaluation keeps in arrays gives the same results as the objects."""

import contextlib
import io
from typing import Any

import cv2
import numpy as np
import pytest

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box, Boxes
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.resize import resize
from pocketsight.train.evaluation import metrics
from pocketsight.train.evaluation.compact import FaceArray, FalsePositives
from pocketsight.train.evaluation.matching import PATCH_SIZE, ImageResult, collect_matches, match_detections
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


def appearance(gray: Image, box: Boxes) -> tuple[float, float]:
    """Brightness and sharpness of one box, with OpenCV's own Laplacian."""
    height, width = gray.shape
    left, top = np.clip(np.floor(box[:2]), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:]), (left + 1, top + 1), (width, height)).astype(int)
    region = gray[top:bottom, left:right]
    return region.mean(), cv2.Laplacian(resize(region, (PATCH_SIZE, PATCH_SIZE)), cv2.CV_64F).var()


def test_arrays_say_of_a_false_positive_what_is_measured_of_it_alone() -> None:
    kept, count = FalsePositives(), 0
    for seed in range(6):
        result = crowded(seed)
        frame = np.random.default_rng(seed).integers(0, 255, (240, 320, 3)).astype(np.uint8)
        gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
        faces, wrong = collect_matches(result, frame)
        kept.extend(result, wrong)
        for face, box in zip(faces, result.truth_boxes, strict=True):
            assert tuple(face.appearance) == appearance(gray, box)
        expected = [face for face, (n, _) in zip(result.detections, match_detections(result), strict=True) if n == -1]
        found = [match for match in kept if match.image_result is result]
        assert [match.detection for match in found] == expected
        for match in found:
            assert tuple(match.appearance) == pytest.approx(appearance(gray, match.box), rel=1e-6)
        count += len(found)
    assert count > 20 and kept.scores().tolist() == [match.score for match in kept]
    assert [match.score for match in kept.at_least(0.5)] == [match.score for match in kept if match.score >= 0.5]
    columns = list(kept.columns())
    assert np.concatenate([each.sizes for each in columns]).tolist() == pytest.approx([match.size for match in kept])
    assert {each.source for each in columns} == {"0", "1", "2"}


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
