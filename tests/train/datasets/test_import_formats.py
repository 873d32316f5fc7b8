"""Formats of other tools: first pixels, rotations, shapes, ids, and files that are recognized but not read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.formats.detect import choose_format, detect_format
from pocketsight.train.datasets.formats.orientation import rotate_box
from pocketsight.train.datasets.formats.shapes import is_ignored, rotated_bounds
from tests.support.images import coco, picture
from tests.support.sources import NOTE, OBJECT, fails, imported, voc

KITTI = "Car 0.00 0 1.55 614.24 181.78 727.31 284.77 1.57 1.73 4.15 1.00 1.75 13.22 1.62\n"
DOTA = "imagesource:GoogleEarth\ngsd:0.1\n10.0 10.0 30.0 10.0 30.0 40.0 10.0 40.0 plane 0\n"


@pytest.mark.parametrize(
    ("head", "left", "first"),
    [
        ("", 11, 11),
        ("<source><database>Unknown</database></source>", 11, 11),
        ("<source><database>The VOC2007 Database</database></source>", 11, 10),
        ("<source><database>roboflow.ai</database></source>", 11, 10),
        ("<source><database>roboflow.ai</database></source>", 0, 0),  # a zero proves it
    ],
)
def test_voc_counts_from_what_its_tool_counts_from(
    tmp_path: Path, head: str, left: int, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source = voc(tmp_path, head + OBJECT.format(difficult=0, left=left))
    (sample,) = imported(source, tmp_path / "o.json")
    assert sample.boxes[0, 0] == first and sample.boxes[0, 2] == 30
    is_shifted = first == left - 1
    assert f"counted from {int(is_shifted)}, " in capsys.readouterr().err
    (other,) = imported(source, tmp_path / "p.json", first_pixel=int(not is_shifted))
    assert other.boxes[0, 0] == max(0, left - int(not is_shifted))


def test_the_first_pixel_is_for_voc_only(tmp_path: Path) -> None:
    fails(coco(tmp_path), tmp_path / "o.json", "--first-pixel is for Pascal VOC", first_pixel=1)


def rotated(path: Path, size: tuple[int, int], orientation: int) -> Path:
    """A JPEG file of `size` (height, width), with an EXIF orientation."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", size[::-1]).save(path, exif=exif)
    return path


def rotated_coco(folder: Path, boxes: list[list[float]], stored: tuple[int, int], orientation: int = 6) -> Path:
    """A COCO file of images of 60x80 px (height, width) in the file, one for each box; `stored` is the size in it."""
    rows, notes = [], []
    for n, box in enumerate(boxes):
        rotated(folder / "images" / f"{n}.jpg", (60, 80), orientation)
        rows.append({"id": n, "file_name": f"images/{n}.jpg", "height": stored[0], "width": stored[1]})
        notes.append(NOTE | {"id": n, "image_id": n, "bbox": box})
    return coco(folder, images=rows, annotations=notes)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_upright_image_with_the_size_of_the_file(tmp_path: Path, orientation: int) -> None:
    source = rotated_coco(tmp_path, [[10, 62, 30, 15]], (60, 80), orientation)
    (sample,) = imported(source, tmp_path / "o.json")
    assert sample.boxes.tolist() == [[10, 62, 40, 77]] and sample.size == (80, 60) == sample.read().shape[:2]


@pytest.mark.parametrize("stored", [(60, 80), (80, 60)])
def test_boxes_of_the_file_are_rotated(tmp_path: Path, stored: tuple[int, int]) -> None:
    source = rotated_coco(tmp_path, [[50, 10, 29, 20], [1, 2, 10, 20]], stored)
    found = imported(source, tmp_path / "o.json")
    assert [sample.boxes.tolist() for sample in found] == [[[30, 50, 50, 79]], [[38, 1, 58, 11]]]


