"""Further samples of what other tools write: names, encodings, labels, rows, and formats that are named only."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from pocketsight.device.errors import DataError
from pocketsight.train.curation.fix import rename_labels
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.formats.detect import sniff_format
from pocketsight.train.datasets.formats.image_finder import clean_name, finder_near
from pocketsight.train.datasets.soft_labels import read_votes
from tests.support.images import coco, labelme, picture
from tests.support.planted import found_in
from tests.support.sources import NOTE, fails, imported, voc, wider, yolo


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("images/a.jpg", "https://host/x/a.jpg?key=1&path=/y"),
        ("images/a.jpg", " a.jpg"),
        ("images/a.jpg", "photos/a.heic"),  # converted after it was labeled
        ("images/a.jpeg", "a.jpg"),
        ("images/caf\u00e9.jpg", "cafe\u0301.jpg"),  # the names of a Mac
        ("images/a b.jpg", "a+b.jpg"),
        ("photos/a.jpg", "a.jpg"),  # no folder of the usual names
    ],
)
def test_an_image_is_found_by_what_is_known_of_it(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (tmp_path / "annotations").mkdir()
    assert finder_near(tmp_path / "annotations" / "x.json", None).find(name) == path


def test_the_query_of_an_address_is_no_part_of_the_name() -> None:
    assert clean_name("s3://bucket/a.jpg?x=/b.png") == "/a.jpg"
    assert clean_name("folder/who?/a.jpg") == "folder/who?/a.jpg"


def test_images_of_other_splits_are_not_taken_as_empty(tmp_path: Path) -> None:
    for split in ("train", "val"):
        picture(tmp_path / "photos" / split / f"{split}.jpg")
        (tmp_path / "in" / "labels" / split).mkdir(parents=True)
        (tmp_path / "in" / "labels" / split / f"{split}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (sample,) = imported(tmp_path / "in", tmp_path / "o.json", images=tmp_path / "photos", split="val")
    assert sample.path.name == "val.jpg" and len(sample.boxes) == 1


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "picture,happy\na,1\n", "file,happy,sad\na,x,1\n", "file,happy,sad\na\n"]
)
def test_a_wrong_table_of_votes_is_named_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(DataError, match=r"votes\.csv is not a table of votes: [^(]*$"):
        read_votes(tmp_path / "votes.csv", ("happy", "sad"))


def test_a_labelme_file_of_another_name_belongs_to_the_image_that_it_names(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    path = (tmp_path / "labels" / "a.json").rename(tmp_path / "labels" / "other.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"imagePath": "..\\images\\a.png"}))
    assert imported(tmp_path, tmp_path / "o.json")[0].boxes.tolist() == [[1, 1, 9, 9]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_texts_with_a_mark_of_their_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    source = coco(tmp_path / "coco")
    source.write_bytes(source.read_text().encode(encoding))
    assert len(imported(source, tmp_path / "c.json")[0].boxes) == 1
    scan = scan_dataset(source)
    assert rename_labels(scan, {"face": "head"}) == 1
    assert json.loads(source.read_text())["categories"][0]["name"] == "head"
    source = yolo(tmp_path / "yolo", "1 0.5 0.5 0.5 0.5\n", names="")
    (source / "labels" / "a.txt").write_bytes("1 0.5 0.5 0.5 0.5\n".encode(encoding))
    (source / "classes.txt").write_bytes("dog\nvisage\n".encode(encoding))
    imported(source, tmp_path / "y.json")
    assert read_detection_dataset(tmp_path / "y.json").labels == ("visage",)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    source = yolo(tmp_path / "yolo", "0 0.5 0.5 0.5 0.5\n", names="")
    (source / "classes.txt").write_bytes("visagé\n".encode("latin-1"))
    fails(source, tmp_path / "no.json", r"classes\.txt cannot be read as text: .*; save it as UTF-8")


def test_images_of_other_kinds_in_a_coco_file_are_named_and_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.jxl").write_bytes(b"x")
    rows = [{"id": 7, "file_name": "images/a.png"}, {"id": 8, "file_name": "images/b.jxl"}]
    source = coco(tmp_path, images=rows, annotations=[NOTE, NOTE | {"id": 6, "image_id": 8}])
    found, _, status = found_in(source, "--fix")
    assert ("unread kind", "b.jxl") in found and status == 3 and (tmp_path / "images" / "b.jxl").exists()
    assert len(imported(source, tmp_path / "o.json")) == 1
    assert "left out, of a kind that is not read: 1 .jxl" in capsys.readouterr().err
    fails(coco(tmp_path, images=rows[1:], annotations=[]), tmp_path / "no.json", "has no image that can be read; left")


def test_labels_in_other_capitals_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [{"id": 1, "name": "face"}, {"id": 2, "name": "Face "}]
    source = coco(tmp_path / "in", annotations=[NOTE, NOTE | {"id": 6, "category_id": 2}], categories=kinds)
    for out, label in (("a", None), ("b", "FACE")):
        assert len(imported(source, tmp_path / f"{out}.json", label=label)[0].boxes) == 2
    assert "Face, face differ in capitals only" in capsys.readouterr().err


def test_voc_files_count_pixels_as_who_wrote_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = voc(tmp_path / "in", head="")
    text = (source / "Annotations" / "a.xml").read_text()
    picture(source / "JPEGImages" / "b.png")
    origin = "<source><database>The VOC2012 Database</database></source>"
    (source / "Annotations" / "b.xml").write_text(text.replace("a.png", "b.png").replace("<size>", f"{origin}<size>"))
    found = {s.path.name: s.boxes.tolist() for s in imported(source, tmp_path / "o.json")}
    assert found == {"a.png": [[11, 11, 30, 40]], "b.png": [[10, 10, 30, 40]]}
    assert "from 1 in 1 of 2 files" in capsys.readouterr().err
    (source / "Annotations" / "b.xml").write_text(
        text.replace("a.png", "b.png").replace("<size>", f"{origin}<size>").replace("11<", "0<")
    )
    assert imported(source, tmp_path / "z.json")[1].boxes.tolist() == [[0, 0, 30, 40]]  # 0 is no pixel of VOC's own


def test_a_shape_without_a_box_may_be_left_out_by_its_label(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]])
    labelme(tmp_path, "b", [[1, 1], [9, 9]], "dog")
    path = tmp_path / "labels" / "b.json"
    path.write_text(path.read_text().replace("rectangle", "linestrip"))
    says = "is a linestrip; draw a rectangle around the object, or leave its label out: --label face,dog"
    fails(tmp_path, tmp_path / "no.json", says)
    assert len(imported(tmp_path, tmp_path / "o.json", label="face")) == 2


def test_boxes_that_are_cut_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = [NOTE | {"bbox": [60, 10, 30, 30]}, NOTE | {"id": 6, "bbox": [60, 10, 21, 30]}]  # the second only rounds
    imported(coco(tmp_path / "in", annotations=notes), tmp_path / "o.json")
    assert "left out: 1 box reached beyond the image and was cut, the first:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("runs", "says"),
    [([1, 2], "do not add up to its size"), ([4800], "has neither a bbox nor an outline")],
)
def test_a_broken_mask_is_named(tmp_path: Path, runs: list[int], says: str) -> None:
    note = {key: value for key, value in NOTE.items() if key != "bbox"}
    mask = {"size": [60, 80], "counts": runs}
    fails(coco(tmp_path / "in", annotations=[note | {"segmentation": mask}]), tmp_path / "no.json", says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("face 0.5 0.5 0.2 0.2\n", "line 1: unknown class 'face'; a class is a whole number"),
        ("0,0.5,0.5,0.2,0.2\n", "line 1: unknown class"),
        ("0 60 60 40 60\n", "60 is not in 0..1; YOLO stores shares"),
        ("0 0.93 0.375 0.5 0.25 0.5\n", "is not in its image; a confidence belongs behind"),
    ],
)
def test_a_first_row_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    fails(yolo(tmp_path / "in", text), tmp_path / "no.json", says)


def test_yolo_without_a_row_and_with_other_texts(tmp_path: Path) -> None:
    source = yolo(tmp_path / "in", "")
    assert [len(sample.boxes) for sample in imported(source, tmp_path / "e.json")] == [0, 0]
    picture(tmp_path / "flat" / "a.jpg")
    for name, text in (("a", "0.000000 0.5 0.5 0.5 0.5\n"), ("LICENSE", "You may use it.\n"), ("list", "a.jpg\n")):
        (tmp_path / "flat" / f"{name}.txt").write_text(text)
    assert imported(tmp_path / "flat", tmp_path / "f.json")[0].boxes.tolist() == [[20, 15, 60, 45]]


def test_an_import_without_any_box_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(yolo(tmp_path / "in", ""), tmp_path / "o.json")
    assert "no image has a box: some exports leave out shapes" in capsys.readouterr().err


def test_wider_text_of_datumaro_has_labels_and_no_count_of_0(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "c.jpg")
    source = wider(tmp_path, "no_label/b.jpg\n0--Parade/a.jpg\n2\n10 10 20 30 \n1 1 9 9 dog\nc.jpg\n")
    found = {s.path.name: s.boxes.tolist() for s in imported(source, tmp_path / "o.json", label="face")}
    assert found == {"a.jpg": [[10, 10, 30, 40]], "b.jpg": [], "c.jpg": []}


def test_landmarks_that_are_absent_tell_what_a_row_is(tmp_path: Path) -> None:
    rows = ["0 0.5 0.5 0.5 0.5 " + mark * 5 for mark in ("0.5 0.5 ", "-1 -1 ")]
    source = yolo(tmp_path / "in", "\n".join(rows))
    assert imported(source, tmp_path / "o.json")[0].boxes.tolist() == [[20, 15, 60, 45]] * 2


@pytest.mark.parametrize(
    ("names", "says"),
    [("names: face\n", "has no class names"), ("names: [a]\nkpt_shape: 5\n", "the .yaml file of .*: kpt_shape is 5")],
)
def test_a_wrong_yaml_file_is_named(tmp_path: Path, names: str, says: str) -> None:
    fails(yolo(tmp_path / "in", "0 0.5 0.5 0.5 0.5\n", names), tmp_path / "no.json", says)


def test_a_yaml_file_may_name_the_file_of_the_names(tmp_path: Path) -> None:
    source = yolo(tmp_path / "in", "1 0.5 0.5 0.5 0.5\n", "names: my.txt\n")
    (source / "my.txt").write_text("dog\nface\n")
    imported(source, tmp_path / "o.json")
    assert read_detection_dataset(tmp_path / "o.json").labels == ("face",)


def test_what_a_task_of_label_studio_counts_as(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def region(x: float, kind: str = "rectanglelabels", **value: object) -> dict[str, object]:
        shape = {"x": x, "y": 50, "width": 25, "height": 10, **value}
        return {"type": kind, "from_name": "label", "original_width": 80, "original_height": 60, "value": shape}

    face = region(50, rectanglelabels=["object"])
    tasks = [
        {"annotations": [{"result": [face], "ground_truth": True}, {"result": []}], "data": {"image": "a.png"}},
        {"annotations": [{"result": [region(25, "rectangle")]}], "data": {"image": "b.png"}},
        {"annotations": [], "predictions": [{"result": [face]}], "data": {"image": "c.png"}},
    ]
    for name in "abc":
        picture(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "x.json").write_text(json.dumps(tasks))
    found = {s.path.name: s.boxes.tolist() for s in imported(tmp_path / "in", tmp_path / "o.json")}
    assert found == {"a.png": [[40, 30, 60, 36]], "b.png": [[20, 30, 40, 36]]}  # "object" is the label of none
    assert "1 tasks of Label Studio with predictions only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("a.csv", "path/a.jpg,40,30,80,90,face\n", "table"),
        ("a.csv", "image_name;x1;y1;x2;y2;class\n", "table"),
        ("a.csv", "image_id,width,height,bbox,source\n", "table"),
        ("a.csv", "filename,emotion\na.jpg,happy\n", None),
        ("label.txt", "# 0--Parade/a.jpg\n40 30 40 60 1 2 0.0 3 4 0.0 5 6 0.0 7 8 0.0 9 9 0.0 0.9\n", "retinaface"),
        ("a.json", {"categories": {"label": {}}, "items": [{"annotations": [{"label_id": 0}]}]}, "datumaro"),
        ("a.json", {"size": {}, "objects": [{"classTitle": "face"}]}, "supervisely"),
        ("a.json", [{"DataRow ID": "y", "Labeled Data": "a.jpg"}], "labelbox"),
        ("a.json", [{"name": "a.jpg", "labels": [{"box2d": {}}]}], "bdd100k"),
        ("a.json", {"asset": {}, "regions": [{"tags": ["face"], "boundingBox": {}}]}, "vott"),
        ("a.json", {"project": {"vid_list": []}}, "via-3"),
        ("a.json", [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}], "coco-results"),
        ("a.json", {"images": [{"image_name": "a.jpg"}], "label_classes": []}, None),
        ("a.json", {"images": [{"file_name": "a.jpg"}]}, "coco"),
        ("a.manifest", {"source-ref": "s3://b/a.jpg"}, "json-lines"),
    ],
)
def test_more_formats_are_known_by_name(tmp_path: Path, file: str, content: Any, expected: str | None) -> None:
    (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    assert sniff_format(tmp_path / file) == expected


def test_a_json_file_of_another_tool_is_named_where_coco_is_read(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(json.dumps([{"image": "a.png", "annotations": []}]))
    for read in (read_detection_dataset, scan_dataset):
        with pytest.raises(DataError, match=r"it is CreateML's JSON: pocketsight data import .*a\.json -o a-coco"):
            read(source)


def test_folders_of_images_with_labels_next_to_them_are_no_classes(tmp_path: Path) -> None:
    for name in ("one/a", "two/b"):
        picture(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match="it has the labels of a YOLO folder: pocketsight data import"):
        scan_dataset(tmp_path)


def test_the_format_asked_for_is_read_from_a_folder(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.json").write_text(json.dumps([{"image": "a.png", "note": "no boxes"}]))
    (sample,) = imported(tmp_path / "in", tmp_path / "o.json", source_format="createml")
    assert len(sample.boxes) == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_rotation_of_images_that_are_no_jpeg_counts_too(tmp_path: Path, kind: str) -> None:
    exif = Pillow.Exif()
    exif[0x112] = 6
    path = tmp_path / f"a.{kind.lower()}"
    Pillow.new("RGB", (80, 60)).save(path, kind, exif=exif.tobytes())
    rows = [{"id": 7, "file_name": path.name, "width": 80, "height": 60}]
    source = coco(tmp_path, images=rows, annotations=[NOTE | {"bbox": [10, 50, 20, 25]}])
    assert imported(source, tmp_path / "o.json")[0].boxes.tolist() == [[10, 50, 30, 75]]
