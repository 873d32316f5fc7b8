"""Small data sets of other formats, and what `pocketsight data import` makes of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.formats.convert import convert_dataset
from tests.support.images import picture

NOTE = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 30]}
OBJECT = """<object><name>face</name><difficult>{difficult}</difficult>
<bndbox><xmin>{left}</xmin><ymin>11</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"""


def imported(source: Path, out: Path, **options: Any) -> Sequence[DetectionSample]:
    """What `convert_dataset` made of a source, as training reads it."""
    nothing: dict[str, Any] = dict.fromkeys(("source_format", "target_format", "images", "label", "max_boxes", "votes"))
    convert_dataset(source, out, **(nothing | options))
    (examples,) = read_detection_dataset(out).splits.values()
    return list(examples)


def fails(source: Path, out: Path, says: str, **options: Any) -> None:
    """`convert_dataset` must refuse in one line that matches, and leave nothing behind."""
    there = sorted(out.parent.iterdir())
    with pytest.raises(DataError, match=says) as raised:
        imported(source, out, **options)
    assert "\n" not in str(raised.value)
    assert sorted(out.parent.iterdir()) == there


def wider(folder: Path, text: str) -> Path:
    """WIDER FACE text beside its pictures a.jpg and b.jpg of 80x60."""
    for name in ("a.jpg", "b.jpg"):
        picture(folder / "images" / "0--Parade" / name)
    path = folder / "wider_face_train_bbx_gt.txt"
    path.write_text(text)
    return path


def voc(folder: Path, objects: str = OBJECT.format(difficult=0, left=11), head: str = "") -> Path:
    """A Pascal VOC data set of one picture a.png of 80x60."""
    picture(folder / "JPEGImages" / "a.png")
    (folder / "Annotations").mkdir(exist_ok=True)
    size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
    (folder / "Annotations" / "a.xml").write_text(
        f"{head}<annotation><filename>a.png</filename>{size}{objects}</annotation>"
    )
    return folder


def yolo(folder: Path, text: str, names: str = "names: [cat, face]\n") -> Path:
    """A YOLO data set of two pictures of 80x60; b.jpg has no file."""
    picture(folder / "images" / "a.jpg")
    picture(folder / "images" / "b.jpg")
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.txt").write_text(text)
    if names:
        (folder / "data.yaml").write_text(names)
    return folder


def fer(folder: Path, rows: Sequence[tuple[object, str, str]], votes: list[str] | None = None) -> dict[str, Path]:
    """FER2013's csv and, if there are rows of them, the votes."""
    with (folder / "fer2013.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("emotion", "pixels", "Usage"), *rows])
    paths = {"source": folder / "fer2013.csv"}
    if votes is not None:
        head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
        paths["votes"] = folder / "fer2013new.csv"
        paths["votes"].write_text("\n".join([head, *votes, ""]))
    return paths


FACES = [
    (emotion, " ".join([str(n)] * 2304), usage)
    for n, (emotion, usage) in enumerate(
        [(3, "Training"), (4, "Training"), (3, "Training"), (4, "Training"), (3, "PublicTest"), (6, "PrivateTest")]
    )
]