def test_boxes_that_fit_both_ways_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sample,) = imported(rotated_coco(tmp_path, [[1, 2, 10, 20]], (60, 80)), tmp_path / "o.json")
    assert sample.boxes.tolist() == [[1, 2, 11, 22]] and sample.size == (80, 60)
    said = capsys.readouterr().err
    assert "fit before and after the EXIF rotation" in said and "0.jpg" in said


def test_labels_for_another_size_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = rotated_coco(tmp_path, [[1, 2, 10, 20], [1, 2, 10, 20]], (80, 60))
    rotated(tmp_path / "images" / "1.jpg", (30, 40), 1)
    assert len(imported(source, tmp_path / "o.json")) == 1
    assert "1 image with labels for another size removed" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_rotates_as_its_image_does(orientation: int) -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[5:25, 10:50] = 255
    image = Pillow.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    ys, xs = np.nonzero(upright)
    bounds = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    height, width = upright.shape
    assert rotate_box((10, 5, 50, 25), (height, width), orientation) == bounds


@given(st.floats(-720, 720), st.floats(1, 99), st.floats(1, 99))
def test_a_rotated_box_is_in_its_bounds(degrees: float, width: float, height: float) -> None:
    left, top, right, bottom = rotated_bounds((10, 20, 10 + width, 20 + height), degrees)
    c, s = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    assert right - left == pytest.approx(width * c + height * s) and bottom - top == pytest.approx(
        width * s + height * c
    )
    assert (left + right) / 2 == pytest.approx(10 + width / 2) and (top + bottom) / 2 == pytest.approx(20 + height / 2)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"difficult": "1"}, True),
        ({"Ignore": True}, True),
        ({"is_crowd": 1}, True),
        ({"difficult": "0", "iscrowd": 0, "ignore": "false"}, False),
        ({"occluded": 1}, False),
        (None, False),
    ],
)
def test_what_is_to_be_ignored_has_many_names(attributes: object, expected: bool) -> None:
    assert is_ignored(attributes) is expected


POLYGON = [[20, 10, 40, 25, 30, 40]]
RUNS = {"size": [60, 80], "counts": [60 * 10 + 10, 20, 40, 20, 60 * 80 - 60 * 10 - 90]}


@pytest.mark.parametrize(
    ("note", "box", "ignored"),
    [
        ({"bbox": None, "segmentation": POLYGON}, [20, 10, 40, 40], False),
        ({"bbox": [], "segmentation": POLYGON[0]}, [20, 10, 40, 40], False),
        ({"bbox": None, "segmentation": RUNS}, [10, 10, 12, 30], False),
        ({"bbox": [30, 20, 20, 10], "attributes": {"rotation": 90.0}}, [35, 15, 45, 35], False),
        ({"attributes": {"difficult": True}}, [10, 10, 30, 40], True),
    ],
)
def test_shapes_of_coco(tmp_path: Path, note: dict[str, Any], box: list[float], ignored: bool) -> None:
    (sample,) = imported(coco(tmp_path, annotations=[NOTE | note]), tmp_path / "o.json")
    assert (sample.ignored_boxes if ignored else sample.boxes).tolist() == [box]


def test_a_shape_of_another_label_stops_nothing(tmp_path: Path) -> None:
    kinds = [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]
    notes = [NOTE, NOTE | {"id": 6, "category_id": 2, "bbox": None}]
    source = coco(tmp_path, annotations=notes, categories=kinds)
    assert len(imported(source, tmp_path / "o.json", label="face")) == 1
    fails(source, tmp_path / "p.json", "annotation 6 of images/a.png has neither a bbox nor an outline", label="dog")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"categories": [{"id": 1, "name": "face"}, {"id": 1, "name": "dog"}]},
            "categories: 'face' and 'dog' have the same id 1",
        ),
        ({"categories": [{"id": None, "name": "face"}]}, "categories: 'face' has no id"),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]},
            "'a.png' and 'b.png' have the same id 7",
        ),
        ({"images": [{"file_name": "a.png"}]}, "images: 'a.png' has no id"),
        ({"images": [{"id": 7}]}, "images: the one with the id 7 has no file_name"),
    ],
)
def test_ids_that_mix_up_boxes_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    fails(coco(tmp_path, **changes), tmp_path / "o.json", says)


