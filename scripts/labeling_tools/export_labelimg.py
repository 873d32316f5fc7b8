"""Write the truth set with labelImg's own writers: Pascal VOC, YOLO and CreateML. It has upright boxes only."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from libs.create_ml_io import CreateMLWriter
from libs.pascal_voc_io import PascalVocWriter
from libs.yolo_io import YOLOWriter


def main(folder: Path, out: Path) -> None:
    """`folder` has images/ and truth.json. labelImg rounds to whole px, and saves only images that were changed."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for kind in ("voc", "yolo", "createml"):
        shutil.copytree(folder / "images", out / kind)
    classes: list[str] = []
    for name, entry in truth.items():
        size = (*entry["size"], 3)
        voc, yolo = out / "voc" / name, out / "yolo" / name
        writers = [
            PascalVocWriter(voc.parent.name, voc.name, size, local_img_path=str(voc)),
            YOLOWriter(yolo.parent.name, yolo.name, size, local_img_path=str(yolo)),
        ]
        shapes = []
        for shape in entry["shapes"]:
            left, top, right, bottom = (round(value) for value in shape["box"])
            for writer in writers:
                writer.add_bnd_box(left, top, right, bottom, shape["label"], int(shape.get("crowd", False)))
            points = [(left, top), (right, top), (right, bottom), (left, bottom)]
            shapes.append({"label": shape["label"], "points": points})
        writers[0].save(str(voc.with_suffix(".xml")))
        writers[1].save(class_list=classes, target_file=str(yolo.with_suffix(".txt")))
        target = str(out / "createml" / "labels.json")
        CreateMLWriter(name, name, size, shapes, target, local_img_path=str(out / "createml" / name)).write()
    for path in (out / "yolo").rglob("classes.txt"):
        path.unlink()  # labelImg writes one into each folder, as long as the list was then
    (out / "yolo" / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
