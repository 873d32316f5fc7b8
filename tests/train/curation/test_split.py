"""`pocketsight data split`: nothing is lost, doubled or torn apart, and a second run changes nothing."""

import json
import os
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.train.curation import split as module
from pocketsight.train.curation.grouping import Group, assign_splits
from pocketsight.train.datasets.detection import read_detection_dataset
from tests.support.images import coco, labelme, save, scene

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def split(data: Path, *options: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["data", "split", str(data), *map(str, options)])
    assert done.exit_code == status, done.output
    return done.output


def state(folder: Path) -> dict[str, str]:
    """Every file with its sum."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def boxes(folder: Path, count: int) -> Path:
    """`count` pictures in labelme's layout, two of three with a face."""
    for n in range(count):
        name = f"{'deep/' * (n % 2)}p{n}"
        if n % 3:
            labelme(folder, name, [[10, 10], [40, 40]], with_picture=False)
        save(folder / "images" / f"{name}.jpg", scene(n, (60, 80)))
    return folder


def part_of(folder: Path) -> dict[str, str]:
    """The part of each picture, by its name."""
    found = {p.stem: p.relative_to(folder).parts[0] for p in folder.rglob("*.jpg")}
    assert len(found) == len(list(folder.rglob("*.jpg")))
    return found


def test_pictures_and_labels_go_together_and_training_can_read_them(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 60)
    before = Counter(state(data).values())
    said = split(data)
    assert "next: pocketsight train detector --data" in said
    plan = json.loads((data / "split.json").read_text())
    (data / "split.json").unlink()
    assert Counter(state(data).values()) == before
    parts = read_detection_dataset(data).splits
    assert {name: len(examples) for name, examples in parts.items()} == {"train": 42, "val": 9, "test": 9}
    assert {name: sum(len(e.boxes) for e in part) for name, part in parts.items()} == {"train": 28, "val": 6, "test": 6}
    assert plan["seed"] == 0 and plan["shares"] == SHARES and not plan["unfinished"]
    for name, row in plan["images"].items():
        assert sha256((data / row["split"] / "images" / name).read_bytes()).hexdigest() == row["sha256"]


def test_a_second_run_changes_nothing_and_new_pictures_join(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 40)
    split(data)
    before = state(data)
    assert "nothing to do" in split(data)
    assert state(data) == before
    twin = next((data / "test" / "images").rglob("*.jpg"))
    for n in range(100, 110):
        save(data / "images" / f"new{n}.jpg", scene(n, (60, 80)))
    save(data / "images" / "twin.png", scene(int(twin.stem[1:]), (60, 80)))  # looks like one of the test part
    split(data)
    after = state(data)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"split.json"} and len(after) == len(before) + 11
    assert (data / "test" / "images" / "twin.png").exists()


def test_the_seed_decides_and_again_gives_new_parts(tmp_path: Path) -> None:
    first, second = boxes(tmp_path / "a", 40), boxes(tmp_path / "b", 40)
    split(first)
    split(second, "--seed", 0)
    assert state(first) == state(second)
    before = part_of(first)
    split(first, "--seed", 5)
    assert part_of(first) == before  # they have their parts
    files = Counter(v for k, v in state(first).items() if k != "split.json")
    split(first, "--seed", 5, "--reassign")
    assert part_of(first) != before
    assert Counter(v for k, v in state(first).items() if k != "split.json") == files


