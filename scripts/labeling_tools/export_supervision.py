"""Write the truth set with supervision: COCO, YOLO, YOLO OBB, Pascal VOC, labelme and CreateML."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import supervision as sv


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    classes = ["dog", "face"]
    paths, annotations, turned = [], {}, {}
    for name, entry in truth.items():
        path = str(folder / "images" / name)
        shapes = entry["shapes"]
        boxes = np.array([shape["box"] for shape in shapes], np.float32).reshape(-1, 4)
        ids = np.array([classes.index(shape["label"]) for shape in shapes], int)
        corners = [shape.get("points") or _corners(shape["box"]) for shape in shapes]
        paths.append(path)
        annotations[path] = sv.Detections(xyxy=boxes, class_id=ids)
        quads = np.array([points if len(points) == 4 else [*points, points[-1]] for points in corners], np.float32)
        turned[path] = sv.Detections(xyxy=boxes, class_id=ids, data={"xyxyxyxy": quads.reshape(-1, 4, 2)})
    data = sv.DetectionDataset(classes, paths, annotations)
    data.as_coco(str(out / "coco" / "images"), str(out / "coco" / "annotations.json"))
    data.as_yolo(str(out / "yolo" / "images"), str(out / "yolo" / "labels"), str(out / "yolo" / "data.yaml"))
    data.as_pascal_voc(str(out / "voc" / "images"), str(out / "voc" / "annotations"))
    for method in ("as_labelme", "as_createml"):
        kind = method.removeprefix("as_")
        if hasattr(data, method):
            target = "annotations" if kind == "labelme" else "_annotations.createml.json"
            getattr(data, method)(str(out / kind / "images"), str(out / kind / target))
    obb = sv.DetectionDataset(classes, paths, turned)
    target = out / "yolo-obb"
    obb.as_yolo(str(target / "images"), str(target / "labels"), str(target / "data.yaml"), is_obb=True)


def _corners(box: list[float]) -> list[list[float]]:
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
