"""`edgekit data check` on folders in which every fault was planted."""

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.device.cli import main
from edgekit.device.errors import DataError
from edgekit.device.image import fit, read_image, resize
from edgekit.train.data.check import KINDS, NOTE, _copies, check
from edgekit.train.data.fingerprint import (
    NEAR,
    Fingerprint,
    alike,
    fingerprint,
    fingerprints,
    first_before,
    first_like,
    unpacked,
)
from edgekit.train.data.survey import Item, survey, survey_all
from edgekit.train.faces import read_faces
from tests.pictures import coco, picture, save, scene

SIZE = 120, 160


def label(folder: Path, name: str, points: list[list[float]], text: str = "face", size: tuple[int, int] = SIZE) -> None:
    """A labelme file with one rectangle."""
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    shape = {"label": text, "points": points, "shape_type": "rectangle"}
    note = {"shapes": [shape], "imageHeight": size[0], "imageWidth": size[1]}
    (folder / "labels" / f"{name}.json").write_text(json.dumps(note))


def planted(root: Path) -> set[tuple[str, str]]:
    """A data set in labelme's layout with each fault that it can have; returns them."""
    train, test = root / "train", root / "test"
    box = [[40.0, 30.0], [90.0, 80.0]]
    for n in range(8):
        save(train / "images" / f"good{n}.jpg", scene(n))
        if n < 6:
            label(train, f"good{n}", box if n else box[::-1])  # a rectangle may be drawn from any corner
    save(test / "images" / "kept.jpg", scene(50))
    (train / "images" / "text.png").write_text("no picture")
    cut = save(train / "images" / "cut.jpg", scene(51))
    cut.write_bytes(cut.read_bytes()[:-5000])
    save(train / "images" / "other.webp", scene(52)).rename(train / "images" / "other.jpg")
    save(train / "images" / "few.jpg", scene(53)[:40, :40], quality=20)
    save(train / "images" / "thin.png", scene(54, (20, 300)))
    (train / "images" / "good0-again.jpg").write_bytes((train / "images" / "good0.jpg").read_bytes())
    save(train / "images" / "near.png", scene(2))
    save(test / "images" / "leak.jpg", resize(scene(1, (240, 320)), SIZE))
    save(train / "images" / "good1.jpg", scene(1, (240, 320)))
    label(train, "good1", box, size=(240, 320))
    save(train / "images" / "twin.jpg", scene(55))
    save(train / "images" / "twin.png", scene(56))
    label(train, "ghost", box)
    for n, name in enumerate(("bad", "resized", "typo", "empty", "outside", "tiny", "all")):
        save(train / "images" / f"{name}.jpg", scene(60 + n))
    (train / "labels" / "bad.json").write_text("{")
    label(train, "resized", box, size=(60, 80))
    label(train, "typo", box, "d")
    label(train, "empty", [[10, 10], [10, 40]])
    label(train, "outside", [[100, 10], [190, 40]])
    label(train, "tiny", [[10, 10], [13, 14]])
    label(train, "all", [[0, 0], [160, 120]])
    return {
        ("unreadable", "text.png"), ("unreadable", "cut.jpg"), ("wrong ending", "other.jpg"), ("small file", "few.jpg"),
        ("small picture", "thin.png"), ("duplicate", "good0-again.jpg"), ("near duplicate", "near.png"),
        ("leak", "good1.jpg"), ("same name", "twin.jpg"), ("same name", "twin.png"),
        ("label without picture", "ghost.json"), ("unreadable label", "bad.jpg"), ("wrong size", "resized.jpg"),
        ("unknown label", "typo.jpg"), ("empty box", "empty.jpg"), ("box outside", "outside.jpg"),
        ("tiny box", "tiny.jpg"), ("box covers all", "all.jpg"),
    }  # fmt: skip


def found_in(data: Path, *options: object) -> tuple[set[tuple[str, str]], dict[str, Any], int]:
    """(kind, name) of each fault, all that --json gives, and the exit status."""
    done = CliRunner().invoke(main, ["data", "check", str(data), "--json", "--html", str(data.parent / "p.html"),
                                     *map(str, options)])  # fmt: skip
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    facts = json.loads(done.stdout)
    return {(f["kind"], Path(f["path"]).name) for f in facts["faults"]}, facts, done.exit_code


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    wanted = planted(tmp_path / "data")
    found, facts, status = found_in(tmp_path / "data")
    assert found == wanted
    assert status == 3 and facts["status"] == 3
    assert facts["balance"]["test"] == {"without boxes": 2}
    assert facts["labels"] == {"face": 11, "d": 1}
    assert sum(facts["face_sizes"].values()) == 12 and facts["face_sizes"]["below 8"] == 1
    assert {kind for kind, _ in wanted} | {"two classes", "missing", "flipped box"} == set(KINDS)  # see the next tests