def test_sessions_and_near_duplicates_stay_together(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for n in range(60):
        session = f"20261122T0050{n // 6:02d}Z-a3f2"
        save(data / ("happy" if n < 30 else "sad") / f"{session}_{n % 6:04d}.jpg", scene(n, (60, 80)))
    for n in range(60, 80):
        save(data / "happy" / f"web{n}.jpg", scene(n // 2, (90, 120)))  # pairs; some like one of a session
    split(data)
    parts: dict[str, set[str]] = {}
    for path in data.rglob("*.jpg"):
        part = path.relative_to(data).parts[0]
        number = int(path.stem[3:]) // 2 if path.stem.startswith("web") else None
        session = f"20261122T0050{number // 6:02d}Z-a3f2" if number is not None else path.stem.split("_")[0]
        parts.setdefault(session, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    assert {p.relative_to(data).parts[0] for p in data.rglob("*.jpg")} == set(SHARES)


def test_one_session_cannot_be_parted_unless_asked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for n in range(20):
        save(data / ("happy" if n % 2 else "sad") / f"20261122T005000Z-a3f2_{n:04d}.jpg", scene(n, (60, 80)))
    before = state(data)
    assert "capture in more sessions" in split(data, status=1)
    assert state(data) == before
    split(data, "--mix-sessions")
    assert Counter(part_of(data).values())["train"] == 14 and set(part_of(data).values()) == set(SHARES)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 7, 30])
def test_a_split_that_was_cut_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, copy: bool
) -> None:
    data, whole = boxes(tmp_path / "data", 30), boxes(tmp_path / "whole", 30)
    words = ["--out", tmp_path / "out"] if copy else []
    split(whole, *(["--out", tmp_path / "whole-out"] if copy else []))
    put, count = module._place_file, 0

    def killed(*args: Any, **options: Any) -> None:
        nonlocal count
        if count == stop:
            raise KeyboardInterrupt
        count += 1
        put(*args, **options)

    monkeypatch.setattr(module, "_place_file", killed)
    CliRunner().invoke(main, ["data", "split", str(data), *map(str, words)])
    monkeypatch.undo()
    split(data, *words)
    if copy:
        assert state(tmp_path / "out") == state(tmp_path / "whole-out")
    assert state(data) == state(whole)


def test_a_new_split_that_was_cut_off_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, whole = boxes(tmp_path / "data", 30), boxes(tmp_path / "whole", 30)
    for folder in (data, whole):
        split(folder)
    split(whole, "--reassign", "--seed", 3)
    rename, count = os.rename, 0

    def killed(*args: Any) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        rename(*args)

    monkeypatch.setattr(os, "rename", killed)
    CliRunner().invoke(main, ["data", "split", str(data), "--reassign", "--seed", "3"])
    monkeypatch.undo()
    split(data, "--reassign", "--seed", 3)  # the same command
    assert state(data) == state(whole)
    split(data, "--reassign", "--seed", 3)
    assert state(data) == state(whole)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 12)
    split(data)
    name = next((data / "train" / "images").glob("*.jpg")).name
    save(data / "images" / name, scene(77, (60, 80)))
    plan = json.loads((data / "split.json").read_text())
    plan["images"][name]["split"] = "train"
    before = state(data)
    assert "would be overwritten" in split(data, status=1)
    assert state(data) == before


def test_a_coco_file_becomes_one_a_part_and_groups_stay_together(tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        save(tmp_path / "in" / f"{n}.jpg", scene(n, (60, 80)))
        rows.append({"id": n, "file_name": f"{n}.jpg", "height": 60, "width": 80, "group": f"g{n // 4}"})
    notes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 20, 20]} for n in range(0, 40, 2)]
    path = coco(tmp_path / "in", images=rows, annotations=notes)
    (tmp_path / "out").mkdir()
    split(path, "--out", tmp_path / "out")
    groups: dict[str, set[str]] = {}
    for part in SHARES:
        (examples,) = read_detection_dataset(tmp_path / "out" / f"faces_{part}.json").splits.values()
        for example in examples:
            groups.setdefault(example.group, set()).add(part)
    assert len(groups) == 10 and all(len(found) == 1 for found in groups.values())
    before = state(tmp_path)
    assert "nothing to do" in split(path, "--out", tmp_path / "out")
    assert state(tmp_path) == before
    split(path, "--reassign", "--train", 0.8, "--val", 0.2, "--test", 0)
    split(path, "--reassign", "--test", 0.3, "--val", 0)
    assert (tmp_path / "in" / "faces_test.json").exists() and not (tmp_path / "in" / "faces_val.json").exists()


def test_two_coco_files_in_one_folder_have_plans_of_their_own(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 20)):
        rows = []
        for n in range(first, first + 20):
            save(tmp_path / f"{n}.jpg", scene(n, (60, 80)))
            rows.append({"id": n, "file_name": f".\\{n}.jpg"})  # as Windows writes it, and no size
        coco(tmp_path, images=rows, annotations=[]).rename(tmp_path / f"{name}.json")
        split(tmp_path / f"{name}.json")
    before = state(tmp_path)
    assert "nothing to do" in split(tmp_path / "a.json", "--seed", 7)
    assert state(tmp_path) == before
    names = [
        e.path.name
        for part in SHARES
        for e in next(iter(read_detection_dataset(tmp_path / f"a_{part}.json").splits.values()))
    ]
    assert sorted(names) == sorted(f"{n}.jpg" for n in range(20))
    (tmp_path / "a_split.json").unlink()
    (tmp_path / "a_test.json").write_text("mine")
    (tmp_path / "a_train.json").unlink()
    assert "a_test.json would be overwritten" in split(tmp_path / "a.json", status=1)
    assert not (tmp_path / "a_train.json").exists()