def test_labelme_shapes_and_their_ignore_flags(tmp_path: Path) -> None:
    diamond = [[50, 10], [70, 30], [50, 50], [30, 30]]
    shapes: list[dict[str, Any]] = [
        {"shape_type": "oriented_rectangle", "points": diamond},
        {"shape_type": "rotation", "points": diamond, "direction": 0.78},
        {"shape_type": "mask", "points": [[10, 10], [20, 30]], "mask": "x"},
        {"shape_type": "rectangle", "points": [[9, 9], [5, 9], [5, 5], [9, 5]], "difficult": True},
        {"shape_type": "circle", "points": [[20, 20], [20, 25]], "flags": {"ignore": True}},
    ]
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    dog = {"label": "dog", "shape_type": "linestrip", "points": [[1, 1], [2, 2]]}
    content = {"shapes": [shape | {"label": "face"} for shape in shapes] + [dog], "imageHeight": 60, "imageWidth": 80}
    (tmp_path / "labels" / "a.json").write_text(json.dumps(content))
    (sample,) = imported(tmp_path, tmp_path / "o.json", label="face")
    assert sample.boxes.tolist() == [[30, 10, 70, 50], [30, 10, 70, 50], [10, 10, 20, 30]]
    assert sample.ignored_boxes.tolist() == [[5, 5, 9, 9], [15, 15, 25, 25]]
    fails(tmp_path, tmp_path / "p.json", "shape 5 is a linestrip", label="dog")


def test_turned_boxes_and_outlines_of_voc(tmp_path: Path) -> None:
    rotation = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
    box = "<bndbox><xmin>30</xmin><ymin>20</ymin><xmax>50</xmax><ymax>30</ymax></bndbox>"
    turned = f"<robndbox><cx>40</cx><cy>25</cy><w>20</w><h>10</h><angle>{math.pi / 2}</angle></robndbox>"
    outline = "<polygon><x1>5</x1><y1>6</y1><x2>9</x2><y2>8</y2><x3>7</x3><y3>20</y3></polygon>"
    bodies = [rotation + box, turned, outline]
    source = voc(tmp_path, "".join(f"<object><name>face</name>{body}</object>" for body in bodies))
    (sample,) = imported(source, tmp_path / "o.json")
    assert np.allclose(sample.boxes, [[35, 15, 45, 35], [35, 15, 45, 35], [5, 6, 9, 20]])


def write(folder: Path, name: str, content: object) -> Path:
    """A label file next to the images a.png and b.png of 80x60."""
    for image in ("a.png", "b.png"):
        picture(folder / image)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>
