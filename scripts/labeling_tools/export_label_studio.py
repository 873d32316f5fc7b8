"""Write the truth set with the converter of Label Studio: COCO, YOLO, YOLO OBB and Pascal VOC; and its own JSON.

The tasks are those that its editor makes: percent of the upright image, a rotation about the top left corner, names
with the prefix of an upload.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from label_studio_sdk.converter import Converter

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="face"/><Label value="dog"/></RectangleLabels>
<PolygonLabels name="polygon" toName="image"><Label value="face"/></PolygonLabels></View>"""
FORMATS = {"coco": "COCO", "yolo": "YOLO", "yolo-obb": "YOLO_OBB", "voc": "VOC"}


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    uploads = out / "uploads"
    uploads.mkdir(parents=True)
    tasks = []
    for number, (name, entry) in enumerate(truth.items(), 1):
        upload = f"{number:08x}-{Path(name).name.replace(' ', '_')}"
        shutil.copy(folder / "images" / name, uploads / upload)
        height, width = entry["size"]
        results = [make_result(shape, width, height, n) for n, shape in enumerate(entry["shapes"])]
        tasks.append(
            {
                "id": number,
                "annotations": [{"id": number, "was_cancelled": False, "result": results, "completed_by": 1}],
                "data": {"image": f"/data/upload/1/{upload}"},
            }
        )
    (out / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    for kind, name in FORMATS.items():
        converter = Converter(CONFIG, str(out), upload_dir=str(uploads), download_resources=True)
        converter.convert(str(out / "tasks.json"), str(out / kind), name, is_dir=False)
        if not any((out / kind / "images").glob("*")):
            shutil.copytree(uploads, out / kind / "images", dirs_exist_ok=True)
    (out / "json").mkdir()
    shutil.move(out / "tasks.json", out / "json" / "export.json")
    shutil.move(uploads, out / "json" / "images")


def make_result(shape: dict[str, Any], width: int, height: int, number: int) -> dict[str, Any]:
    """One result of the editor."""
    base = {"id": f"r{number}", "to_name": "image", "original_width": width, "original_height": height}
    base |= {"image_rotation": 0}
    if "rotation" in shape:
        left, top, right, bottom = shape["unrotated"]
        return base | _rectangle(left, top, right, bottom, shape["label"], shape["rotation"], width, height)
    if "points" in shape:
        points = [[100 * x / width, 100 * y / height] for x, y in shape["points"]]
        value = {"points": points, "polygonlabels": [shape["label"]], "closed": True}
        return base | {"from_name": "polygon", "type": "polygonlabels", "value": value}
    return base | _rectangle(*shape["box"], shape["label"], 0, width, height)


def _rectangle(
    left: float, top: float, right: float, bottom: float, label: str, degrees: float, width: int, height: int
) -> dict[str, Any]:
    """A rectangle that is rotated about its center, as the editor stores it: with its rotated top left corner."""
    cx, cy, c, s = (
        (left + right) / 2,
        (top + bottom) / 2,
        math.cos(math.radians(degrees)),
        math.sin(math.radians(degrees)),
    )
    x, y = cx + (left - cx) * c - (top - cy) * s, cy + (left - cx) * s + (top - cy) * c
    value = {"x": 100 * x / width, "y": 100 * y / height, "rotation": degrees, "rectanglelabels": [label]}
    value |= {"width": 100 * (right - left) / width, "height": 100 * (bottom - top) / height}
    return {"from_name": "box", "type": "rectanglelabels", "value": value}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