def test_links_are_not_moved_and_what_is_written_is_not_read_again(tmp_path: Path) -> None:
    for n in range(20):
        save(tmp_path / "pool" / f"{n}.jpg", scene(n, (60, 80)))
        kind = tmp_path / "data" / ("happy" if n % 2 else "sad")
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{n}.jpg").symlink_to(Path("..", "..", "pool", f"{n}.jpg"))
    (tmp_path / "linked" / "a").mkdir(parents=True)
    save(tmp_path / "linked" / "a" / "x.jpg", scene(30, (60, 80)))
    (tmp_path / "linked" / "b").symlink_to(tmp_path / "pool")
    before = state(tmp_path)
    for data in ("data", "linked"):
        assert "copy instead of moving" in split(tmp_path / data, status=1)
    for out in ("data", "data/out", "."):
        assert "overlap" in split(tmp_path / "data", "--out", tmp_path / out, status=1)
    assert state(tmp_path) == before
    split(tmp_path / "data", "--out", tmp_path / "out")
    assert len(part_of(tmp_path / "out")) == 20
    assert "another --out" in split(tmp_path / "data", "--out", tmp_path / "out", "--reassign", status=1)


def test_a_label_that_was_mended_is_copied_anew(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 12)
    split(data, "--out", tmp_path / "out")
    labelme(
        data, "p1" if (data / "labels" / "p1.json").exists() else "deep/p1", [[20, 20], [50, 50]], with_picture=False
    )
    assert "1 files written" in split(data, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--train", "0.9"], 2, "add up to 1.2, not 1"),
        (["--val", "2"], 2, "not in the range"),
        ([], 1, "neither labels"),
    ],
)
def test_bad_asking_is_one_line(tmp_path: Path, words: list[str], status: int, says: str) -> None:
    save(tmp_path / "data" / "a.jpg", scene(1))
    assert says in split(tmp_path / "data", *words, status=status)


def test_a_plan_that_is_none_is_one_line(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 12)
    (data / "split.json").write_text('{"images": {"a": {"split": "exam"}}}')
    assert "is not the plan of a split" in split(data, status=1)


def test_the_plan_of_an_older_version_is_still_read(tmp_path: Path) -> None:
    data = boxes(tmp_path / "data", 12)
    split(data)
    plan = json.loads((data / "split.json").read_text())
    images = plan.pop("images")
    plan["pictures"] = {name: {"part": row["split"], "sha256": row["sha256"]} for name, row in images.items()}
    for folder in SHARES:
        for path in (data / folder).rglob("*.*"):
            target = data / path.relative_to(data / folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    (data / "split.json").write_text(json.dumps(plan))  # only it knows the splits
    split(data, "--seed", 9)
    assert json.loads((data / "split.json").read_text())["images"] == images


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ab")), min_size=3, max_size=60), st.integers(0, 5))
def test_every_group_gets_a_part_and_no_part_stays_empty(sizes: list[tuple[int, str]], seed: int) -> None:
    def made() -> list[Group]:
        return [Group(list(range(size)), counts=Counter({kind: size})) for size, kind in sizes]

    groups = made()
    assign_splits(groups, SHARES, seed)
    assert {group.split for group in groups} == set(SHARES)
    same = made()
    assign_splits(same, SHARES, seed)
    assert [group.split for group in same] == [group.split for group in groups]
    if max(size for size, _ in sizes) == 1 and len(sizes) >= 40:
        for part, share in SHARES.items():
            assert abs(sum(g.split == part for g in groups) - share * len(groups)) <= 3


def test_two_groups_cannot_fill_three_parts() -> None:
    with pytest.raises(DataError, match="too few for 3 splits"):
        assign_splits([Group([0], counts=Counter(a=1)), Group([1], counts=Counter(a=1))], SHARES, 0)
    groups = [Group([0], counts=Counter(a=1)), Group([1], counts=Counter(a=1))]
    assign_splits(groups, {"train": 0.5, "val": 0.0, "test": 0.5}, 0)
    assert {group.split for group in groups} == {"train", "test"}
