import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.runtime.terminal import StatusLine
from pocketsight.device.runtime.window import open_window
from pocketsight.device.vision.image import list_images, read_image
from tests.support.images import picture
from tests.support.processes import CAPTURE, running, until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_session_that_keeps_its_pictures(tmp_path: Path, number: int) -> None:
    for n in range(3000):
        (tmp_path / f"{n:04}.png").symlink_to(tmp_path / "one.png")
    picture(tmp_path / "one.png", (48, 64))
    out = tmp_path / "data" / "images"
    words = [sys.executable, "-c", CAPTURE, str(tmp_path), str(out), "2999", "0"]
    with running(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: out.exists() and len(list(out.iterdir())) > 5)
        process.send_signal(number)
        said, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    taken = list_images(out)
    assert said.startswith(f"{len(taken)} of 2999 pictures in {out}, session ")
    assert {read_image(path).shape for path in taken} == {(48, 64, 3)}


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: ours, and that of a program."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_keys_of_a_terminal_pause_undo_and_end(tmp_path: Path, terminal: tuple[int, int]) -> None:
    """A real process on a terminal of its own, which is left as it was found."""
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    source, out = tmp_path / "in", tmp_path / "images"
    for number in range(2000):
        picture(source / f"{number:04}.png", (16, 16), number)
    own = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR))\n"  # a leader of a session gets it as its own
    words = [sys.executable, "-c", own + CAPTURE, str(source), str(out), "1999", "0"]
    said = ""

    def seen(pattern: str) -> bool:
        nonlocal said
        while select.select([ours], [], [], 0)[0]:
            said += os.read(ours, 4096).decode()
        return re.search(pattern, said) is not None

    with running(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        until(lambda: seen(r"\d\d/1999  space pauses"))
        os.write(ours, b"\x1b[A ")  # an arrow key is not Escape
        until(lambda: seen("PAUSED"))
        count = len(list_images(out))
        time.sleep(0.2)
        assert len(list_images(out)) == count
        os.write(ours, b"uu")
        until(lambda: len(list_images(out)) == count - 2)
        os.write(ours, b"q")
        until(lambda: seen("session .*; next: pocketsight data label"))
        assert process.wait(timeout=10) == 0
    assert f"{count - 2} of 1999 pictures" in said
    assert termios.tcgetattr(theirs) == before


def test_a_line_is_written_over_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal, says in ((False, "careful\n"), (True, "\r\x1b[K1\r\x1b[K2\r\x1b[Kcareful\n\r\x1b[K2\r\x1b[K")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        status = StatusLine()
        for text in ("1", "1", "2"):
            status.show(text)
        status.warn("careful")
        status.show("2")
        status.show("")
        assert capsys.readouterr().err == says


def test_a_window_gives_its_keys_and_closing_it_counts_as_q(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for OpenCV's windows, which the headless OpenCV has not."""
    shown: list[list[int]] = []
    keys = iter([-1, ord("u"), 0x100000 + ord(" "), 27, -1])  # the third with Num Lock
    there = iter([1, 1, 1, 1, 0])
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda name, flags: None)
    monkeypatch.setattr(cv2, "imshow", lambda name, image: shown.append(image[0, 0].tolist()))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda name, flag: next(there))
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append([]))
    with open_window() as show:
        assert show is not None
        assert [show(np.full((2, 2, 3), (1, 2, 3), np.uint8)) for _ in range(5)] == ["", "u", " ", "\x1b", "q"]
    assert shown == [*[[3, 2, 1]] * 5, []]  # OpenCV wants B, G, R


def test_an_opencv_that_cannot_tell_whether_its_window_is_there_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    for name, answer in (("namedWindow", 0), ("imshow", 0), ("waitKey", -1), ("getWindowProperty", -1)):
        monkeypatch.setattr(cv2, name, lambda *words, answer=answer: answer)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    with open_window() as show:
        assert show is not None
        assert [show(np.zeros((2, 2, 3), np.uint8)) for _ in range(3)] == ["", "", ""]


def test_signals_in_quick_succession_do_not_stop_who_waits() -> None:
    """A handler that set the event itself would, now and then, wait for the lock that it interrupted."""
    program = (
        "import os, signal, threading, time\n"
        "from pocketsight.device.system.signals import signal_events\n"
        "asked = threading.Event()\n"
        "def send():\n"
        "    for _ in range(3000): os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.0002)\n"
        "with signal_events({signal.SIGHUP: asked}):\n"
        "    sender = threading.Thread(target=send); sender.start()\n"
        "    while sender.is_alive(): asked.wait(0.0005); asked.clear()\n"
        "print('done')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr
