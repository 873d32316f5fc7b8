"""Is a model better than another one?"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODEL_NAMES
from pocketsight.device.vision.image import read_image
from pocketsight.train.evaluation.comparison import (
    Comparison,
    ScoredDetections,
    ScoredLabels,
    compare_scores,
    format_comparison,
    worse_sources,
)
from pocketsight.train.evaluation.detector import match_scores
from pocketsight.train.evaluation.matching import ImageResult
from pocketsight.train.evaluation.metrics import average_precision
from tests.support.images import save, scene
from tests.support.planted_faces import looked, seen, square


def images(count: int, hit_rate: float, seed: int) -> list[ImageResult]:
    """Images of one face, which is found at this rate, and of a false positive."""
    draws = np.random.default_rng(seed).uniform(size=(count, 3))
    face, other = square(20, 20, 40), square(150, 150, 40)
    return [
        seen([face], [*([(face, 0.5 + score / 2)] if hit < hit_rate else []), (other, 0.1 + round(0.9 * wrong, 1))])
        for hit, score, wrong in draws.tolist()
    ]


def test_the_score_is_the_average_precision() -> None:
    results = images(80, 0.8, 1)
    together = looked(results)
    expected = average_precision(match_scores(together.faces), together.false_positives.scores())
    scored = ScoredDetections(results)
    assert scored.score(np.ones(80)) == pytest.approx(expected, abs=1e-12)
    weights = np.random.default_rng(0).integers(0, 3, 80)
    repeated = [result for result, times in zip(results, weights, strict=True) for _ in range(times)]
    again = looked(repeated)
    assert scored.score(weights.astype(float)) == pytest.approx(
        average_precision(match_scores(again.faces), again.false_positives.scores()), abs=1e-12
    )
    nothing = ScoredDetections([seen([square(0, 0, 40)], [])])
    assert nothing.score(np.ones(1)) == 0


def test_verdicts() -> None:
    good, alike, bad = (ScoredDetections(images(150, rate, seed)) for rate, seed in ((0.9, 1), (0.9, 2), (0.5, 3)))
    assert compare_scores("a", 150, good, bad)["verdict"] == "better"
    worse = compare_scores("a", 150, bad, good)
    assert worse["verdict"] == "worse" and worse["difference_95"][0] < worse["difference"] < worse["difference_95"][1]
    assert compare_scores("b", 150, good, alike)["verdict"] == "no difference"
    few = compare_scores("c", 10, ScoredLabels(np.zeros(10)), ScoredLabels(np.ones(10)))
    assert few["verdict"] == "too few images"
    comparison: Comparison = {"metric": "AP50", "new": "n", "old": "o", "sources": [worse, few], "skipped": []}
    assert worse_sources(comparison) == ["a"]


def test_the_interval_is_paired() -> None:
    """One image in ten becomes right, and none wrong: that is no chance, however hard the images are."""
    old = np.random.default_rng(0).integers(0, 2, 200).astype(float)
    new = old.copy()
    new[np.flatnonzero(old == 0)[:12]] = 1
    row = compare_scores("a", 200, ScoredLabels(new), ScoredLabels(old))
    assert row["verdict"] == "better" and row["difference"] == 0.06 and 0.02 < row["difference_95"][0] < 0.06


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped photograph, so small that the face has 8 px, in different places."""
    folder = tmp_path_factory.mktemp("faces")
    photo = read_image(EXAMPLE_IMAGE)
    small = cv2.resize(photo, (36, 27), interpolation=cv2.INTER_AREA)
    (folder / "labels").mkdir()
    for number in range(30):
        left, top = 8 * number, 5 * number
        image = np.full((240, 320, 3), 128, np.uint8)
        image[top : top + 27, left : left + 36] = small
        save(folder / "images" / f"{number}.png", image)
        points = [[left + 12.4, top + 4], [left + 19, top + 12.5]]
        shapes = [{"label": "face", "points": points, "shape_type": "rectangle"}]
        note = {"shapes": shapes, "imageWidth": 320, "imageHeight": 240}
        (folder / "labels" / f"{number}.json").write_text(json.dumps(note))
    return folder


def test_the_command_compares_two_files_on_each_source(faces: Path) -> None:
    """The large detector sees small faces, the tiny one does not."""
    words = ["evaluate", str(MODEL_NAMES["tiny"]), "--data", str(faces), "--against", str(MODEL_NAMES["large"])]
    done = CliRunner().invoke(main, [*words, "--min-face-size", "6", "--json"])
    assert done.exit_code == 3, done.output
    found = json.loads(done.output)
    (row,) = found["sources"]
    assert row["source"] == f"{faces.parent.name}/{faces.name}" and row["images"] == 30
    assert found["metric"] == "AP50" and row["verdict"] == "worse" and row["new"] < row["old"] - 0.3
    text = format_comparison(found)
    assert text.splitlines()[0].endswith("AP50") and text.endswith("): worse")


def test_models_that_cannot_be_compared_are_an_error(faces: Path) -> None:
    words = ["evaluate", str(MODEL_NAMES["tiny"]), "--data", str(faces), "--against", str(MODEL_NAMES["classifier"])]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and "compare models of one task with the same labels" in done.output
    done = CliRunner().invoke(main, [*words, "--threshold-for", "recall>=0.9"])
    assert done.exit_code == 2 and "leave out" in done.output


def test_classifiers_are_compared_by_accuracy(tmp_path: Path) -> None:
    for number in range(30):
        for name in ("happy", "sad"):
            save(tmp_path / name / f"{number}.png", scene(number + 100 * (name == "sad"), (48, 48)))
    classifier = str(MODEL_NAMES["classifier"])
    words = ["evaluate", classifier, "--data", str(tmp_path), "--against", classifier, "--json"]
    done = CliRunner().invoke(main, words)
    found = json.loads(done.output)
    assert done.exit_code == 0 and found["metric"] == "accuracy" and found["sources"][0]["images"] == 60
    assert found["sources"][0]["difference_95"] == [0, 0] and found["sources"][0]["verdict"] == "no difference"
