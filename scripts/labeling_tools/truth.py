"""A truth set: 18 small images whose boxes are known, for the export of every labeling tool.

    python truth.py FOLDER     # FOLDER/images and FOLDER/truth.json

It has EXIF rotations, subfolders, spaces, boxes at the borders and with fractions, two labels, a polygon, rotated
boxes, a crowd and empty images. It needs Pillow only, so that it runs in the environment of any tool.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SIZE = 160, 120  # width, height of the stored pixels
Shape = dict[str, Any]


def box(left: float, top: float, right: float, bottom: float, label: str = "face", **more: Any) -> Shape:
    """An upright box, in px of the upright image."""
    return {"label": label, "box": [left, top, right, bottom], **more}


def polygon(*points: tuple[float, float]) -> Shape:
    """A polygon; its box is that around it."""
    xs, ys = zip(*points, strict=True)
    return box(min(xs), min(ys), max(xs), max(ys), points=[list(point) for point in points])


def rotated(cx: float, cy: float, width: float, height: float, degrees: float) -> Shape:
    """A box that is rotated clockwise about its center; `box` is the one around it."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2)]
    shape = polygon(*((cx + x * c - y * s, cy + x * s + y * c) for x, y in corners))
    return shape | {
        "rotation": degrees,
        "unrotated": [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2],
    }


# Name -> (EXIF orientation, shapes).
IMAGES: dict[str, tuple[int, list[Shape]]] = {
    "01 plain.jpg": (1, [box(40, 30, 80, 90)]),
    "02-borders.jpg": (1, [box(0, 0, 30, 40), box(120, 80, 160, 120)]),
    "03-fractions.jpg": (1, [box(40.25, 30.5, 80.75, 90.25)]),
    "04-exif6.jpg": (6, [box(30, 110, 90, 150)]),
    "05-exif8.jpg": (8, [box(10, 20, 50, 140)]),
    "06-exif3.jpg": (3, [box(20, 10, 60, 50)]),
    "07-two.labels.png": (1, [box(10, 10, 50, 60), box(90, 20, 150, 100, "dog")]),
    "08-dog.jpg": (1, [box(50, 40, 110, 100, "dog")]),
    "09-polygon.jpg": (1, [polygon((40, 20), (90, 35), (70, 100))]),
    "10-rotated.jpg": (1, [rotated(80, 60, 60, 30, 30)]),
    "11-rotated-back.jpg": (1, [rotated(70, 55, 40, 40, -20)]),
    "12-crowd.jpg": (1, [box(20, 20, 60, 70), box(90, 10, 150, 80, crowd=True)]),
    "13-empty.jpg": (1, []),
    "14-empty.png": (1, []),
    "15-many.jpg": (1, [box(5 + 30 * n, 10 + 5 * n, 25 + 30 * n, 40 + 5 * n) for n in range(5)]),
    "sub dir/16-nested.png": (1, [box(60, 20, 100, 80)]),
    "sub dir/deep/17-nested.jpg": (1, [box(11, 22, 77, 88)]),
    "18-EXIF6-empty.JPG": (6, []),
}


def main(folder: Path) -> None:
    """Write the images and truth.json: name -> size (height, width) of the upright image, and shapes."""
    truth = {}
    for number, (name, (orientation, shapes)) in enumerate(IMAGES.items()):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        upright = SIZE[::-1] if orientation >= 5 else SIZE
        image = Image.new("RGB", upright, (40 + 10 * number, 90, 200 - 10 * number))
        for shape in shapes:
            color = {"face": "white", "dog": "black"}[shape["label"]]
            ImageDraw.Draw(image).polygon(
                [tuple(point) for point in shape.get("points", corners_of(shape["box"]))], outline=color
            )
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
        image = image.transpose(stored[orientation]) if orientation in stored else image
        image.save(path, **({"exif": exif, "quality": 95} if path.suffix.lower() == ".jpg" else {}))
        truth[name] = {"size": upright[::-1], "shapes": shapes}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")


def corners_of(values: list[float]) -> list[tuple[float, float]]:
    """The four corners of a box."""
    left, top, right, bottom = values
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