<image id="0" name="a.png" width="80" height="60">
<box label="face" occluded="0" xtl="30" ytl="20" xbr="50" ybr="30" rotation="90.0" z_order="0"></box>
<box label="face" xtl="1" ytl="2" xbr="5" ybr="6"><attribute name="difficult">true</attribute></box>
<polygon label="face" points="10.0,10.0;20.0,12.0;15.0,30.0"></polygon>
<ellipse label="face" cx="40" cy="30" rx="10" ry="5"></ellipse>
<mask label="face" rle="1" left="5" top="6" width="7" height="8"></mask>
<points label="nose" points="1,1"></points></image>
<image id="1" name="b.png" width="80" height="60"></image></annotations>"""


def test_cvat_for_images(tmp_path: Path) -> None:
    source = write(tmp_path, "annotations.xml", CVAT)
    a, b = imported(source, tmp_path / "o.json", label="face")
    assert a.boxes.tolist() == [[35, 15, 45, 35], [10, 10, 20, 30], [30, 25, 50, 35], [5, 6, 12, 14]]
    assert a.ignored_boxes.tolist() == [[1, 2, 5, 6]] and not len(b.boxes)
    fails(source, tmp_path / "p.json", r"a\.png: points 6 is no area", label="nose")


def test_subsets_of_cvat_are_splits(tmp_path: Path) -> None:
    text = CVAT.replace('"a.png"', '"a.png" subset="Train"').replace('"b.png"', '"b.png" subset="Validation"')
    source = write(tmp_path, "annotations.xml", text)
    fails(tmp_path, tmp_path / "no.json", "has the splits train, val; .* --split train", label="face")
    (sample,) = imported(source, tmp_path / "o.json", label="face", split="train")
    assert sample.path.name == "a.png"


def test_createml(tmp_path: Path) -> None:
    box = {"label": "face", "coordinates": {"x": 20, "y": 25, "width": 20, "height": 30}}
    rows: list[dict[str, Any]] = [{"image": "a.png", "annotations": [box]}, {"image": "b.png", "annotations": []}]
    a, b = imported(write(tmp_path, "_annotations.createml.json", rows), tmp_path / "o.json")
    assert (a.boxes.tolist(), len(b.boxes)) == ([[10, 10, 30, 40]], 0)
    rows[0]["annotations"] = [{"label": "face", "coordinates": {"x": 20, "y": 25, "width": 20}}]
    fails(write(tmp_path, "c.json", rows), tmp_path / "p.json", r"a\.png: box 1: a number is missing")


def via_regions() -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = [
        {"name": "rect", "x": 10, "y": 10, "width": 20, "height": 30},
        {"name": "circle", "cx": 40, "cy": 30, "r": 5},
        {"name": "ellipse", "cx": 40, "cy": 30, "rx": 10, "ry": 5, "theta": math.pi / 2},
        {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 3, 8]},
    ]
    regions: list[dict[str, Any]] = [{"shape_attributes": s, "region_attributes": {"type": "face"}} for s in shapes]
    regions[1]["region_attributes"] = {"type": "face", "difficult": "1"}
    return regions


@pytest.mark.parametrize("form", ["annotations", "project", "old"])
def test_via(tmp_path: Path, form: str) -> None:
    regions: Any = via_regions()
    if form == "old":
        regions = {str(n): region for n, region in enumerate(regions)}
    entries: Any = {
        "a.png99": {"filename": "a.png", "size": 99, "regions": regions, "file_attributes": {}},
        "b.png99": {"filename": "b.png", "size": 99, "regions": [], "file_attributes": {}},
    }
    content = {"_via_settings": {}, "_via_img_metadata": entries} if form == "project" else entries
    a, b = imported(write(tmp_path, "via.json", content), tmp_path / "o.json")
    assert np.allclose(a.boxes, [[10, 10, 30, 40], [35, 20, 45, 40], [1, 2, 9, 8]])
    assert a.ignored_boxes.tolist() == [[35, 25, 45, 35]] and not len(b.boxes)


def studio_region(**value: Any) -> dict[str, Any]:
    """A region of Label Studio in an image of 80x60."""
    kind = "polygonlabels" if "points" in value else "rectanglelabels"
    size = {"original_width": 80, "original_height": 60, "image_rotation": 0}
    return size | {"id": str(value), "from_name": "label", "type": kind, "value": value | {kind: ["face"]}}


def test_label_studio(tmp_path: Path) -> None:
    square = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    done = [
        {"was_cancelled": True, "result": []},
        {
            "was_cancelled": False,
            "result": [
                studio_region(**square),
                studio_region(**(square | {"rotation": 90})),
                studio_region(points=[[10, 10], [20, 10], [15, 50]]),
                {"type": "choices", "value": {"choices": ["blurred"]}},
            ],
        },
    ]
    tasks = [
        {"id": 1, "annotations": done, "data": {"image": "/data/upload/1/0123abcd-a.png"}},
        {"id": 2, "annotations": [], "data": {"image": "/data/local-files/?d=set%2Fb.png"}},
        {"id": 3, "annotations": done[:1], "data": {"image": "skipped.png"}},
    ]
    a, b = imported(write(tmp_path, "export.json", tasks), tmp_path / "o.json")
    assert np.allclose(a.boxes, [[40, 30, 60, 36], [34, 30, 40, 50], [8, 6, 16, 30]])  # about the top left corner
    assert (b.path.name, len(b.boxes)) == ("b.png", 0)
    value = square | {"rectanglelabels": ["face"], "original_width": 80, "original_height": 60}
    minimal = [{"id": 1, "image": "/data/upload/1/a.png", "label": [value]}]
    assert np.allclose(imported(write(tmp_path, "min.json", minimal), tmp_path / "m.json")[0].boxes, [[40, 30, 60, 36]])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.xml",
            "<annotation><imagesize/><object><polygon/></object></annotation>",
            "the XML of LabelMe",
        ),
        ("a.xml", '<annotations><track id="0" label="face"/></annotations>', "XML for video.*for images 1.1"),
        ("a.xml", '<dataset><images><image file="a.png"><box top="1" left="2"/></image></images></dataset>', "dlib's"),
        ("train.json", {"dm_format_version": "1.0", "categories": {}, "items": []}, "datumaro's own JSON.*coco_instan"),
        ("boxes.csv", "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "an OpenImages table"),
        ("boxes.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a table of boxes"),
        ("via.csv", "filename,file_size,file_attributes,region_count,region_id\n", "VIA's csv.*export it as JSON"),
        ("a.txt", KITTI, "KITTI text"),
        ("a.txt", DOTA, "DOTA text"),
    ],
)
def test_other_formats_are_named_with_the_export_to_choose(
    tmp_path: Path, name: str, content: object, says: str
) -> None:
    write(tmp_path / "in", name, content)
    fails(tmp_path / "in", tmp_path / "o.json", says)
    assert detect_format(tmp_path / "in") is None


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", [{"image": "a.png", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}], "createml"),
        ("a.json", [{"id": 1, "annotations": [{"result": []}], "data": {"image": "a.png"}}], "labelstudio"),
        ("a.json", {"a.png9": {"filename": "a.png", "regions": []}}, "via"),
        ("a.json", {"images": [], "annotations": [], "categories": []}, "coco"),
        ("a.xml", "<annotations><image name='a.png'/></annotations>", "cvat"),
        ("a.txt", "0 0.5 0.5 0.2 0.2 0.5 0.5 2\n", "yolo"),
    ],
)
def test_formats_are_told_apart(tmp_path: Path, name: str, content: object, expected: str) -> None:
    assert choose_format(write(tmp_path, name, content), None) == expected


def test_the_format_asked_for_wins_over_the_guess(tmp_path: Path) -> None:
    source = write(tmp_path, "a.json", [{"image": "a.png", "annotations": []}])
    assert choose_format(source, "coco") == "coco"
    says = "it has no list 'images'.*; it looks like CreateML's JSON: --from createml"
    fails(source, tmp_path / "o.json", says, source_format="coco")


def test_the_import_ends_in_a_table_and_a_contact_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]
    notes = [
        NOTE,
        NOTE | {"id": 6, "category_id": 2},
        NOTE | {"id": 8, "iscrowd": 1},
        NOTE | {"id": 9, "bbox": [0] * 4},
    ]
    imported(coco(tmp_path / "in", annotations=notes, categories=kinds), tmp_path / "o.json", label="face")
    table = " ".join(capsys.readouterr().out.split())
    assert table.startswith("images 1 without boxes 0 boxes of face 1 boxes to ignore 1 boxes of dog, left out 1")
    assert "left out: 1 box without area dropped, the first:" in table
    assert read_image(tmp_path / "o-boxes.png").shape[1] == 320