def test_a_picture_in_two_classes_is_found(tmp_path: Path) -> None:
    for n in range(6):
        save(tmp_path / "data" / ("happy" if n % 2 else "sad") / f"{n}.jpg", scene(n))
    save(tmp_path / "data" / "happy" / "both.png", scene(0))
    found, facts, status = found_in(tmp_path / "data")
    assert found == {("two classes", "0.jpg"), ("two classes", "both.png")}
    assert status == 3 and facts["balance"] == {"not split": {"happy": 4, "sad": 3}}


def test_faults_of_coco_files_are_found_and_taken_out(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows, notes = [], []
    boxes = [[40, 30, 50, 50], [40, 30, -20, 10], [150, 100, 40, 40], [40, 30, 50, 50], [10, 10, 60, 60]]
    for n, box in enumerate(boxes):
        name = f"images/{n}.jpg"
        if n != 3:
            save(folder / name, scene(n))
        rows.append({"id": n, "file_name": name, "height": 120, "width": 160})
        notes.append({"id": n, "image_id": n, "category_id": 1, "bbox": box})
    notes.append({"id": 9, "image_id": 4, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1})  # nothing to learn
    path = coco(folder, images=rows, annotations=notes)
    found, facts, status = found_in(path)
    assert facts["labels"] == {"face": 4}
    assert found == {("flipped box", "1.jpg"), ("box outside", "2.jpg"), ("missing", "3.jpg")} and status == 3
    _, facts, status = found_in(path, "--fix")
    assert facts["moved"] == 2 and status == 0
    assert len(read_faces(path).parts["train"]) == 2
    aside = json.loads((folder / "faces-quarantine" / "faces.json").read_text())
    assert [row["id"] for row in aside["images"]] == [1, 2, 3] and len(aside["annotations"]) == 3
    assert found_in(path) == (set(), found_in(path)[1], 0)


def test_two_coco_files_are_checked_for_leaks_between_them(tmp_path: Path) -> None:
    for part in ("train", "test"):
        rows = []
        for n in range(3):
            save(tmp_path / part / f"{n}.jpg", scene(7 if n == 0 else n + 10 * len(part)))
            rows.append({"id": n, "file_name": f"{part}/{n}.jpg", "height": 120, "width": 160})
        path = coco(tmp_path, images=rows, annotations=[])
        path.rename(tmp_path / f"{part}.json")
    report = check(survey_all([tmp_path / "train.json", tmp_path / "test.json"]), (), 0, 1)
    assert [(f.kind, f.path) for f in report.faults] == [("leak", tmp_path / "train" / "0.jpg")]
    with pytest.raises(DataError, match="only COCO files"):
        survey_all([tmp_path / "train.json", tmp_path])


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
    yours = {"same name", "unknown label"}
    assert kept == {(k, name) for k, name in wanted if KINDS[k][1] == NOTE or k in yours}
    with (quarantine / "moved.csv").open(newline="") as file:
        for was, now, kind, _ in csv.reader(file):
            assert not Path(was).exists() and Path(now).exists() and kind in KINDS
    assert (quarantine / "train" / "labels" / "empty.json").exists()
    (data / "train" / "images" / "twin.png").unlink()
    label(data / "train", "typo", [[40, 30], [90, 80]])
    assert found_in(data)[2] == 0  # notes alone are nothing to mend
    assert len(read_faces(data).parts["train"]) == 13


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
    assert {kind for kind, _ in found_in(data)[0]} == {"unknown label"}
    found, facts, status = found_in(data, "--rename", "d=face")
    assert (found, status, facts["labels"]) == (set(), 0, {"face": 4})
    assert read_faces(data).label == "face"
    done = CliRunner().invoke(main, ["data", "check", str(data), "--rename", "d"])
    assert done.exit_code == 2 and "is not like d=face" in done.output


def test_fix_refuses_to_move_most_of_the_data(tmp_path: Path) -> None:
    for n in range(6):
        picture(tmp_path / "data" / ("a" if n % 2 else "b") / f"{n}.png", (20, 20), n)
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path / "data"), "--fix", "--html", str(tmp_path / "p")])
    assert done.exit_code == 1 and "would move 6 of 6 pictures (6 small file)" in done.output
    assert len(list((tmp_path / "data").rglob("*.png"))) == 6 and not (tmp_path / "data-quarantine").exists()


def test_the_page_shows_the_offenders_and_says_what_people_named_their_files(tmp_path: Path) -> None:
    planted(tmp_path / "data")
    save(tmp_path / "data" / "train" / "images" / "<b>&.jpg", scene(99)[:50, :50], quality=20)
    words = ["data", "check", str(tmp_path / "data"), "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3 and "--fix moves it" in done.stdout and "next: edgekit data check" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert page.count("<figure>") == 19
    assert page.count("data:image/jpeg;base64,") == 16 + 3  # three have no picture, three a twin
    assert "<b>" not in page and "&lt;b&gt;&amp;.jpg" in page and "http" not in page
    gone = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "no" / "page.html")])
    assert gone.exit_code == 1 and "choose another place by --html" in gone.output


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere", "neither a folder"), ("empty", "holds no pictures"), ("bad.json", "is not a COCO file"),
     ("hollow", "without a picture")],
)  # fmt: skip
def test_what_is_no_data_set_is_one_line(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "images").mkdir(parents=True)
    (tmp_path / "bad.json").write_text("[]")
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path / name)])
    assert done.exit_code == 1 and says in done.output and len(done.output.splitlines()) == 1


