import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.formats.base import read_upright_size
from tests.support.images import coco, labelme, picture
from tests.support.sources import NOTE, OBJECT, fails, imported, voc, wider, yolo


def test_wider_text_gives_faces_and_regions_to_ignore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "0--Parade/a.jpg\n4\n10 10 20 30 0 0 0 0 0 0 \n40 10 5 5 2 0 0 1 0 0 \n"
        "5 5 0 7 0 0 0 0 0 0 \n70 50 40 40 0 0 0 0 0 0\n"
        "0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
    )
    a, b = imported(wider(tmp_path, text), tmp_path / "out.json")
    assert a.boxes.tolist() == [[10, 10, 30, 40], [70, 50, 80, 60]]
    assert a.ignored_boxes.tolist() == [[40, 10, 45, 15]]
    assert (a.size, len(b.boxes), b.path.name) == ((60, 80), 0, "b.jpg")
    said = capsys.readouterr().err
    assert "2 images (1 without boxes), 2 boxes of face, 1 box to ignore; 1 box without area dropped" in said
    assert "bbx_gt.txt line 5; 1 box reached beyond the image and was cut, the first: " in said
    assert "bbx_gt.txt line 6\nnext: pocketsight data check" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0--Parade/a.jpg\n1\n10 10 20\n", r"line 3: '10 10 20' is not 'x y w h blur"),
        ("0--Parade/a.jpg\n1\n10 10 x 30 0 0 0 0 0 0\n", "line 3: 'x' is not a number"),
        ("0--Parade/a.jpg\n1\n10 10 nan 30 0 0 0 0 0 0\n", "line 3: 'nan' is not a finite"),
        ("0--Parade/a.jpg\n2\n10 10 20 30 0 0 0 0 0 0\n", r"ends within the faces of 0--Parade/a\.jpg"),
        ("0--Parade/a.jpg\n", "line 1: 'nothing' is not the number"),
        ("0--Parade/a.jpg\n1\n1 1 9 9\n1 1 9 9\n", "line 4: '1 1 9 9' is not the path of an image"),
        ("0--Parade/a.jpg\n0\n0--Parade/c.jpg\n0\n", r"names .*c\.jpg, which does not exist; 1 of 2 .* --images"),
        ("0--Parade/a.jpg\n0\n0--Parade/a.jpg\n0\n", r"lists .*a\.jpg more than once"),
        ("", "has no labeled images; is it WIDER"),
    ],
)
def test_a_fault_in_wider_text_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    fails(wider(tmp_path, text), tmp_path / "out.json", says, source_format="wider")


def test_the_pictures_of_wider_may_be_elsewhere(tmp_path: Path) -> None:
    source = wider(tmp_path, "0--Parade/a.jpg\n1\n1 1 9 9 0 0 0 0 0 0\n")
    (tmp_path / "images").rename(tmp_path / "moved")
    picture(tmp_path / "flat" / "images" / "a.jpg")
    flat = source.rename(tmp_path / "flat" / source.name)
    assert len(imported(flat, tmp_path / "flat.json")) == 1  # by its name
    source = flat.rename(tmp_path / source.name)
    fails(source, tmp_path / "out.json", "1 of 1 images are missing; give their folder: --images DIR")
    fails(source, tmp_path / "out.json", "is not a folder", images=tmp_path / "images")
    assert len(imported(source, tmp_path / "out.json", images=tmp_path / "moved")) == 1


def test_difficult_objects_of_voc_are_regions_to_ignore(tmp_path: Path) -> None:
    objects = OBJECT.format(difficult=0, left=11) + OBJECT.format(difficult=1, left=21)
    (example,) = imported(voc(tmp_path, objects), tmp_path / "out.json", first_pixel=1)
    assert example.boxes.tolist() == [[10, 10, 30, 40]]  # the first pixel is 1, and the last is within
    assert example.ignored_boxes.tolist() == [[20, 10, 30, 40]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("<name>face</name>", ""), r"a\.xml: object 1 has no <name>"),
        (("<xmin>11</xmin>", ""), r"a\.xml: object 1: <bndbox> has no <xmin>"),
        (("<xmin>11", "<xmin>inf"), "object 1: <bndbox>: 'inf' is not a finite"),
        (("<width>80", "<width>-?"), r"a\.xml: its size: '-\?' is not a number"),
        (("</object>", ""), r"a\.xml cannot be read as XML: mismatched tag: line 2"),
        (("<annotation>", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>'), "has a DOCTYPE"),
        (("a.png", "c.png"), None),
    ],
)
def test_a_fault_in_voc_is_named(tmp_path: Path, change: tuple[str, str], says: str | None) -> None:
    file = voc(tmp_path) / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace(*change))
    if says:
        fails(tmp_path, tmp_path / "out.json", says)
    else:  # a wrong <filename>: the picture of the same name as the file
        assert imported(tmp_path, tmp_path / "out.json")[0].path.name == "a.png"


