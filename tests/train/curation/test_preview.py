"""Contact sheets of data sets, and faces cut from photographs: what people look at before they train."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.cli.main import main
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.vision.image import read_image
from pocketsight.train.contact_sheet import GREEN
from pocketsight.train.curation.face_crops import crop_faces
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.classification import read_classification_dataset, whole_image_box
from tests.support.images import FACE, coco, save, scene


def preview(*words: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["data", "preview", *map(str, words)])
    assert done.exit_code == status, done.output
    return done.output


def moods(folder: Path) -> Path:
    for n in range(6):
        save(folder / ("happy" if n % 2 else "sad") / f"{n}.jpg", scene(n))
    return folder


def test_boxes_stand_on_the_sheet_and_augmented_versions_beside(tmp_path: Path) -> None:
    path = coco(tmp_path)
    said = preview(path, "-o", tmp_path / "a.png")
    assert "1 images of" in said
    plain = read_image(tmp_path / "a.png")
    scale = 144 / 60  # the picture of 80x60 fills a tile of 192x144
    y, x = round(10 * scale), round(20 * scale)
    assert (np.abs(plain[y - 1 : y + 2, x].astype(int) - GREEN).sum(-1) < 30).any()
    preview(path, "--augment", "-o", tmp_path / "b.png")
    both = read_image(tmp_path / "b.png")
    assert (both[:144, :192] == plain[:144, :192]).all()
    versions = [both[:144, 192 * n : 192 * (n + 1)] for n in range(4)]
    assert all((a != b).any() for n, a in enumerate(versions) for b in versions[:n])
    preview(path, "--augment", "-o", tmp_path / "c.png")
    assert (read_image(tmp_path / "c.png") == both).all()  # the same seed, the same sheet


def test_class_folders_are_shown_as_each_net_will_see_them(tmp_path: Path) -> None:
    data = moods(tmp_path / "moods")
    for arch in ("crop71k", "cnn256"):
        said = preview(data, "--augment", "--arch", arch, "--count", 4, "-o", tmp_path / "a.png")
        assert "4 images" in said
    image = read_image(tmp_path / "a.png")
    tiles = [image[:144, 144 * n : 144 * (n + 1)] for n in range(4)]
    assert (tiles[1] == tiles[2]).all()  # cnn256's recipe changes nothing
    assert "its networks are: crop71k, " in preview(data, "--arch", "vgg16", status=1)


def test_damaged_pictures_are_counted_and_nothing_readable_is_one_line(tmp_path: Path) -> None:
    data = moods(tmp_path / "moods")
    (data / "sad" / "0.jpg").write_bytes(b"no picture")
    assert "5 images of" in (said := preview(data, "-o", tmp_path / "a.png")) and "1 could not be read" in said
    for path in data.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    assert "see: pocketsight data check" in preview(data, "-o", tmp_path / "a.png", status=1)
    save(tmp_path / "plain" / "a.jpg", scene(1))
    assert "label it first" in preview(tmp_path / "plain", status=1)


def crops(*words: object) -> str:
    done = CliRunner().invoke(main, ["data", "crops", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_crops_are_portraits_and_keep_part_and_class(tmp_path: Path) -> None:
    photo = read_image(EXAMPLE_IMAGE)
    for name in ("train/happy/a.png", "train/happy/a.jpg", "test/sad/b.png"):
        save(tmp_path / "photos" / name, photo)
    save(tmp_path / "photos" / "train" / "sad" / "nobody.png", np.zeros((200, 200, 3), np.uint8))
    (tmp_path / "photos" / "test" / "sad" / "broken.png").write_bytes(b"")
    said = crops(tmp_path / "photos", "-o", tmp_path / "faces")
    assert "skipped:" in said and "broken.png" in said
    assert "2 images,     2 faces cropped, no face in 0" in said and "3 images,     1 faces cropped" in said
    faces = sorted(path.relative_to(tmp_path / "faces") for path in (tmp_path / "faces").rglob("*.jpg"))
    assert list(map(str, faces)) == ["test/sad/b.jpg", "train/happy/a-2.jpg", "train/happy/a.jpg"]
    with (tmp_path / "faces" / "crops.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    portrait = read_image(tmp_path / "faces" / "train" / "happy" / "a-2.jpg")
    (row,) = [row for row in rows if row["crop"] == "train/happy/a-2.jpg"]
    box = [float(row[side]) for side in ("left", "top", "right", "bottom")]
    inner = whole_image_box(portrait, FACE_CROP_MARGIN)  # where training takes the face to be
    assert abs(inner.width - max(box[2] - box[0], box[3] - box[1])) < 2
    assert (tmp_path / "faces" / "crops.png").exists()
    save(tmp_path / "faces" / "train" / "sad" / "x.jpg", portrait)
    assert read_classification_dataset([tmp_path / "faces"], []).classes == ("happy", "sad")


def test_the_crop_is_the_largest_face_or_every_one(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", scene(1, (96, 128)))  # FACE sees one face wherever it looks
    for every in (False, True):
        cut = crop_faces(scan_dataset(tmp_path / "photos"), FACE, tmp_path / f"out{every}", every, iter)
        assert cut.crops_by_class.total() == 1 and not cut.without_face
    image = read_image(tmp_path / "outTrue" / "a.jpg")
    assert image.shape == (41, 41, 3)  # 32 px and MARGIN on either side


def test_crops_overwrite_nothing_and_keep_folders_and_sessions(tmp_path: Path) -> None:
    photo, data = read_image(EXAMPLE_IMAGE), tmp_path / "photos"
    for folder in "ab":
        save(data / "happy" / folder / "20261122T005014Z-a3f2_0001.png", photo)
    for out in (data, data / "happy", tmp_path):
        done = CliRunner().invoke(main, ["data", "crops", str(data), "-o", str(out)])
        assert done.exit_code == 1 and "overlap" in done.output
    crops(data, "-o", tmp_path / "faces", "--all")
    faces = sorted((tmp_path / "faces").rglob("*.jpg"))
    assert [path.parent.name for path in faces] == ["a", "b"]
    assert {parse_session_name(path.name) for path in faces} == {"20261122T005014Z-a3f2"}
    assert parse_session_name("20261122T005014Z-a3f2_0001_2.jpg") == parse_session_name(
        "20261122T005014Z-a3f2_0001-2.jpg"
    )
    done = CliRunner().invoke(main, ["data", "crops", str(data), "-o", str(tmp_path / "faces")])
    assert done.exit_code == 1 and "is not empty" in done.output


@pytest.mark.parametrize(("name", "says"), [("moods/sad/0.jpg/a.png", "cannot be written"), ("a.xyz", "end in .png")])
def test_a_sheet_that_cannot_be_written_is_one_line(tmp_path: Path, name: str, says: str) -> None:
    assert says in preview(moods(tmp_path / "moods"), "-o", tmp_path / name, status=1)


@pytest.mark.parametrize("model", ["sentiment.tflite", "nothing.tflite"])
def test_a_model_that_is_no_detector_is_one_line(tmp_path: Path, model: str) -> None:
    save(tmp_path / "a.jpg", scene(1))
    path = EXAMPLE_IMAGE.parent / model
    done = CliRunner().invoke(main, ["data", "crops", str(tmp_path), "--model", str(path), "-o", str(tmp_path / "o")])
    assert done.exit_code == 1 and len(done.output.splitlines()) == 1