def test_versions_of_a_picture_are_alike_and_others_are_not(tmp_path: Path) -> None:
    whole = scene(0, (240, 320))
    versions = {
        "plain": whole, "half": resize(whole, (120, 160)), "dark": (whole * 0.75).astype(np.uint8),
        "grey": np.repeat(whole.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1),
        "cut": whole[4:-4, 4:-4], "blurred": np.asarray(cv2.GaussianBlur(whole, (5, 5), 0), np.uint8),
    }  # fmt: skip
    paths = [save(tmp_path / f"{name}.jpg", image, quality=70) for name, image in versions.items()]
    paths += [save(tmp_path / f"{n}.jpg", scene(n, (240, 320))) for n in range(1, 80)]
    prints = list(fingerprints(paths, workers=2))
    assert [p.path for p in prints] == paths and prints[3].grey and not prints[0].grey
    assert alike(prints) == [[0, 1, 2, 3, 4, 5]]


def test_hashes_are_compared_whatever_block_they_are_in() -> None:
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32) for _ in range(4200)]
    hashes[4150] = hashes[3]
    flipped = bytearray(hashes[600])
    for n in range(NEAR // 8 + 1):
        flipped[n] ^= 0xFF
    hashes[20] = bytes(flipped)  # 8 bits too many
    flipped[0] ^= 0xFF
    hashes[4199] = bytes(flipped)  # within NEAR of both
    bits = unpacked(hashes)
    assert {n: m for n, m in enumerate(first_before(bits)) if m >= 0} == {4150: 3, 4199: 20}
    assert {n: m for n, m in enumerate(first_like(bits[600:], bits[:600])) if m >= 0} == {4150 - 600: 3, 4199 - 600: 20}
    assert first_like(bits[:5], bits[4100:], 0)[3] == 50
    prints = [Fingerprint(Path(str(n)), hash=value) for n, value in enumerate(hashes)]
    assert alike([*prints, Fingerprint(Path("unread"))]) == [[3, 4150], [20, 600, 4199]]
    assert first_before(bits[:0]) == [] and first_like(bits[:2], bits[:0]) == [-1, -1]


def test_a_chain_of_look_alikes_is_no_leak(tmp_path: Path) -> None:
    bits = unpacked([bytes(32)] * 5)
    for n in range(5):
        bits[n, : 50 * n] = 1
    items = [Item(tmp_path / f"{n}.jpg", part="test" if n == 0 else "train") for n in range(5)]
    prints = [
        Fingerprint(i.path, sha256=str(i), hash=np.packbits(b).tobytes()) for i, b in zip(items, bits, strict=True)
    ]
    assert next((f.kind, f.path.stem) for f in _copies(items, prints)) == ("leak", "1")
    assert sum(f.kind == "leak" for f in _copies(items, prints)) == 1
    assert alike(prints) == [[0, 1, 2, 3, 4]]  # but a split keeps them together


def test_a_picture_turned_by_its_exif_entry_has_its_upright_size(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(0, (40, 80))).save(tmp_path / "a.jpg", exif=exif)
    assert fingerprint(tmp_path / "a.jpg").size == read_image(tmp_path / "a.jpg").shape[:2] == (80, 40)


def test_a_survey_sees_pictures_that_came_after_a_split(tmp_path: Path) -> None:
    for name in ("train/happy/a.jpg", "test/sad/b.jpg", "sad/new.jpg"):
        save(tmp_path / name, scene(len(name)))
    items = {item.path.name: (item.part, item.kind) for item in survey(tmp_path).items}
    assert items == {"a.jpg": ("train", "happy"), "b.jpg": ("test", "sad"), "new.jpg": ("", "sad")}


def test_thumbnails_and_boxes_do_not_mind_broken_numbers(tmp_path: Path) -> None:
    from edgekit.train.data.labelled import Mark
    from edgekit.train.data.page import thumbnail

    path = save(tmp_path / "a.jpg", fit(scene(0), (300, 400))[0])
    boxes = [(float("nan"), 0.0, 1e30, 5.0), (-1e9, -1e9, 1e9, 1e9)]
    item = Item(path, [Mark(box, "face", "") for box in boxes])
    assert len(thumbnail(path, item)) > 1000


def test_a_check_ended_by_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    for n in range(400):
        save(tmp_path / "data" / f"{n}.jpg", scene(n, (240, 320)))
    program = "from edgekit.device.cli import main; main(prog_name='edgekit')"
    words = [sys.executable, "-c", program, "data", "check", str(tmp_path / "data"), "--html", str(tmp_path / "p")]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    while running.poll() is None and len(children.read_text().split()) < 2:  # the workers and what starts them
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    running.wait(20)
    for _ in range(50):
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a worker is still there")
