"""Write the truth set with FiftyOne's exporters: COCO, YOLOv4, YOLOv5 and Pascal VOC. It has upright boxes in shares.

The exporters are called one by one: a FiftyOne data set would need its database.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.utils.coco import COCODetectionDatasetExporter
from fiftyone.utils.voc import VOCDetectionDatasetExporter
from fiftyone.utils.yolo import YOLOv4DatasetExporter, YOLOv5DatasetExporter

EXPORTERS: dict[str, Any] = {
    "coco": COCODetectionDatasetExporter,
    "yolov4": YOLOv4DatasetExporter,
    "yolov5": YOLOv5DatasetExporter,
    "voc": VOCDetectionDatasetExporter,
}


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for kind, exporter_type in EXPORTERS.items():
        with exporter_type(export_dir=str(out / kind), export_media=True) as exporter:
            for name, entry in truth.items():
                path, (height, width) = folder / "images" / name, entry["size"]
                found = []
                for shape in entry["shapes"]:
                    left, top, right, bottom = shape["box"]
                    box = [left / width, top / height, (right - left) / width, (bottom - top) / height]
                    found.append(
                        fo.Detection(label=shape["label"], bounding_box=box, iscrowd=int(shape.get("crowd", False)))
                    )
                metadata = fo.ImageMetadata.build_for(str(path))
                exporter.export_sample(str(path), fo.Detections(detections=found), metadata=metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
