"""`pocketsight data check` on folders in which every fault was planted."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.curation.check import ISSUE_TYPES, _find_duplicates, check
from pocketsight.train.curation.image_hash import Fingerprint, near_duplicate_groups, unpack_hashes
from pocketsight.train.curation.scan import ScannedImage, scan_dataset, scan_datasets
from pocketsight.train.datasets.detection import read_detection_dataset
from tests.support.images import coco, save, scene
from tests.support.planted import found_in, planted


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    wanted = planted(tmp_path / "data")
    found, facts, status = found_in(tmp_path / "data")
    assert found == wanted
    assert status == 3 and facts["status"] == 3
    assert facts["balance"]["test"] == {"without boxes": 2}
    assert facts["labels"] == {"face": 11, "d": 1}
    assert sum(facts["box_sizes"].values()) == 12 and facts["box_sizes"]["below 8"] == 1
    assert {kind for kind, _ in wanted} | {
        "two classes",
        "unclassified image",
        "missing",
        "flipped box",
        "duplicate entry",
        "unread kind",
        "size before rotation",
        "no cell",
    } == set(ISSUE_TYPES)  # see the next tests


def test_a_picture_in_two_classes_is_found(tmp_path: Path) -> None:
    for n in range(6):
        save(tmp_path / "data" / ("happy" if n % 2 else "sad") / f"{n}.jpg", scene(n))
    save(tmp_path / "data" / "happy" / "both.png", scene(0))
    save(tmp_path / "data" / "loose.jpg", scene(9))
    found, facts, status = found_in(tmp_path / "data")
    assert found == {("two classes", "0.jpg"), ("two classes", "both.png"), ("unclassified image", "loose.jpg")}
    assert status == 3 and facts["balance"] == {"not split": {"happy": 4, "sad": 3}}


def test_faults_of_coco_files_are_found_and_taken_out(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows, notes = [], []
    boxes = [[40, 30, 50, 50], [40, 30, -20, 10], [150, 100, 40, 40], [40, 30, 50, 50], *[[10, 10, 60, 60]] * 4]
    for n, box in enumerate(boxes):
        name = f"images/{n}.jpg"
        if n != 3:
            save(folder / name, scene(n))
        rows.append({"id": n, "file_name": name, "height": 120, "width": 160})
        notes.append({"id": n, "image_id": n, "category_id": 1, "bbox": box})
    notes.append({"id": 9, "image_id": 4, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1})  # nothing to learn
    path = coco(folder, images=rows, annotations=notes)
    found, facts, status = found_in(path)
    assert facts["labels"] == {"face": 7}
    assert found == {("flipped box", "1.jpg"), ("box outside", "2.jpg"), ("missing", "3.jpg")} and status == 3
    _, facts, status = found_in(path, "--fix")
    assert (facts["moved"], facts["removed_entries"], facts["status"], status) == (2, 3, 0, 0)
    assert len(read_detection_dataset(path).splits["train"]) == 5
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
    report = check(scan_datasets([tmp_path / "train.json", tmp_path / "test.json"]), (), 0, 1)
    assert [(f.type, f.path) for f in report.issues] == [("leak", tmp_path / "train" / "0.jpg")]
    with pytest.raises(DataError, match="only COCO files"):
        scan_datasets([tmp_path / "train.json", tmp_path])


def test_the_next_command_keeps_the_limits_and_can_be_pasted(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    for n in range(6):
        save(data / ("a" if n % 2 else "b") / f"{n}.jpg", scene(n, (60, 80)))
    words = ["data", "check", str(data), "--html", str(tmp_path / "p"), "--min-bytes", "0"]
    assert f"next: pocketsight data split '{data}'" in CliRunner().invoke(main, words).output
    save(data / "a" / "tiny.jpg", scene(9, (20, 20)))
    assert f"next: pocketsight data check '{data}' --min-bytes 0 --fix" in CliRunner().invoke(main, words).output


def test_the_page_shows_the_offenders_and_says_what_people_named_their_files(tmp_path: Path) -> None:
    planted(tmp_path / "data")
    save(tmp_path / "data" / "train" / "images" / "<b>&.jpg", scene(99)[:50, :50], quality=20)
    words = ["data", "check", str(tmp_path / "data"), "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3 and "--fix moves it" in done.stdout and "next: pocketsight data check" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert page.count("<figure>") == 20
    assert page.count("data:image/jpeg;base64,") == 17 + 3  # three have no picture, three a twin
    assert "<b>" not in page and "&lt;b&gt;&amp;.jpg" in page and "http" not in page
    gone = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "page.html" / "page.html")])
    assert gone.exit_code == 1 and "choose another file with --html" in gone.output


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere", "neither a folder"),
        ("empty", "has no images"),
        ("bad.json", "is not a COCO file"),
        ("hollow", "without an image"),
    ],
)
def test_what_is_no_data_set_is_one_line(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "images").mkdir(parents=True)
    (tmp_path / "bad.json").write_text("[]")
    done = CliRunner().invoke(main, ["data", "check", str(tmp_path / name)])
    assert done.exit_code == 1 and says in done.output and len(done.output.splitlines()) == 1


def test_a_chain_of_look_alikes_is_no_leak(tmp_path: Path) -> None:
    bits = unpack_hashes([bytes(32)] * 5)
    for n in range(5):
        bits[n, : 50 * n] = 1
    items = [ScannedImage(tmp_path / f"{n}.jpg", split="test" if n == 0 else "train") for n in range(5)]
    prints = [
        Fingerprint(i.path, sha256=str(i), perceptual_hash=np.packbits(b).tobytes())
        for i, b in zip(items, bits, strict=True)
    ]
    assert next((f.type, f.path.stem) for f in _find_duplicates(items, prints)) == ("leak", "1")
    assert sum(f.type == "leak" for f in _find_duplicates(items, prints)) == 1
    assert near_duplicate_groups(prints) == [[0, 1, 2, 3, 4]]  # but a split keeps them together


def test_a_survey_sees_pictures_that_came_after_a_split(tmp_path: Path) -> None:
    for name in ("train/happy/a.jpg", "test/sad/b.jpg", "sad/new.jpg"):
        save(tmp_path / name, scene(len(name)))
    items = {item.path.name: (item.split, item.class_name) for item in scan_dataset(tmp_path).images}
    assert items == {"a.jpg": ("train", "happy"), "b.jpg": ("test", "sad"), "new.jpg": ("", "sad")}


def test_thumbnails_and_boxes_do_not_mind_broken_numbers(tmp_path: Path) -> None:
    from pocketsight.train.curation.html_report import thumbnail
    from pocketsight.train.datasets.formats.base import Annotation

    path = save(tmp_path / "a.jpg", letterbox(scene(0), (300, 400))[0])
    boxes = [(float("nan"), 0.0, 1e30, 5.0), (-1e9, -1e9, 1e9, 1e9)]
    item = ScannedImage(path, [Annotation(box, "face", "") for box in boxes])
    assert len(thumbnail(path, item)) > 1000


def test_a_check_ended_by_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    for n in range(400):
        save(tmp_path / "data" / f"{n}.jpg", scene(n, (240, 320)))
    program = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
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