def test_entities_cannot_hide_in_another_encoding(tmp_path: Path) -> None:
    file = voc(tmp_path) / "Annotations" / "a.xml"
    file.write_bytes(
        file.read_text().replace("<annotation>", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>').encode("utf-16")
    )
    fails(tmp_path, tmp_path / "out.json", "has a DOCTYPE", source_format="voc")


def test_yolo_is_in_shares_of_the_upright_picture(tmp_path: Path) -> None:
    source = yolo(tmp_path, "1 0.25 0.5 0.25 0.5\n\n1 0.9 0.5 0.4 0.5\n1 0.1 0.1 0.2 0.1 0.2 0.3\n")
    a, b = imported(source, tmp_path / "out.json")
    assert np.allclose(a.boxes, [[10, 15, 30, 45], [56, 15, 80, 45], [8, 6, 16, 18]])
    assert (a.size, b.size, len(b.boxes)) == ((60, 80), (60, 80), 0)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (80, 60)).save(tmp_path / "images" / "a.jpg", exif=exif)
    turned = imported(source, tmp_path / "turned.json")[0]
    assert np.allclose(turned.boxes[0], [7.5, 20, 22.5, 60])
    assert turned.read().shape == (80, 60, 3)  # raises where size and picture differ


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_sizes_are_those_of_the_picture_as_it_is_read(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Pillow.new("RGB", (80, 60)).save(path, exif=exif)
    assert read_upright_size(path) == read_image(path).shape[:2]


def test_a_size_is_read_from_the_head_of_a_file(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (300, 400))
    path.write_bytes(path.read_bytes()[:60])
    assert read_upright_size(path) == (300, 400)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 0.5 0.5 0.2\n", r"a\.txt line 1: '1 0\.5 0\.5 0\.2' is not 'class cx cy w h'"),
        ("1 0.5 0.5 0.2 0.2 1.9\n", "line 1: 1.9 is not in"),
        ("\n1 0.5 0.5 20 0.2\n", "line 2: 20 is not in 0..1; YOLO stores shares"),
        ("1 0.5 0.5 -0.2 0.2\n", "line 1: -0.2 is not in"),
        ("1 0.5 0.5 nan 0.2\n", "line 1: 'nan'"),
        ("2 0.5 0.5 0.2 0.2\n", "line 1: unknown class '2'; there are 2"),
        ("face 0.5 0.5 0.2 0.2\n", "line 1: unknown class 'face'"),
    ],
)
def test_a_fault_in_yolo_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    fails(yolo(tmp_path, text), tmp_path / "out.json", says, source_format="yolo")


@pytest.mark.parametrize(
    ("file", "text"),
    [("data.yaml", "names: {0: cat, 1: face}"), ("classes.txt", "cat\nface\n"), ("obj.names", "cat\r\nface\r\n")],
)
def test_yolo_class_names_come_from_the_file_beside(tmp_path: Path, file: str, text: str) -> None:
    source = yolo(tmp_path, "1 0.5 0.5 0.2 0.2\n", names="")
    imported(source, tmp_path / "number.json")
    assert read_detection_dataset(tmp_path / "number.json").labels == ("1",)
    (tmp_path / file).write_text(text)
    imported(source / "labels", tmp_path / "name.json")
    assert read_detection_dataset(tmp_path / "name.json").labels == ("face",)


def test_yolo_files_beside_their_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.jpg")
    for name, text in (("a", "0 0.5 0.5 0.5 0.5"), ("classes", "face"), ("train", "data/a.jpg")):
        (tmp_path / "in" / f"{name}.txt").write_text(text)
    assert imported(tmp_path / "in", tmp_path / "out.json")[0].boxes.tolist() == [[20, 15, 60, 45]]
    (tmp_path / "in" / "c.txt").write_text("0 0.5 0.5 0.5 0.5")
    fails(tmp_path / "in", tmp_path / "no.json", r"c\.jpg, which does not exist")


