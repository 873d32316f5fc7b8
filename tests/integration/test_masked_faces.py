"""A detector of masked and bare faces, from images to a log of labels with the commands of train/README.md."""

import csv
import json
import os
from pathlib import Path

import pytest

from tests.support.commands import pocketsight, pocketsight_json

FACES = os.environ.get("POCKETSIGHT_MASKED_FACES")
SOURCES = "facemask853", "ilc2021", "rf_mask18", "neg_haar"  # whose boxes all say mask or not; without faces the last

pytestmark = [
    pytest.mark.filterwarnings("default"),  # TensorFlow's own
    pytest.mark.skipif(
        not FACES, reason="trains for 20 minutes: POCKETSIGHT_MASKED_FACES=FOLDER, such as ../shared/data/faces"
    ),
]


def write_two_labels(source: Path, target: Path) -> list[Path]:
    """A COCO file of one category whose annotations say `mask`, as one of two categories; returns the images."""
    coco = json.loads(source.read_text())
    images = [image for image in coco["images"] if image["source"] in SOURCES]
    for image in images:
        image["file_name"] = str(source.parent.resolve() / image["file_name"])
    numbers = {image["id"] for image in images}
    notes = [
        note | {"category_id": int(note["mask"] == 1)} for note in coco["annotations"] if note["image_id"] in numbers
    ]
    for note in notes:
        del note["mask"]
    categories = [{"id": 0, "name": "bare"}, {"id": 1, "name": "masked"}]
    target.write_text(json.dumps({"images": images, "annotations": notes, "categories": categories}))
    return [Path(image["file_name"]) for image in images]


def test_from_images_to_a_log_of_masked_and_bare_faces(tmp_path: Path) -> None:
    train, test, run, log = (tmp_path / name for name in ("train.json", "test.json", "run", "log.csv"))
    write_two_labels(Path(str(FACES)) / "train.json", train)
    images = write_two_labels(Path(str(FACES)) / "test.json", test)
    pocketsight("data", "check", train, "--html", tmp_path / "check.html")
    pocketsight("train", "detector", "--data", train, "--weights", "shipped", "--time", "20min", "--out", run)
    pocketsight("export", "tflite", run, "--calibration-data", train)
    scores = pocketsight_json("evaluate", run / "detector.tflite", "--data", test)
    assert set(scores["by_label"]) == {"bare", "masked"} and scores["ap50"] >= 0.8
    (tmp_path / "camera").mkdir()
    for image in images[:40]:
        (tmp_path / "camera" / image.name).symlink_to(image)
    pocketsight("run", "--detector", run / "detector.tflite", "--camera", tmp_path / "camera", "--log", log)
    rows = list(csv.DictReader(log.read_text().splitlines()))
    assert {row["label"] for row in rows if row["label"]} == {"bare", "masked"}
