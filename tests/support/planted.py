"""Data sets in which every fault was planted, and what `pocketsight data check` says of them."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.vision.resize import resize
from tests.support.images import save, scene

SIZE = 120, 160
BOX = [[40.0, 30.0], [90.0, 80.0]]
# What `planted` plants: the type of the issue, and the file.
FAULTS = {
    ("unreadable", "text.png"),
    ("unreadable", "cut.jpg"),
    ("wrong extension", "other.jpg"),
    ("small file", "few.jpg"),
    ("small image", "thin.png"),
    ("duplicate", "good0-again.jpg"),
    ("near duplicate", "near.png"),
    ("leak", "good1.jpg"),
    ("same name", "twin.jpg"),
    ("same name", "twin.png"),
    ("label without image", "ghost.json"),
    ("unreadable label", "bad.jpg"),
    ("wrong size", "resized.jpg"),
    ("unknown label", "typo.jpg"),
    ("unsupported shape", "line.jpg"),
    ("empty box", "empty.jpg"),
    ("box outside", "outside.jpg"),
    ("tiny box", "tiny.jpg"),
    ("box covers all", "all.jpg"),
}


def label(folder: Path, name: str, points: list[list[float]], text: str = "face", size: tuple[int, int] = SIZE) -> None:
    """A labelme file with one rectangle."""
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    shape = {"label": text, "points": points, "shape_type": "rectangle"}
    note = {"shapes": [shape], "imageHeight": size[0], "imageWidth": size[1]}
    (folder / "labels" / f"{name}.json").write_text(json.dumps(note))


def planted(root: Path) -> set[tuple[str, str]]:
    """A data set in labelme's layout with each fault that it can have; returns them."""
    train, test = root / "train", root / "test"
    plant_images(train, test)
    plant_labels(train)
    return FAULTS


def plant_images(train: Path, test: Path) -> None:
    """Eight good images, six with a label, and those whose fault is in the image or its name."""
    for n in range(8):
        save(train / "images" / f"good{n}.jpg", scene(n))
        if n < 6:
            label(train, f"good{n}", BOX if n else BOX[::-1])  # a rectangle may be drawn from any corner
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
    label(train, "good1", BOX, size=(240, 320))
    save(train / "images" / "twin.jpg", scene(55))
    save(train / "images" / "twin.png", scene(56))


def plant_labels(train: Path) -> None:
    """Good images whose labels have faults, and a label without an image."""
    label(train, "ghost", BOX)
    for n, name in enumerate(("bad", "resized", "typo", "empty", "outside", "tiny", "all")):
        save(train / "images" / f"{name}.jpg", scene(60 + n))
    (train / "labels" / "bad.json").write_text("{")
    label(train, "resized", BOX, size=(60, 80))
    save(train / "images" / "line.jpg", scene(70))
    label(train, "line", BOX)
    line = train / "labels" / "line.json"
    line.write_text(line.read_text().replace("rectangle", "linestrip"))
    label(train, "typo", BOX, "d")
    label(train, "empty", [[10, 10], [10, 40]])
    label(train, "outside", [[100, 10], [190, 40]])
    label(train, "tiny", [[10, 10], [12, 13]])
    label(train, "all", [[0, 0], [160, 120]])


def found_in(data: Path, *options: object) -> tuple[set[tuple[str, str]], dict[str, Any], int]:
    """(issue type, file name) of each issue, the JSON report, and the exit status."""
    done = CliRunner().invoke(
        main, ["data", "check", str(data), "--json", "--html", str(data.parent / "p.html"), *map(str, options)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    facts = json.loads(done.stdout)
    return {(issue["type"], Path(issue["path"]).name) for issue in facts["issues"]}, facts, done.exit_code
