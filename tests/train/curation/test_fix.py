"""`pocketsight data check --fix`: what is bad goes aside, nothing is lost, wherever it is cut off."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.train.curation import fix as module
from pocketsight.train.curation.check import INFO, ISSUE_TYPES
from pocketsight.train.datasets.detection import read_detection_dataset
from tests.support.images import coco, picture, save, scene
from tests.support.planted import found_in, label, planted


def test_fix_moves_what_is_bad_and_loses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    wanted = planted(data)
    before = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    _, facts, status = found_in(data, "--fix")
    quarantine = Path(facts["quarantine"])
    assert quarantine == tmp_path / "data-quarantine" and status == 3  # some faults are for a person
    after = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    after["other.jpg"] = after.pop("other.webp")  # renamed
    assert {name: after[name] for name in before} == before
    kept, _, _ = found_in(data)
    yours = {"same name", "unknown label", "unsupported shape"}
    assert kept == {(k, name) for k, name in wanted if ISSUE_TYPES[k][1] == INFO or k in yours}
    with (quarantine / "moved.csv").open(newline="") as file:
        for was, now, kind, _ in csv.reader(file):
            assert not Path(was).exists() and Path(now).exists() and kind in ISSUE_TYPES
    assert (quarantine / "train" / "labels" / "empty.json").exists()
    (data / "train" / "images" / "twin.png").unlink()
    (data / "train" / "images" / "line.jpg").unlink()
    (data / "train" / "labels" / "line.json").unlink()
    label(data / "train", "typo", [[40, 30], [90, 80]])
    assert found_in(data)[2] == 0  # information alone is no problem
    assert len(read_detection_dataset(data).splits["train"]) == 14


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_a_label_typed_wrongly_is_put_right(tmp_path: Path, form: str) -> None:
    rows, notes = [], []
    for n in range(4):
        save(tmp_path / "data" / "images" / f"{n}.jpg", scene(n))
        rows.append({"id": n, "file_name": f"images/{n}.jpg", "height": 120, "width": 160})
        notes.append({"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": [40, 30, 50, 50]})
        label(tmp_path / "data", str(n), [[40, 30], [90, 80]], "d" if n % 2 else "face")
    kinds = [{"id": 1, "name": "face"}, {"id": 2, "name": "d"}]
    path = coco(tmp_path / "data", images=rows, annotations=notes, categories=kinds)
    data = path if form == "coco" else tmp_path / "data"
    assert {kind for kind, _ in found_in(data)[0]} == set()  # two labels are two kinds of object
    assert {kind for kind, _ in found_in(data, "--labels", "face")[0]} == {"unknown label"}
    found, facts, status = found_in(data, "--rename", "d=face")
    assert (found, status, facts["labels"]) == (set(), 0, {"face": 4})
    assert read_detection_dataset(data).labels == ("face",)
    done = CliRunner().invoke(main, ["data", "check", str(data), "--rename", "d"])
    assert done.exit_code == 2 and "is not of the form OLD=NEW, such as d=face" in done.output


def listed(folder: Path, names: list[str], **changes: object) -> Path:
    """A COCO file that lists pictures of those names, each with a box."""
    rows = [{"id": n, "file_name": name, "height": 120, "width": 160} for n, name in enumerate(names)]
    notes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [40, 30, 50, 50]} for n in range(len(names))]
    return coco(folder, images=rows, annotations=notes, **changes)


def test_a_picture_listed_twice_is_for_a_person_and_stays(tmp_path: Path) -> None:
    for n in range(4):
        save(tmp_path / "in" / "images" / f"{n}.jpg", scene(n))
    path = listed(tmp_path / "in", [f"images/{n}.jpg" for n in (0, 1, 2, 3)] + ["../in/images/3.jpg"])
    found, facts, status = found_in(path, "--fix")
    assert found == {("duplicate entry", "3.jpg")} and status == 3 and facts["removed_entries"] == 0
    assert len(json.loads(path.read_text())["images"]) == 5 and (tmp_path / "in" / "images" / "3.jpg").exists()


@pytest.mark.parametrize("form", ["coco", "labelme"])
def test_a_renaming_that_was_cut_off_loses_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    data = tmp_path / "data"
    for n in range(4):
        save(data / "images" / f"{n}.jpg", scene(n))
        label(data, str(n), [[40, 30], [90, 80]])
    note = data / "labels" / "2.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"imagePath": "../images/2.jpg"}))
    save(tmp_path / "2.png", scene(2)).rename(data / "images" / "2.jpg")
    path = listed(data, [f"images/{n}.jpg" for n in range(4)]) if form == "coco" else data

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_rewrite_coco_files" if form == "coco" else "write_json", killed)
    CliRunner().invoke(main, ["data", "check", str(path), "--fix", "--html", str(tmp_path / "p")])
    monkeypatch.undo()
    found_in(path, "--fix")
    faces = read_detection_dataset(path)
    assert [e.path.name for e in faces.splits["train"] if len(e.boxes)] == ["0.jpg", "1.jpg", "2.png", "3.jpg"]
    assert not (data / "images" / "2.jpg").exists()
    if form == "labelme":
        assert json.loads(note.read_text())["imagePath"] == "../images/2.png"


def test_the_quarantine_lies_beside_the_data_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "v1.0"
    for n in range(6):
        save(data / ("a" if n % 2 else "b") / f"{n}.jpg", scene(n))
    (data / "a" / "cut.jpg").write_bytes(b"")
    monkeypatch.chdir(data)
    done = CliRunner().invoke(main, ["data", "check", ".", "--fix", "--html", str(tmp_path / "p")])
    assert done.exit_code == 0 and (tmp_path / "v1.0-quarantine" / "a" / "cut.jpg").exists()


def test_fix_refuses_to_move_most_of_the_data(tmp_path: Path) -> None:
    for n in range(6):
        picture(tmp_path / "data" / ("a" if n % 2 else "b") / f"{n}.png", (20, 20), n)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path / "data"), "--fix", "--html", str(tmp_path / "p")])
    assert done.exit_code == 1 and "would remove 6 of 6 images (6 small image)" in done.output
    assert len(list((tmp_path / "data").rglob("*.png"))) == 6 and not (tmp_path / "data-quarantine").exists()
