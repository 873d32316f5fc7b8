"""Write the truth set with datumaro: COCO, CVAT for images, Pascal VOC, WIDER FACE, YOLO and Ultralytics YOLO."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datumaro.components.annotation import AnnotationType, Bbox, LabelCategories, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image

FORMATS = {
    "coco": "coco_instances",
    "cvat": "cvat",
    "voc": "voc_detection",
    "wider": "wider_face",
    "yolo": "yolo",
    "ultralytics": "yolo_ultralytics",
}


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    classes = ["dog", "face"]
    items = []
    for name, entry in truth.items():
        notes = []
        for number, shape in enumerate(entry["shapes"], 1):
            label, crowd = classes.index(shape["label"]), shape.get("crowd", False)
            attributes = {"is_crowd": crowd, "difficult": crowd}
            if points := shape.get("points"):
                flat = [value for point in points for value in point]
                notes.append(Polygon(flat, label=label, id=number, group=number, attributes=attributes))
            else:
                left, top, right, bottom = shape["box"]
                box = Bbox(left, top, right - left, bottom - top, label=label, id=number, group=number)
                box.attributes.update(attributes)
                notes.append(box)
        path = folder / "images" / name
        items.append(
            DatasetItem(
                str(Path(name).with_suffix("")), subset="train", media=Image.from_file(str(path)), annotations=notes
            )
        )
    categories = {AnnotationType.label: LabelCategories.from_iterable(classes)}
    for kind, name in FORMATS.items():
        # Ultralytics needs both splits.
        others = [DatasetItem("unused", subset="val", media=items[0].media)] if kind == "ultralytics" else []
        Dataset.from_iterable([*items, *others], categories=categories).export(str(out / kind), name, save_media=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
