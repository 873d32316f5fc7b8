import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.train.curation.labelme_app import labels_in_use, run_labelme
from pocketsight.train.datasets.detection import read_detection_dataset
from tests.support.images import labelme, picture
from tests.support.processes import running, until
from tests.support.sources import yolo

PYTHON = sys.executable
Colour = tuple[int, int, int]  # RGB
FACES: dict[str, tuple[Colour, tuple[int, int, int, int]]] = {  # left, top, right, bottom, px
    "a": ((255, 0, 255), (100, 60, 180, 160)),
    "b": ((0, 255, 255), (200, 20, 280, 120)),
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for labelme, beside Python: it writes down how it was called."""
    monkeypatch.setenv("DISPLAY", ":0")
    return stand_in(tmp_path / "bin", monkeypatch, "exit 0")


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> Path:
    """A labelme that ends with a line of shell. Returns the file that it writes."""
    folder.mkdir(exist_ok=True)
    code = (
        "import json, os, sys; words = sys.argv[2:]; config = words[words.index('--config') + 1]; "
        "json.dump([words, json.load(open(config)), dict(os.environ)], open(sys.argv[1], 'w'))"
    )
    call = folder / "call.json"
    (folder / "labelme").write_text(f"#!/bin/sh\n'{PYTHON}' -c \"{code}\" '{call}' \"$@\"\n{ends}\n")
    (folder / "labelme").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return call


def called(call: Path) -> tuple[list[str], dict[str, Any], dict[str, str]]:
    """Words, settings and environment of the stand-in's one call."""
    words, settings, environment = json.loads(call.read_text())
    return words, settings, environment


def test_labelme_saves_by_itself_and_takes_only_the_labels_allowed(
    tmp_path: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "data" / "images" / f"{name}.png")
    labelme(tmp_path / "data", "b", [[1, 1], [9, 9]])
    run_labelme(tmp_path / "data", ("cat", "dog"))
    words, settings, _ = called(program)
    assert words[:3] == [str(tmp_path / "data" / "images"), "--output", str(tmp_path / "data" / "labels")]
    assert settings == {"auto_save": True, "store_data": False, "labels": ["cat", "dog"], "validate_label": "exact"}
    assert f"1 of 3 images have labels; next: pocketsight data check {tmp_path / 'data'}" in capsys.readouterr().out


def test_without_labels_those_in_use_are_allowed_or_else_face(tmp_path: Path, program: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    run_labelme(tmp_path, ())
    assert called(program)[1]["labels"] == ["face"]
    labelme(tmp_path, "a", [[1, 1], [9, 9]], "dog")
    run_labelme(tmp_path, ())
    assert called(program)[1]["labels"] == ["dog"]


def test_label_files_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    labelme(tmp_path, "a", [[1, 1], [9, 9]], "dog")
    labelme(tmp_path, "b", [[1, 1], [9, 9]], "cat")
    broken = ("{", "[]", "3", '{"shapes": 3}', '{"shapes": [{"label": ["x"]}]}', '{"shapes": [{"label": 3}]}', "\udcff")
    for number, text in enumerate(broken):
        (tmp_path / "labels" / f"{number}.json").write_bytes(text.encode(errors="surrogateescape"))
    assert labels_in_use(tmp_path / "labels") == ("cat", "dog")
    assert labels_in_use(tmp_path / "nowhere") == ()


def test_the_labelme_beside_python_comes_first_then_the_path(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "data" / "images" / "a.png")
    beside = sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # no labelme there
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    run_labelme(tmp_path / "data", ())
    program.unlink()
    monkeypatch.setattr(sys, "executable", beside)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    run_labelme(tmp_path / "data", ())
    assert program.exists()


def test_no_labelme_is_one_line_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images" / "a.png")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"labelme is not installed; install it with: .*pip install -e '.*\[label\]'"):
        run_labelme(tmp_path, ())


def test_labels_that_labelme_cannot_read_are_refused(tmp_path: Path, program: Path) -> None:
    yolo(tmp_path, "0 0.5 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match="has labels that labelme cannot read; it has the labels of a YOLO folder"):
        run_labelme(tmp_path, ())


def test_no_screen_is_one_line(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images" / "a.png")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match="labelme needs a display, and there is none"):
        run_labelme(tmp_path, ())
    assert not program.exists()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["train/images/a.png", "val/images/b.png"],
            r"is split; label one split: pocketsight data label \S+/train",
        ),
        ([], r"images has no images; capture some with: pocketsight data capture -o \S+/images"),
        (["images/monday/a.png"], r"images/monday/a\.png must be in \S+/images itself"),
        (["images/a.jpg", "images/a.png"], r"a\.png and a\.jpg would share one label file; rename one"),
    ],
)
def test_data_that_labelme_would_confuse_is_refused(tmp_path: Path, program: Path, names: list[str], says: str) -> None:
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(DataError, match=says):
        run_labelme(tmp_path, ())
    assert not program.exists()


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ("echo first >&2; printf '\\033[31mno such thing\\033[0m\\n\\n' >&2; exit 3", "status 3: no such thing$"),
        ("exit 4", "status 4: no error message"),
        (
            "echo 'could not connect to display :0' >&2; exit 6",
            "cannot connect to the display :0; does it exist, and may you use it",
        ),
        ("echo 'Could not load the Qt platform plugin \"xcb\"' >&2; exit 6", "sudo apt install libxcb-icccm4"),
    ],
)
def test_a_labelme_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Path, ends: str, says: str
) -> None:
    picture(tmp_path / "images" / "a.png")
    stand_in(tmp_path / "bin", monkeypatch, ends)
    with pytest.raises(DataError, match=says) as raised:
        run_labelme(tmp_path, ())
    assert "\n" not in str(raised.value)


