"""The names that other tools give to splits, wherever they occur."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.formats.coco import coco_split
from pocketsight.train.datasets.splits import SPLIT_NAMES, parse_split_name, parse_split_names
from tests.support.images import coco, labelme, picture, save, scene
from tests.support.sources import fails, imported, voc, yolo

NAMED = [(name, split) for split, names in SPLIT_NAMES.items() for name in names]


@given(
    st.sampled_from(NAMED),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from(["{}", "obj_{}_data", "{}2017", "{}_images", "{}-set"]),
)
def test_a_folder_of_any_tool_is_a_split(pair: tuple[str, str], case: object, form: str) -> None:
    assert callable(case)
    assert parse_split_name(form.format(case(pair[0]))) == pair[1]


@pytest.mark.parametrize("name", ["happy", "trainer", "contest", "validity", "images", "latest", "tests2", ""])
def test_another_folder_is_none(name: str) -> None:
    assert parse_split_name(name) == ""


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017.json", "train"),
        ("rf_valid.json", "val"),
        ("faces-Validation.json", "val"),
        ("facesTest.json", "test"),
        ("contest.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("Test/labels.json", "test"),
    ],
)
def test_a_coco_file_names_its_split(tmp_path: Path, name: str, split: str) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert coco_split(tmp_path / name) == split


def test_a_project_in_a_folder_called_test_is_no_test_split(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    assert coco_split(tmp_path / "test" / "faces.json") == "train"


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["seg_train", "seg_test"], ["train", "test"]),
        (["facesTrain", "facesVal"], ["train", "val"]),
        (["Train (1)", "Test (1)"], ["train", "test"]),
        (["Training", "PublicTest", "PrivateTest"], ["train", "val", "test"]),
        (["train", "test_faces"], ["train", "test"]),
        (["autosplit_train", "autosplit_val"], ["train", "val"]),
        (["train", "train_old"], ["train"]),  # two of one split are not joined
        (["test_tube", "train_station"], []),
        (["dev_board", "test_board"], []),
        (["train_test", "val_test"], []),
    ],
)
def test_names_with_other_words_are_splits_next_to_their_like(names: list[str], splits: list[str]) -> None:
    assert list(parse_split_names(names).values()) == splits


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "valid"), ("Train", "Validation"), ("TRAINING", "dev"), ("faces_train", "faces_val")],
)
def test_class_folders_in_splits_of_any_name_are_two_classes(tmp_path: Path, train: str, val: str) -> None:
    for split in (train, val):
        for name in ("happy", "sad"):
            picture(tmp_path / split / name / "a.png")
    data = read_classification_dataset([tmp_path], [])
    assert data.classes == ("happy", "sad")
    assert {split: len(samples) for split, samples in data.splits.items()} == {"train": 2, "val": 2}
    scan = scan_dataset(tmp_path)
    assert {(image.split, image.class_name) for image in scan.images} == {
        (split, name) for split in ("train", "val") for name in ("happy", "sad")
    }
    assert {str(scan.relative_path(image)) for image in scan.images} == {"a.png"}


def test_what_a_mac_leaves_is_no_class(tmp_path: Path) -> None:
    for name in ("happy", "sad", "__MACOSX/happy", ".ipynb_checkpoints"):
        picture(tmp_path / name / "a.png")
    picture(tmp_path / "happy" / "._a.png")
    assert read_classification_dataset([tmp_path], []).classes == ("happy", "sad")
    assert len(scan_dataset(tmp_path).images) == 2


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (("train/Happy", "train/sad", "test/happy"), "Happy and happy, which differ in capitals only"),
        (("happy/train", "happy/test", "sad/train"), "happy has the splits train, test inside"),
        (("train/happy", "train/valid", "train/sad"), "train/valid is a split inside a split"),
        (("seg_train/seg_train/a", "seg_test/seg_test/a"), "seg_train/seg_train is a split inside a split"),
        (
            ("train/happy", "train/sad", "eval/happy", "eval/sad"),
            "eval is no class: it has the classes happy, sad; name",
        ),
    ],
)
def test_a_layout_of_two_meanings_is_refused(tmp_path: Path, folders: tuple[str, ...], says: str) -> None:
    for name in folders:
        picture(tmp_path / name / "a.png")
    with pytest.raises(DataError, match=says):
        read_classification_dataset([tmp_path], [])
    with pytest.raises(DataError, match=says):
        scan_dataset(tmp_path)


def test_class_folders_outside_the_splits_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/happy", "train/sad", "new"):
        picture(tmp_path / name / "a.png")
    assert len(read_classification_dataset([tmp_path], []).splits["train"]) == 2
    assert "left out, outside the splits" in capsys.readouterr().err


def test_labelme_folders_in_splits_of_any_name(tmp_path: Path) -> None:
    labelme(tmp_path / "train", "a", [[1, 1], [9, 9]])
    labelme(tmp_path / "Valid", "b", [[1, 1], [9, 9]])
    assert {name: len(found) for name, found in read_detection_dataset(tmp_path).splits.items()} == {
        "train": 1,
        "val": 1,
    }
    assert [image.split for image in scan_dataset(tmp_path).images] == ["train", "val"]


def test_splits_within_a_folder_of_images_are_not_joined(tmp_path: Path) -> None:
    labelme(tmp_path, "train/a", [[1, 1], [9, 9]])
    labelme(tmp_path, "val/b", [[1, 1], [9, 9]])
    for read in (read_detection_dataset, scan_dataset):
        with pytest.raises(DataError, match="images has the splits train, val inside"):
            read(tmp_path)


@pytest.mark.parametrize("form", ["{0}/images/a.jpg {0}/labels/a.txt", "images/{0}/a.jpg labels/{0}/a.txt"])
def test_splits_of_yolo_are_named_and_read_one_by_one(tmp_path: Path, form: str) -> None:
    for split in ("Train", "Validation", "test"):
        image, label = form.format(split).split()
        picture(tmp_path / image)
        (tmp_path / label).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / label).write_text("0 0.5 0.5 0.5 0.5\n")
    fails(tmp_path, tmp_path / "no.json", "has the splits Train, Validation, test; .* --split train")
    (sample,) = imported(tmp_path, tmp_path / "one.json", split="val")
    assert "Validation" in str(sample.path) and sample.boxes.tolist() == [[20, 15, 60, 45]]
    fails(tmp_path / "test", tmp_path / "no.json", "does not exist|no .txt|unknown") if "images/{0}" in form else None


def test_splits_of_darknet_are_folders_or_lists(tmp_path: Path) -> None:
    for split, name in (("Train", "a"), ("Test", "b")):
        picture(tmp_path / f"obj_{split}_data" / f"{name}.jpg")
        (tmp_path / f"obj_{split}_data" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
        (tmp_path / f"{split}.txt").write_text(f"data/obj_{split}_data/{name}.jpg\n")
    fails(tmp_path, tmp_path / "no.json", "has the splits obj_Train_data, obj_Test_data")
    assert imported(tmp_path / "obj_Test_data", tmp_path / "t.json")[0].path.name == "b.jpg"
    flat = yolo(tmp_path / "flat", "1 0.5 0.5 0.2 0.2\n")
    for split, name in (("train", "a"), ("valid", "b")):
        (flat / f"{split}.txt").write_text(f"data/custom/{name}.jpg\n")
    fails(flat, tmp_path / "no.json", r"has the splits train, valid; .*train\.txt")
    assert [s.path.name for s in imported(flat / "valid.txt", tmp_path / "v.json")] == ["b.jpg"]
    (flat / "train.txt").write_text("data/custom/c.jpg\n")
    fails(flat, tmp_path / "no.json", r"train\.txt line 1 names .*c\.jpg", split="train")


def test_folders_and_lists_that_a_yaml_file_names_are_splits(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in ("faces/images/a", "b/c", "more/d"):
        picture(source / f"{name}.jpg")
    for label in ("faces/labels/a", "b/c", "more/d"):
        (source / label).parent.mkdir(exist_ok=True)
        (source / f"{label}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (source / "more.txt").write_text("./more/d.jpg\n")
    document = "names: [face]\ntrain: ../faces/images\nval: [b]\ntest: more.txt\n"
    (source / "data.yaml").write_text(document)
    fails(source, tmp_path / "no.json", "has the splits faces, b, more; import one at a time")
    for split, name in (("train", "a"), ("val", "c"), ("test", "d")):
        assert [s.path.stem for s in imported(source, tmp_path / f"{split}.json", split=split)] == [name]
    (source / "data.yaml").write_text("names: [face]\ntrain: b\nval: b\n")  # as people write who have one folder
    assert len(imported(source, tmp_path / "all.json")) == 3


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    fails(
        yolo(tmp_path / "a", "1 0.5 0.5 0.2 0.2\n"), tmp_path / "no.json", "has no val split; it has: none", split="val"
    )
    source = coco(tmp_path / "b").rename(tmp_path / "b" / "instances_train.json")
    fails(source, tmp_path / "no.json", "has no val split; it has: train", split="val")
    assert len(imported(source, tmp_path / "t.json", split="train")) == 1


def test_a_data_set_within_a_folder_is_not_joined(tmp_path: Path) -> None:
    source = voc(tmp_path / "devkit" / "VOC2007")
    (source / "ImageSets" / "Main").mkdir(parents=True)
    for split in ("train", "test"):
        (source / "ImageSets" / "Main" / f"{split}.txt").write_text("a\n")
    fails(tmp_path / "devkit", tmp_path / "no.json", "VOC2007 has the splits train, test; import that folder")


def test_data_split_keeps_images_in_the_split_of_any_name(tmp_path: Path) -> None:
    for n in range(3):
        for split, name in (("Train", "happy"), ("Train", "sad"), ("valid", "happy"), ("testing", "sad")):
            save(tmp_path / split / name / f"{n}.jpg", scene(n + 10 * len(split + name)))
    words = ["data", "split", str(tmp_path)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")}
    assert found == {"train/happy", "train/sad", "val/happy", "test/sad"}
    assert "nothing to do" in CliRunner().invoke(main, words).output
