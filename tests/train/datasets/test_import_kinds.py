"""Data sets as other tools write them: empty images, names of images, kinds of images and rows of YOLO."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pocketsight.device.errors import DataError
from pocketsight.device.vision import image_kinds
from pocketsight.device.vision.image import list_images, read_image
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.formats.image_finder import ImageFinder, clean_name
from pocketsight.train.datasets.formats.yolo_rows import Row, RowReader
from tests.support.images import coco, labelme, picture
from tests.support.planted import found_in
from tests.support.sources import NOTE, fails, imported, voc, yolo


def test_images_of_voc_without_a_file_are_empty(tmp_path: Path) -> None:
    voc(tmp_path)
    picture(tmp_path / "JPEGImages" / "deep" / "b.jpg")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\ndeep/b\n")
    for source in (tmp_path, tmp_path / "Annotations"):
        found = imported(source, tmp_path / f"{source.name}.json")
        assert {sample.path.name: len(sample.boxes) for sample in found} == {"a.png": 1, "b.jpg": 0}


def test_lists_of_voc_are_splits(tmp_path: Path) -> None:
    voc(tmp_path)
    picture(tmp_path / "JPEGImages" / "b.jpg")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, text in (("train", "a\n"), ("test", "b\n"), ("trainval", "a\n"), ("face_train", "a 1\n")):
        (lists / f"{name}.txt").write_text(text)
    fails(tmp_path, tmp_path / "no.json", "has the splits train, test; ")
    fails(tmp_path / "Annotations", tmp_path / "no.json", "has the splits train, test; ")
    assert [s.path.name for s in imported(tmp_path, tmp_path / "t.json", split="test")] == ["b.jpg"]
    assert [s.path.name for s in imported(lists / "train.txt", tmp_path / "a.json")] == ["a.png"]


FOLDERS = st.lists(st.sampled_from(["media", "upload", "..", "my data", "data"]), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(FOLDERS, st.sampled_from("/\\"), st.sampled_from(["", "/", "C:/", "http://localhost:8080/"]), st.booleans())
def test_an_image_is_found_by_its_last_part(
    tmp_path: Path, prefix: list[str], bar: str, start: str, quoted: bool
) -> None:
    path = tmp_path / "images" / "a folder" / "my image.png"
    if not path.exists():
        picture(path)
    name = start + bar.join([*prefix, "my image.png"])
    finder = ImageFinder([tmp_path / "images"], [tmp_path / "images"])
    assert finder.find(name.replace(" ", "%20") if quoted else name) == path


def test_the_longest_part_of_a_name_decides(tmp_path: Path) -> None:
    for name in ("one/a.png", "two/a.png"):
        picture(tmp_path / name)
    finder = ImageFinder([tmp_path], [tmp_path])
    assert finder.find("server/files/two/a.png") == tmp_path / "two" / "a.png"
    with pytest.raises(DataError, match=r"could be .*one/a.png or .*two/a.png"):
        finder.find("server/a.png")
    assert finder.find("b.png") == tmp_path / "b.png"  # where it should be
    assert clean_name("/data/local-files/?d=x%20y/a.png") == "x y/a.png"


@pytest.mark.parametrize(
    "name",
    ["../annot/media/upload/1/ab12cd34-a.jpg", "..\\..\\media\\ab12cd34-a.jpg", "ab12cd34-a.jpg", "/x/AB12cd34-A.JPG"],
)
@pytest.mark.parametrize("folder", ["images", "data", "JPEGImages", "train2017", "images/train"])
def test_images_are_found_in_the_usual_folders(tmp_path: Path, name: str, folder: str) -> None:
    picture(tmp_path / "set" / folder / "ab12cd34-a.jpg")
    rows = [{"id": 7, "file_name": name}]
    source = coco(tmp_path, images=rows, annotations=[NOTE])
    (tmp_path / "set" / "annotations").mkdir()
    source = source.rename(tmp_path / "set" / "annotations" / "instances_train2017.json")
    assert imported(source, tmp_path / "out.json")[0].path.name == "ab12cd34-a.jpg"


def test_images_of_another_split_are_not_taken(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "val" / "a.jpg")
    (tmp_path / "images" / "train").mkdir()
    source = coco(tmp_path, images=[{"id": 7, "file_name": "a.jpg"}], annotations=[NOTE])
    source = source.rename(tmp_path / "instances_train.json")
    fails(source, tmp_path / "out.json", "1 of 1 images are missing")


def test_advice_that_was_followed_is_not_given_again(tmp_path: Path) -> None:
    source = coco(tmp_path / "in", images=[{"id": 7, "file_name": "images/b.png"}], annotations=[NOTE])
    fails(source, tmp_path / "out.json", "give their folder: --images DIR")
    says = "images has 1 images, such as a.png, but not this one"
    fails(source, tmp_path / "out.json", says, images=tmp_path / "in" / "images")
    for read in (read_detection_dataset, scan_dataset):
        with pytest.raises(DataError, match=r"pocketsight data import .* --images DIR"):
            read(source)


def test_labelme_files_in_one_folder_find_images_in_subfolders(tmp_path: Path) -> None:
    for name in ("one/a", "two/a", "two/b"):
        picture(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels").mkdir()
    for name, path in (("a", "../images/two/a.png"), ("b", "b.png")):
        shape = {"label": "face", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
        note = {"shapes": [shape], "imagePath": path, "imageWidth": 80, "imageHeight": 60}
        (tmp_path / "labels" / f"{name}.json").write_text(json.dumps(note))
    found = imported(tmp_path, tmp_path / "o.json")
    assert {str(s.path.relative_to(tmp_path / "images")): len(s.boxes) for s in found} == {
        "one/a.png": 0,
        "two/a.png": 1,
        "two/b.png": 1,
    }


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "gif", "avif", "heic"])
def test_images_of_other_kinds_are_read(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    formats = {"jfif": "JPEG", "jpe": "JPEG", "heic": "HEIF"}
    path = tmp_path / "images" / f"a.{suffix}"
    path.parent.mkdir()
    Pillow.new("RGB", (80, 60), (200, 30, 30)).save(path, formats.get(suffix, suffix.upper()))
    image = read_image(path)
    assert image.shape == (60, 80, 3) and abs(image.mean((0, 1)) - [200, 30, 30]).max() < 8
    yolo(tmp_path, "0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "images" / "a.jpg").unlink()
    assert imported(tmp_path, tmp_path / "o.json")[0].boxes.tolist() == [[20, 15, 60, 45]]


def test_images_that_are_not_read_are_named_and_their_labels_are_no_orphans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_kinds, "readable_suffixes", lambda: image_kinds.IMAGE_SUFFIXES)
    monkeypatch.setattr("pocketsight.device.vision.image.readable_suffixes", lambda: image_kinds.IMAGE_SUFFIXES)
    labelme(tmp_path / "data", "a", [[1, 1], [19, 19]])
    labelme(tmp_path / "data", "c", [[1, 1], [19, 19]], with_picture=False)
    (tmp_path / "data" / "images" / "c.heic").write_bytes(b"x" * 99)
    (tmp_path / "data" / "images" / "d.cr2").write_bytes(b"x" * 99)
    found, _, status = found_in(tmp_path / "data", "--fix")
    assert ("unread kind", "c.heic") in found and ("unread kind", "d.cr2") in found and status == 3
    assert (tmp_path / "data" / "labels" / "c.json").exists()
    assert len(read_detection_dataset(tmp_path / "data").splits["train"]) == 1
    source = yolo(tmp_path / "yolo", "0 0.5 0.5 0.5 0.5\n")
    (source / "images" / "c.heic").write_bytes(b"x" * 99)
    (source / "labels" / "c.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert len(imported(source, tmp_path / "o.json")) == 2
    said = capsys.readouterr().err
    assert "1 .heic" in said and "c.heic" in said
    with pytest.raises(DataError, match=r"c\.heic is of a kind that is not read: \.heic; convert it|them"):
        read_image(source / "images" / "c.heic")
    assert list_images(source / "images") == [source / "images" / "a.jpg", source / "images" / "b.jpg"]


def test_labels_of_another_format_are_named_by_every_command(tmp_path: Path) -> None:
    shape = {"label": "face", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    picture(tmp_path / "near" / "a.png")
    (tmp_path / "near" / "a.json").write_text(json.dumps({"shapes": [shape], "imageWidth": 80, "imageHeight": 60}))
    for source in (tmp_path / "near", voc(tmp_path / "voc"), yolo(tmp_path / "yolo", "0 0.5 0.5 0.5 0.5\n")):
        with pytest.raises(DataError, match=f"pocketsight data import {source} -o"):
            scan_dataset(source)
    for source in (tmp_path / "near", tmp_path / "voc", tmp_path / "yolo"):
        with pytest.raises(DataError, match="pocketsight data import"):
            read_detection_dataset(source)


YAML = {"names": ["face"]}
FIVE = [0.45, 0.45, 0.55, 0.45, 0.5, 0.5, 0.46, 0.55, 0.54, 0.55]
BOX = [0.5, 0.5, 0.2, 0.4]
AROUND = (0.4, 0.3, 0.6, 0.7)


def read_rows(document: dict[str, object], *rows: list[float]) -> list[tuple[float, ...]]:
    found = [Row(0, values, f"a.txt line {n}", "row") for n, values in enumerate(rows, 1)]
    reader = RowReader(document, found)
    return [reader.read_bounds(row) for row in found]


@pytest.mark.parametrize(
    ("document", "values"),
    [
        ({}, BOX),
        ({}, [*BOX, 0.9]),  # confidence
        (YAML | {"kpt_shape": [5, 2]}, [*BOX, *FIVE]),
        (YAML | {"kpt_shape": [5, 2]}, [*BOX, *FIVE, 0.8]),
        (YAML | {"kpt_shape": [1, 3]}, [*BOX, 0.5, 0.5, 2]),
        (YAML | {"kpt_shape": [1, 2]}, [*BOX, 0.5, 0.5]),
        ({}, [*BOX, 0.5, 0.5, 2, 0.4, 0.4, 0]),  # the visibility shows
        (YAML, [0.4, 0.3, 0.6, 0.5, 0.5, 0.7]),
        (YAML, [0.4, 0.3, 0.6, 0.5, 0.5, 0.7, 0.9]),  # an outline with its confidence
        ({}, [0.5, 0.3, 0.6, 0.5, 0.5, 0.7, 0.4, 0.5]),  # a turned box
    ],
)
def test_a_row_is_what_the_whole_says(document: dict[str, object], values: list[float]) -> None:
    assert read_rows(document, values)[0] == pytest.approx(AROUND)


@pytest.mark.parametrize(
    ("document", "values", "says"),
    [
        ({}, [*BOX, *FIVE], "line 1: 'row' may be an outline or a box with landmarks; put a data.yaml"),
        (YAML | {"kpt_shape": [5, 3]}, [*BOX, *FIVE], "14 numbers after the class; kpt_shape needs 19"),
        (YAML | {"kpt_shape": 5}, BOX, "kpt_shape is 5"),
        ({}, [0.1, 0.2, 0.3], "is not 'class cx cy w h'"),
        ({}, [0.5, 0.5, 20.0, 0.4], "20 is not in"),
    ],
)
def test_a_row_of_two_meanings_is_refused(document: dict[str, object], values: list[float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_rows(document, values)


def test_rows_without_names_are_outlines_if_one_cannot_be_landmarks() -> None:
    far = [0.9, 0.9, 0.95, 0.92, 0.97, 0.97, 0.91, 0.95, 0.9, 0.93, 0.9, 0.92, 0.9, 0.91]
    assert read_rows({}, [*BOX, *FIVE], far)[1] == pytest.approx((0.9, 0.9, 0.97, 0.97))
    assert len(read_rows({}, [*BOX, *FIVE], [0.1, 0.1, 0.2, 0.1, 0.2, 0.2])) == 2


@given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.02, 0.2), st.floats(0.02, 0.2), st.floats(0, 2 * math.pi))
def test_a_turned_box_is_told_from_its_corners(cx: float, cy: float, w: float, h: float, angle: float) -> None:
    c, s = math.cos(angle), math.sin(angle)
    corners = [(cx + x * c - y * s, cy + x * s + y * c) for x, y in ((-w, -h), (w, -h), (w, h), (-w, h))]
    (found,) = read_rows({}, [value for corner in corners for value in corner])
    assert found == pytest.approx(
        (min(x for x, _ in corners), min(y for _, y in corners), max(x for x, _ in corners), max(y for _, y in corners))
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dataset.yaml", "names: {0: dog, 1: face}"),
        ("my-faces.yml", "names: [dog, face]"),
        ("faces.names", "dog\nface\n"),
        ("labels/classes.txt", "dog\nface\n"),
    ],
)
def test_class_names_are_found_wherever_tools_put_them(tmp_path: Path, file: str, text: str) -> None:
    source = yolo(tmp_path, "1 0.5 0.5 0.2 0.2\n", names="")
    (tmp_path / file).write_text(text)
    imported(source, tmp_path / "o.json")
    assert read_detection_dataset(tmp_path / "o.json").labels == ("face",)


def test_lists_of_images_are_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "a.jpg")
    (tmp_path / "data" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "images.txt").write_text("data/a.jpg\n")
    (tmp_path / "obj.names").write_text("face\n")
    assert imported(tmp_path, tmp_path / "o.json")[0].boxes.tolist() == [[20, 15, 60, 45]]
