import json
from pathlib import Path

import pytest

from pocketsight.train.datasets.formats.detect import detect_format
from tests.support.images import coco, labelme, picture
from tests.support.sources import FACES, NOTE, fails, fer, imported, voc, wider, yolo


def test_boxes_of_no_area_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes: list[list[float]] = [[10, 10, 0, 5], [10, 10, -5, 5], [90, 10, 5, 5], [-9, 10, 5, 5], [-5, 50, 20, 30]]
    source = coco(tmp_path, annotations=[NOTE | {"id": n, "bbox": box} for n, box in enumerate(boxes)])
    (example,) = imported(source, tmp_path / "out.json")
    assert example.boxes.tolist() == [[0, 50, 15, 60]]
    assert "4 boxes without area dropped, the first:" in capsys.readouterr().err


def test_a_coco_file_without_sizes_gets_them_from_the_pictures(tmp_path: Path) -> None:
    source = coco(tmp_path, images=[{"id": 7, "file_name": "images\\a.png"}])
    assert imported(source, tmp_path / "elsewhere" / "out.json")[0].size == (60, 80)
    (tmp_path / "images" / "a.png").write_text("no picture")
    fails(source, tmp_path / "out.json", r"a\.png is not an image whose size can be read")


def test_file_names_are_relative_even_through_a_link(tmp_path: Path) -> None:
    source = coco(tmp_path / "deep" / "data")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "data" / "images")
    assert imported(source, tmp_path / "link" / "out.json")[0].read().shape == (60, 80, 3)
    content = json.loads((tmp_path / "link" / "out.json").read_text())
    assert content["images"][0]["file_name"] == "a.png"
    assert content["annotations"][1] == {
        "id": 2,
        "image_id": 1,
        "category_id": 1,
        "bbox": [40, 10, 5, 5],
        "area": 25,
        "iscrowd": 1,
    }


def test_labelme_gets_copies_in_their_sub_folders_and_nothing_to_ignore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for key, name in enumerate(("one/a.png", "two/a.png", "two/a.jpg", "two/b.png")):
        picture(tmp_path / "in" / name, seed=key)
        rows.append({"id": key, "file_name": f"in/{name}", "width": 80, "height": 60})
    notes = [NOTE | {"image_id": 0}, NOTE | {"image_id": 3, "iscrowd": 1}]
    source = coco(tmp_path, images=rows, annotations=notes)
    found = imported(source, tmp_path / "out", target_format="labelme")
    assert {str(e.path.relative_to(tmp_path / "out" / "images")): len(e.boxes) for e in found} == {
        "one/a.png": 1,
        "two/a.png": 0,
        "two/a_jpg.jpg": 0,
    }
    assert (tmp_path / "out/images/two/a_jpg.jpg").read_bytes() == (tmp_path / "in/two/a.jpg").read_bytes()
    assert "1 image with boxes to ignore removed" in capsys.readouterr().err
    note = json.loads((tmp_path / "out/labels/one/a.json").read_text())
    assert list(note) == ["version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"]
    assert (tmp_path / "out/labels/one" / note["imagePath"]).resolve() == tmp_path / "out/images/one/a.png"
    (shape,) = note["shapes"]
    assert shape == {
        "label": "face",
        "points": [[10, 10], [30, 40]],
        "group_id": None,
        "shape_type": "rectangle",
        "flags": {},
    }


def test_coco_to_labelme_and_back_keeps_every_box(tmp_path: Path) -> None:
    source = coco(tmp_path, annotations=[NOTE | {"bbox": [10.25, 9.5, 20.125, 30]}, NOTE | {"id": 6}])
    first = imported(source, tmp_path / "folder", target_format="labelme")
    second = imported(tmp_path / "folder", tmp_path / "again.json")
    assert first[0].boxes.tolist() == second[0].boxes.tolist() == [[10.25, 9.5, 30.375, 39.5], [10, 10, 30, 40]]


