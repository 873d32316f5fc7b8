"""`pocketsight evaluate pipeline`: what a user gets from whole photographs."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.vision.box_encoding import encode
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.resize import resize
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation.formatting import format_scores
from pocketsight.train.evaluation.pipeline import PipelineResult, compute_pipeline_metrics, iter_pipeline_results
from pocketsight.train.evaluation.pipeline_errors import write_pipeline_errors
from tests.support.images import FACE, SENTIMENT, one_face, picture, save


def by_grey(image: Image) -> dict[str, QuantizedTensor]:
    """Happy where it is dark, sad where it is bright, and unsure between."""
    level = int(image[24, 24, 0])
    return {"logits": QuantizedTensor(np.array([5.0 * (level < 80), 5.0 * (level > 160)], np.float32))}


def not_in_white(image: Image) -> dict[str, QuantizedTensor]:
    """A detector that sees its face unless the picture is white."""
    seen = one_face(image)
    return (
        {name: QuantizedTensor(np.zeros_like(tensor.values)) for name, tensor in seen.items()}
        if image.mean() > 250
        else seen
    )


MOODS = Model(by_grey, replace(SENTIMENT, crop_margin=0.0))
EYES = replace(FACE, infer=not_in_white)


def photo(folder: Path, kind: str, level: int, label: int) -> ClassificationSample:
    path = folder / kind / f"{level}.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((96, 128, 3), level, np.uint8))
    return ClassificationSample(path, label, (0.5, 0.5))


def photos(folder: Path) -> tuple[list[PipelineResult], list[str]]:
    broken = folder / "broken.png"
    broken.write_text("no picture")
    portraits = [
        photo(folder, "happy", 10, 0),  # right
        photo(folder, "happy", 200, 0),  # wrong
        photo(folder, "happy", 255, 0),  # no face
        photo(folder, "sad", 120, 1),  # unsure
        photo(folder, "calm", 20, -1),  # called happy
        photo(folder, "calm", 130, -1),
        ClassificationSample(broken, 0, (0.5, 0.5)),
    ]
    skipped: list[str] = []
    return list(iter_pipeline_results(EYES, MOODS, portraits, (96, 128), skipped)), skipped


def test_every_photograph_has_one_outcome(tmp_path: Path) -> None:
    found, skipped = photos(tmp_path)
    assert [one.outcome for one in found] == ["right", "wrong", "no face", "unsure", "wrong", "unsure"]
    assert len(skipped) == 1
    scores = compute_pipeline_metrics(found, ("happy", "sad"))
    assert scores["all"] == {"images": 4, "right": 1, "wrong": 1, "unsure": 1, "no face": 1}
    assert scores["classes"]["happy"] == {"images": 3, "right": 1, "wrong": 1, "unsure": 0, "no face": 1}
    assert (scores["rejects"], scores["reject_label_rate"]) == (2, 0.5)
    text = format_scores({"task": "pipeline", "frame": [128, 96], **scores})
    assert "faces detected in 3 (75.0%), 2 got a label, 50.0% of the labels are right" in text
    with pytest.raises(DataError, match="none of 1 photographs"):
        compute_pipeline_metrics([found[4]], ("happy", "sad"))


def test_the_page_shows_photograph_and_face(tmp_path: Path) -> None:
    found, _ = photos(tmp_path)
    write_pipeline_errors(found, MOODS.spec, (96, 128), tmp_path / "errors.html")
    page = (tmp_path / "errors.html").read_text()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["wrong: 2", "no face: 1", "unsure: 1"]
    assert len(re.findall("<img", page)) == 7  # two each, but one where there is no face
    assert "http" not in page


def test_the_largest_face_counts(tmp_path: Path) -> None:
    def two_faces(image: Image) -> dict[str, QuantizedTensor]:
        boxes = np.array([[10, 10, 42, 42], [70, 30, 120, 80]], np.float32)
        cells = encode(boxes, np.empty((0, 4), np.float32), (96, 128), (8, 16))
        fine, coarse = cells[: 12 * 16].reshape(12, 16, 5), cells[12 * 16 :].reshape(6, 8, 5)
        grids = {8: fine, 16: coarse}
        return {f"score_{s}": QuantizedTensor(np.maximum(grid[..., :1], 0)) for s, grid in grids.items()} | {
            f"box_{s}": QuantizedTensor(grid[..., 1:]) for s, grid in grids.items()
        }

    path = tmp_path / "a.png"
    save(path, np.repeat(np.repeat(np.array([[[10] * 3, [250] * 3]], np.uint8), 96, 0), 64, 1))
    (found,) = iter_pipeline_results(
        replace(FACE, infer=two_faces), MOODS, [ClassificationSample(path, 1, (0.5, 0.5))], (96, 128), []
    )
    assert (found.outcome, found.other_labels) == ("right", ("happy",))  # the bright one is sad, and larger


def test_whole_photographs_from_the_command_line(tmp_path: Path) -> None:
    image = read_image(EXAMPLE_IMAGE)
    side = resize(image[20:120, 90:190], (60, 60))
    both = np.hstack([image, np.full((240, 100, 3), 200, np.uint8)])
    both[20:80, 340:400] = side
    (tmp_path / "sad").mkdir()
    save(tmp_path / "happy" / "a.png", both)
    shutil.copy(EXAMPLE_IMAGE, tmp_path / "sad")
    picture(tmp_path / "calm" / "noise.png")
    words = ["evaluate", "pipeline", "--data", str(tmp_path), "--frame-size", "420x240"]
    done = CliRunner().invoke(main, [*words, "--json", "--plots", str(tmp_path / "plots")])
    assert done.exit_code == 0, done.output
    scores = json.loads(done.output)
    assert (scores["all"]["images"], scores["all"]["no face"], scores["rejects"]) == (2, 0, 1)
    assert sum(scores["other_faces"].values()) == 1
    assert scores["classes"]["happy"]["right"] == scores["classes"]["sad"]["wrong"] == 1  # she smiles
    assert (tmp_path / "plots" / "errors.html").is_file()
    assert "got a label" in CliRunner().invoke(main, words).output


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["pipeline", "--threshold-for", "recall>=0.9"], 2, "for one model"),
        (["pipeline", "--detector", str(MODELS_DIR / "sentiment.tflite")], 1, "use a detector model"),
        ([str(MODELS_DIR / "detector.tflite"), "--classifier", "x"], 2, "is for: pocketsight evaluate pipeline"),
        ([str(MODELS_DIR / "detector.tflite"), "--detector", "x"], 1, "is a detector itself"),
        (["pipeline"], 1, "has no folder happy, sad"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, words: list[str], status: int, says: str) -> None:
    done = CliRunner().invoke(main, ["evaluate", *words, "--data", str(tmp_path)])
    assert (done.exit_code, says in done.output) == (status, True), done.output