def test_the_qt_of_opencv_is_kept_from_labelme(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images" / "a.png")
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "/x/site-packages/cv2/qt/plugins")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    run_labelme(tmp_path, ())
    environment = called(program)[2]
    assert "QT_QPA_PLATFORM_PLUGIN_PATH" not in environment
    assert environment["QT_QPA_PLATFORM"] == "xcb"


@dataclass(frozen=True)
class Desk:
    """A virtual screen with a mouse and keys."""

    environment: dict[str, str]
    buffer: Path  # what is on the screen, as an XWD file

    def xdotool(self, *words: object) -> str:
        """What xdotool prints; "" where it finds nothing."""
        command = ["xdotool", *map(str, words)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout.strip()

    def windows(self, title: str) -> list[str]:
        """Numbers of the windows with a title like that. xdotool's own search overlooks labelme's dialogs."""
        numbers = self.xdotool("search", "--onlyvisible", "--name", ".*").split()
        return [number for number in numbers if re.search(title, self.xdotool("getwindowname", number), re.IGNORECASE)]

    def window(self, title: str) -> None:
        """Wait for such a window, and for the keys to go there."""
        until(lambda: self.windows(title) != [], 60)  # a first start on a busy machine is slow
        (number,) = self.windows(title)
        self.xdotool("windowfocus", number)
        until(lambda: self.xdotool("getwindowfocus") == number)

    def gone(self, title: str) -> None:
        """Wait until no such window is left."""
        until(lambda: self.windows(title) == [])

    def pixels(self) -> NDArray[np.uint8]:
        """The screen, (H, W, 3) RGB. https://www.x.org/releases/X11R7.7/doc/ has the format in XWDFile.h."""
        data = self.buffer.read_bytes()
        head = struct.unpack(">25I", data[:100])
        start, height, width, line = head[0] + 12 * head[19], head[5], head[4], head[12]
        rows = np.frombuffer(data, np.uint8, height * line, start).reshape(height, line)
        return rows[:, : 4 * width].reshape(height, width, 4)[..., 2::-1]

    def where(self, colour: Colour) -> tuple[int, int, int, int]:
        """Wait for a rectangle of a colour to come to rest: left, top, right, bottom on the screen."""
        seen = [(0, 0, 0, 0)]

        def rests() -> bool:
            rows, columns = np.nonzero((self.pixels() == colour).all(-1))
            if len(rows):
                seen.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
            return len(rows) > 0 and seen[-1] == seen[-2]

        until(rests)
        return seen[-1]


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A virtual screen on whichever number is free, which stays up when xdotool, for once its only client, leaves."""
    read, write = os.pipe()
    words = ["-displayfd", write, "-screen", "0", "1280x900x24", "-fbdir", folder, "-noreset"]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "QT_", "WAYLAND_", "LC_"))}
    with running(["Xvfb", *map(str, words)], pass_fds=[write], stderr=subprocess.DEVNULL):
        os.close(write)
        with open(read) as number:
            display = number.readline().strip()
        assert display, "Xvfb did not start"
        yield Desk(keep | {"DISPLAY": f":{display}", "HOME": str(folder), "LANG": "C"}, folder / "Xvfb_screen0")


def draw(desk: Desk, box: tuple[int, int, int, int]) -> None:
    """Click at two corners, so that labelme asks for a label."""
    left, top, right, bottom = box
    desk.xdotool("key", "ctrl+r")
    desk.xdotool("mousemove", left, top, "click", 1)
    desk.xdotool("mousemove", (left + right) // 2, (top + bottom) // 2)
    desk.xdotool("mousemove", right, bottom, "click", 1)


def answer(desk: Desk, label: str) -> None:
    desk.window("^labelme$")  # its question
    desk.xdotool("type", label)
    desk.xdotool("key", "Return")


@pytest.mark.debian("Xvfb", "xdotool")
def test_boxes_drawn_with_the_mouse_in_labelme_are_those_that_are_read(tmp_path: Path) -> None:
    """The real labelme on a virtual screen: the mouse draws around the colour that is the face."""
    if not (shutil.which("labelme", path=str(Path(sys.executable).parent)) or shutil.which("labelme")):
        pytest.skip("needs labelme: pip install -e '.[label]'")
    data, home = tmp_path / "data", tmp_path / "home"
    (data / "images").mkdir(parents=True)
    home.mkdir()
    for name, (colour, (left, top, right, bottom)) in FACES.items():
        image = np.full((240, 320, 3), 128, np.uint8)
        image[top:bottom, left:right] = colour[::-1]
        cv2.imwrite(str(data / "images" / f"{name}.png"), image)
    code = (
        "import sys, pathlib; from pocketsight.train.curation.labelme_app import run_labelme; "
        "run_labelme(pathlib.Path(sys.argv[1]), ())"
    )
    with (
        desk(home) as at,
        running(
            [sys.executable, "-c", code, str(data)], env=at.environment, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        at.window(r"/a\.png")
        box = at.where(FACES["a"][0])
        draw(at, box)
        answer(at, "dog")  # not allowed
        at.window("^invalid label$")
        at.xdotool("key", "Return")
        at.gone("^invalid label$")
        at.window(r"/a\.png")
        at.xdotool("key", "Escape")  # drop the box; a second click where the last one was might count as double
        draw(at, box)
        answer(at, "face")
        until((data / "labels" / "a.json").exists)
        at.gone("^labelme$")
        at.window(r"/a\.png")
        at.xdotool("key", "d")
        at.window(r"/b\.png")
        draw(at, at.where(FACES["b"][0]))
        answer(at, "face")
        until((data / "labels" / "b.json").exists)
        at.gone("^labelme$")
        at.window(r"/b\.png")
        at.xdotool("key", "ctrl+q")
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.splitlines()[-1] == f"2 of 2 images have labels; next: pocketsight data check {data}"
    faces = read_detection_dataset(data)
    assert faces.labels == ("face",)
    for example in faces.splits["train"]:
        assert example.boxes == pytest.approx(np.array([FACES[example.path.stem][1]]), abs=1.5)
        assert example.size == (240, 320)
    for path in (data / "labels").iterdir():
        assert re.search(r'"imageData": null', path.read_text())
