"""The pages of errors: all in one file, the worst first, boxes in the right place."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import Classification
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.train.contact_sheet import BLUE, ORANGE
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation import classifier_errors, evaluate
from pocketsight.train.evaluation.classifier import Prediction, compare_with_truth
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.detector_errors import TILE_SIZE, draw_match, write_detector_errors
from pocketsight.train.evaluation.matching import ImageResult
from tests.support.images import SENTIMENT, picture, save, scene
from tests.support.planted_faces import Sides, looked, seen, square

FACE = square(100, 60, 40)


def sections(page: str) -> dict[str, str]:
    """The text below each headline."""
    parts = re.split(r"<h2>(.*?)</h2>", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def decoded(source: str) -> Image:
    """The picture in a src="data:...", RGB."""
    data = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
    return to_rgb(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))


def names(section: str) -> list[str]:
    return re.findall(r"<br>(?:\w+/)?(\w+)\.png</figcaption>", section)


def planted(folder: Path) -> DetectionResults:
    def one(name: str, faces: list[Sides], found: list[tuple[Sides, float]]) -> ImageResult:
        return seen(faces, found, picture(folder / f"{name}.png", (240, 320)))

    return looked(
        [
            one("false_low", [], [(FACE, 0.6)]),
            one("false_high", [], [(FACE, 0.9)]),
            one("quiet", [], [(FACE, 0.3)]),
            one("small_missed", [square(100, 60, 20)], []),
            one("large_missed", [FACE], [(FACE, 0.4)]),
            one("loose", [FACE], [(square(110, 60, 40), 0.8)]),
            one("tight", [FACE], [(FACE, 0.8)]),
            one("loose_box", [FACE], [(square(120, 60, 40), 0.7)]),
        ]
    )


def test_each_kind_of_error_is_below_its_headline_the_worst_first(tmp_path: Path) -> None:
    some = planted(tmp_path)
    write_detector_errors(some, evaluate.detector_scores(some, 0.5), "a <title>", tmp_path / "errors.html")
    page = (tmp_path / "errors.html").read_text()
    found = sections(page)
    assert names(found["False positives: 2"]) == ["false_high", "false_low"]
    assert names(found["Loose boxes: 1"]) == ["loose_box"]
    assert names(found["Missed faces: 3"]) == ["large_missed", "loose_box", "small_missed"]
    assert names(found["Worst boxes: 2"]) == ["loose", "tight"]
    assert "score 0.40, overlap 1.00, 40 px" in found["Missed faces: 3"]
    assert "not detected at any score, 20 px" in found["Missed faces: 3"]
    assert "too few faces" in found["Where it fails"]
    assert "a &lt;title&gt;" in page and "a <title>" not in page


def test_a_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    some = planted(tmp_path)
    write_detector_errors(some, evaluate.detector_scores(some, 0.5), "t", tmp_path / "errors.html")
    page = (tmp_path / "errors.html").read_text()
    assert "http" not in page and "<script" not in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 8 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert decoded(sources[0]).shape == (TILE_SIZE, TILE_SIZE, 3)


def test_a_picture_that_went_away_leaves_a_gap(tmp_path: Path) -> None:
    some = planted(tmp_path)
    (tmp_path / "false_high.png").unlink()
    write_detector_errors(some, evaluate.detector_scores(some, 0.5), "t", tmp_path / "errors.html")
    assert '<div class="none">no image</div>' in sections((tmp_path / "errors.html").read_text())["False positives: 2"]
    with pytest.raises(DataError, match="cannot be written"):
        write_detector_errors(some, evaluate.detector_scores(some, 0.5), "t", tmp_path / "tight.png" / "errors.html")


def colors_near(tile: Image, at: tuple[int, int]) -> set[tuple[int, ...]]:
    """The colors within two pixels of a position (y, x)."""
    y, x = at
    return {tuple(pixel) for pixel in tile[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).tolist()}


def test_boxes_are_drawn_where_they_are_in_the_file() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)  # twice the frame
    some = looked([seen([FACE], [(square(110, 60, 40), 0.8)], scale=0.5)])
    tile = draw_match(image, some.faces[0], 0.5)
    unit = TILE_SIZE / 100  # the window shows 2.5 times the face: 100 px of the frame, from 70, 30
    assert ORANGE in colors_near(tile, (round(50 * unit), round(30 * unit)))
    assert BLUE in colors_near(tile, (round(50 * unit), round(40 * unit)))
    assert BLUE in colors_near(tile, (round(30 * unit), round(60 * unit)))
    assert colors_near(tile, (round(50 * unit), round(55 * unit))) == {(90, 90, 90)}


def test_a_face_in_the_corner_and_one_larger_than_its_picture_can_be_drawn() -> None:
    some = looked([seen([square(0, 0, 20), square(0, 0, 240)], [])])
    for spot in some.faces:
        assert draw_match(np.full((240, 320, 3), 90, np.uint8), spot, 0.5).shape == (TILE_SIZE, TILE_SIZE, 3)
    small = draw_match(np.full((240, 320, 3), 90, np.uint8), some.faces[0], 0.5)
    assert not (small == 0).all(-1).any()  # the window was moved inside


def portraits(folder: Path) -> list[Prediction]:
    def one(kind: str, name: str, label: int, best: int, score: float, voted: int = -1) -> Prediction:
        path = save(folder / kind / f"{name}.png", scene(len(name), (48, 48)))
        return Prediction(ClassificationSample(path, label, (0.5, 0.5), voted), Classification("", score, best))

    return [
        one("happy", "fine", 0, 0, 0.8),
        one("happy", "grim", 0, 1, 0.9),
        one("happy", "grey", 0, 1, 0.61),
        one("happy", "faint", 0, 1, 0.3),
        one("sad", "low", 1, 1, 0.7),
        one("_calm", "flat", 2, 0, 0.65),
        one("_calm", "still", 2, 0, 0.2),
    ]


def test_wrong_labels_are_shown_pair_by_pair_the_highest_score_first(tmp_path: Path) -> None:
    named = portraits(tmp_path)
    judged = compare_with_truth(named, 2)
    scores = evaluate.classifier_scores(named, judged, SENTIMENT)
    classifier_errors.write_classifier_errors(named, judged, scores, "t", tmp_path / "errors.html")
    found = sections((tmp_path / "errors.html").read_text())
    assert names(found["happy, labeled sad: 2, and 1 below the threshold"]) == ["grim", "grey", "faint"]
    assert names(found["calm, labeled happy: 1, and 1 below the threshold"]) == ["flat", "still"]
    assert names(found["Possibly in the wrong folder: 1"]) == ["grim"]  # surer than right answers are: 0.7
    assert scores["recommendations"][0].startswith(
        "Collect more happy faces of the kind shown below: 2 of them are labeled sad, 67%"
    )
    assert [Path(one["file"]).name for one in scores["likely_mislabeled"]] == ["grim.png"]


def test_voters_must_agree_that_a_label_is_wrong(tmp_path: Path) -> None:
    named = portraits(tmp_path)
    grim, grey = named[1], named[2]
    split = [*named, Prediction(ClassificationSample(grey.sample.path, 0, (0.5, 0.5), 1), Classification("", 0.95, 1))]
    assert [
        split[n].sample.path.stem for n in classifier_errors.likely_mislabeled(split, compare_with_truth(split, 2))
    ] == ["grey"]
    against = [
        *named,
        Prediction(ClassificationSample(grim.sample.path, 0, (0.5, 0.5), 0), Classification("", 0.95, 1)),
    ]
    assert classifier_errors.likely_mislabeled(against, compare_with_truth(against, 2)) == []


def test_the_first_picture_of_a_page_is_its_own_file(tmp_path: Path) -> None:
    named = portraits(tmp_path)
    save(tmp_path / "happy" / "grim.png", np.full((48, 48, 3), (250, 10, 10), np.uint8))
    judged = compare_with_truth(named, 2)
    scores = evaluate.classifier_scores(named, judged, SENTIMENT)
    classifier_errors.write_classifier_errors(named, judged, scores, "t", tmp_path / "errors.html")
    source = re.findall(r'src="([^"]*)"', (tmp_path / "errors.html").read_text())[0]
    assert np.abs(decoded(source).mean((0, 1)) - (250, 10, 10)).max() < 10