@pytest.mark.parametrize("text", ["nc: 1", "names: 3", "names: [a", "- a"])
def test_a_yaml_file_without_names_is_named(tmp_path: Path, text: str) -> None:
    source = yolo(tmp_path, "1 0.5 0.5 0.2 0.2\n", names=text)
    fails(source, tmp_path / "out.json", r"data\.yaml has no class names")


def test_parts_are_not_joined(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        yolo(tmp_path / part, "1 0.5 0.5 0.2 0.2\n")
    fails(tmp_path, tmp_path / "out.json", r"has the splits train, valid; import one at a time: .*/train")
    assert len(imported(tmp_path / "valid", tmp_path / "out.json")) == 2
    (tmp_path / "pair" / "images").mkdir(parents=True)
    (tmp_path / "pair" / "labels").mkdir()
    for folder in ("images", "labels"):
        (tmp_path / "train" / folder).rename(tmp_path / "pair" / folder / "train")
    assert len(imported(tmp_path / "pair" / "labels" / "train", tmp_path / "pair.json")) == 2
    fails(tmp_path / "pair" / "images", tmp_path / "no.json", r"images/train has no \.txt files", source_format="yolo")
    (tmp_path / "pair" / "images" / "val").mkdir()
    fails(tmp_path / "pair", tmp_path / "no.json", r"import one at a time: .*labels/train")


def test_labelme_files_in_their_folder_or_beside_the_pictures(tmp_path: Path) -> None:
    labelme(tmp_path / "in", "day/a", [[10, 10], [30, 40]])
    picture(tmp_path / "in" / "images" / "b.png")
    assert [len(e.boxes) for e in imported(tmp_path / "in", tmp_path / "one.json")] == [0, 1]
    (tmp_path / "flat").mkdir()
    for path in [*(tmp_path / "in").rglob("a.*")]:
        path.rename(tmp_path / "flat" / path.name)
    assert imported(tmp_path / "flat", tmp_path / "two.json")[0].boxes.tolist() == [[10, 10, 30, 40]]


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ({"shapes": 3}, r"a\.json is not a labelme file"),
        ({"shapes": [], "imageHeight": 0, "imageWidth": 9}, "image size 9x0 is invalid"),
        ({"shapes": [{"points": [[1, 1], [2, float("nan")]], "label": "a"}], "imageHeight": 9, "imageWidth": 9}, "nan"),
        (
            {"shapes": [{"points": [[1, 1]], "label": "a", "shape_type": "point"}], "imageHeight": 9, "imageWidth": 9},
            "shape 0 is a point",
        ),
    ],
)
def test_a_fault_in_labelme_is_named(tmp_path: Path, note: dict[str, object], says: str) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    (tmp_path / "labels" / "a.json").write_text(json.dumps(note))
    fails(tmp_path, tmp_path / "out.json", says)


def test_one_label_of_a_coco_file_is_chosen(tmp_path: Path) -> None:
    notes = [NOTE, NOTE | {"id": 6, "category_id": 2}, NOTE | {"id": 8, "category_id": 2, "ignore": 1}]
    source = coco(tmp_path, annotations=notes, categories=[{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}])
    fails(source, tmp_path / "out.json", r"has no box of 'cat'; it has: dog \(2\), face \(1\)", label="cat")
    (example,) = imported(source, tmp_path / "out.json", label="dog")
    assert (len(example.boxes), len(example.ignored_boxes), example.group) == (1, 1, "g")
    assert read_detection_dataset(tmp_path / "out.json").labels == ("dog",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"annotations": [NOTE | {"bbox": [1, 2, 3]}]}, "annotation 5 of images/a.png: bbox is .*, not x, y"),
        ({"annotations": [NOTE | {"bbox": [1, 2, 3, None]}]}, "annotation 5 of images/a.png: a number is missing"),
        (
            {"annotations": [NOTE | {"bbox": [1, 2, 3, float("inf")]}]},
            "annotation 5 of images/a.png: inf is not a finite",
        ),
        ({"annotations": [NOTE | {"image_id": 8}]}, "annotation 5: there is no image_id 8"),
        ({"annotations": [NOTE | {"category_id": 8}]}, "annotation 5: there is no category_id 8"),
        ({"images": [{"id": 7, "file_name": "images/a.png", "width": -1, "height": 60}]}, "size -1x60"),
        ({"images": []}, "annotation 1: there is no image_id"),
        ({"images": [], "annotations": []}, "has no labeled images"),
        ({"categories": None}, "not a COCO file"),
        ({"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]}, "the same id"),
    ],
)
def test_a_fault_in_coco_is_named(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    fails(coco(tmp_path, **changes), tmp_path / "out.json", says, source_format="coco")
