"""Write the truth set with labelme's own file class: rectangles, polygons and oriented rectangles."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from labelme._label_file import LabelFile


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json. labelme has no crowds."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    shutil.copytree(folder / "images", out / "folder" / "images")
    for name, entry in truth.items():
        shapes = []
        for shape in entry["shapes"]:
            left, top, right, bottom = shape["box"]
            kind = "oriented_rectangle" if "rotation" in shape else "polygon" if "points" in shape else "rectangle"
            points = shape.get("points", [[left, top], [right, bottom]])
            flags = {"shape_type": kind, "flags": {}, "group_id": None, "description": "", "mask": None}
            shapes.append({"label": shape["label"], "points": points, **flags})
        file = out / "folder" / "labels" / Path(name).with_suffix(".json").name
        file.parent.mkdir(parents=True, exist_ok=True)
        height, width = entry["size"]
        image_path = f"../images/{name}"
        LabelFile().save(str(file), shapes, image_path, height, width, flags={})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