def test_pictures_with_more_boxes_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "0--Parade/a.jpg\n2\n1 1 9 9\n20 20 9 9\n0--Parade/b.jpg\n1\n1 1 9 9\n"
    (example,) = imported(wider(tmp_path, text), tmp_path / "out.json", max_boxes=1)
    assert example.path.name == "b.jpg"
    assert "1 image with more than 1 box or with boxes to ignore removed" in capsys.readouterr().err
    fails(tmp_path / "wider_face_train_bbx_gt.txt", tmp_path / "no.json", "no image remains: 2 images", max_boxes=0)


def test_the_wrong_format_is_refused_with_the_right_one(tmp_path: Path) -> None:
    text = wider(tmp_path / "w", "0--Parade/a.jpg\n0\n")
    right = r"wider.*\.txt cannot be read as XML: .*; it looks like WIDER FACE text: --from wider"
    fails(text, tmp_path / "out.json", right, source_format="voc")
    fails(
        voc(tmp_path / "v"),
        tmp_path / "out.json",
        r"no \.txt files.*; it looks like Pascal VOC: --from voc",
        source_format="yolo",
    )
    (tmp_path / "x.txt").write_text("hello\n")
    fails(tmp_path / "x.txt", tmp_path / "out.json", r"format of .*x\.txt is unknown: not a COCO file, .* with --from")
    fails(tmp_path / "none", tmp_path / "out.json", "none does not exist")


def test_a_folder_of_two_formats_is_read_as_the_one_asked_for(tmp_path: Path) -> None:
    voc(yolo(tmp_path, "1 0.5 0.5 0.2 0.2\n"))
    assert detect_format(tmp_path) == "voc"
    assert len(imported(tmp_path, tmp_path / "out.json", source_format="yolo")) == 2


def test_every_format_is_recognised(tmp_path: Path) -> None:
    labelme(tmp_path / "l", "a", [[1, 1], [9, 9]])
    fer(tmp_path, FACES)
    sources = {
        "coco": coco(tmp_path / "c"),
        "fer2013": tmp_path / "fer2013.csv",
        "labelme": tmp_path / "l",
        "voc": voc(tmp_path / "v"),
        "wider": wider(tmp_path / "w", "0--Parade/a.jpg\n0\n"),
        "yolo": yolo(tmp_path / "y", "0 .5 0.5 1 2e-1\n"),
    }
    assert {form: detect_format(source) for form, source in sources.items()} == {form: form for form in sources}


def test_the_folder_of_a_single_file_will_do_if_there_is_one_only(tmp_path: Path) -> None:
    source = coco(tmp_path / "in")
    assert len(imported(source.parent, tmp_path / "out.json")) == 1
    (source.parent / "test.json").write_bytes(source.read_bytes())
    fails(source.parent, tmp_path / "no.json", r"is a folder; a COCO file is one file: give one of .*test\.json")


@pytest.mark.parametrize(("to", "name"), [("coco", "out.json"), ("labelme", "out")])
def test_what_is_there_is_not_overwritten(tmp_path: Path, to: str, name: str) -> None:
    source = coco(tmp_path / "in", annotations=[NOTE])
    if to == "labelme":
        (tmp_path / "out").mkdir()
    imported(source, tmp_path / name, target_format=to)
    fails(source, tmp_path / name, "exists already", target_format=to)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    table, source = fer(tmp_path, FACES)["source"], coco(tmp_path)
    fails(source, tmp_path / "out", r"writes one file, whose name ends in \.json")
    fails(source, tmp_path / "out.json", r"writes a folder", target_format="labelme")
    fails(source, tmp_path / "out", "a COCO file cannot become folders", target_format="folders")
    fails(source, tmp_path / "out.json", "--votes is for FER2013", votes=table)
    fails(table, tmp_path / "out.json", "FER2013's csv cannot become coco", target_format="coco")
    fails(table, tmp_path / "out", "are for boxes", max_boxes=1)


@pytest.mark.parametrize(("to", "name"), [("coco", "out.json"), ("labelme", "out")])
def test_nothing_is_left_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, name: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = coco(tmp_path, annotations=[NOTE])
    monkeypatch.setattr("shutil.copyfile" if to == "labelme" else "os.replace", full)
    fails(source, tmp_path / name, "cannot be written: No space left", target_format=to)
