"""The person in front of the machine: a window and a line to look at, keys to press, signals that end the work."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from pocketsight.device.vision.image import Image, to_rgb

QUIT_KEYS = frozenset({"q", "\x1b"})  # keys that end the work; the second is Escape
ESCAPE_SEQUENCE = re.compile(
    r"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Z])"
)  # how a terminal tells of arrows and their like: no Escape
WINDOW_TITLE = "pocketsight"

ShowImage = Callable[[Image], str]
ReadKey = Callable[[], str]


def has_display() -> bool:
    """Whether a window could be opened, as far as the environment tells."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def open_window() -> Iterator[ShowImage | None]:
    """A window: shows an RGB image, gives the key pressed or ""; None, and a line that says why, where there is none.

    Closing the window counts as q.
    """
    if not has_display():
        print("no window: there is no display here (no DISPLAY or WAYLAND_DISPLAY)", file=sys.stderr)
        yield None
        return
    try:
        cv2.namedWindow(WINDOW_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        print("no window: this OpenCV was built without one; on a Pi install python3-opencv by apt", file=sys.stderr)
        yield None
        return

    was_visible = False  # not every OpenCV can tell whether a window is there

    def show(image: Image) -> str:
        nonlocal was_visible
        cv2.imshow(WINDOW_TITLE, to_rgb(np.ascontiguousarray(image)))
        key = cv2.waitKey(1)
        there = cv2.getWindowProperty(WINDOW_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        if was_visible and not there:  # closed; imshow would open it again
            return "q"
        was_visible = there
        return chr(key & 0xFF) if key >= 0 else ""  # above the byte some windows report Shift and Num Lock

    try:
        yield show
    finally:
        cv2.destroyAllWindows()


@contextmanager
def open_keyboard() -> Iterator[ReadKey]:
    """Keys of the terminal: each call gives one, or "" at once.

    Always "" where standard input is no terminal, or belongs to another job. Ctrl-C stays a signal, and the terminal
    is put back as it was.
    """
    if sys.stdin is None or not sys.stdin.isatty() or not _owns_terminal(sys.stdin.fileno()):
        yield lambda: ""
        return
    terminal = sys.stdin.fileno()
    waiting: list[str] = []

    def read_key() -> str:
        if not waiting and _owns_terminal(terminal) and select.select([terminal], [], [], 0)[0]:
            waiting.extend(ESCAPE_SEQUENCE.sub("", _read_terminal(terminal)))
        return waiting.pop(0) if waiting else ""

    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield read_key
    finally:
        if _owns_terminal(terminal):
            with suppress(termios.error):  # the line was hung up
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _owns_terminal(terminal: int) -> bool:
    """Whether the terminal may be touched: the kernel stops a job in the background that does."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # not the terminal that rules our jobs, so nothing stops us


def _read_terminal(terminal: int) -> str:
    try:
        return os.read(terminal, 64).decode(errors="ignore")
    except OSError:  # hung up
        return ""


class StatusLine:
    """One line of standard error, written over and over on a terminal; elsewhere only warnings are written."""

    def __init__(self) -> None:
        self.is_terminal, self.text = bool(sys.stderr and sys.stderr.isatty()), ""

    def show(self, text: str) -> None:
        """Replace the line; "" clears it."""
        if self.is_terminal and text != self.text:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.text = text

    def warn(self, text: str) -> None:
        """A line that stays."""
        self.show("")
        print(text, file=sys.stderr, flush=True)


class StderrWriter:
    """Lines for standard error, written by a thread of its own: nobody may read them, and the loop must not wait."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=100)
        self.available = threading.Semaphore(0)
        threading.Thread(target=self._run, name="speaker", daemon=True).start()

    def write(self, line: str) -> None:
        """Takes a line; any thread may call it. When too many wait the oldest are forgotten."""
        self.lines.append(line)
        self.available.release()

    def flush(self, seconds: float = 0.2) -> None:
        """Wait for what is being written, but not long."""
        end = time.monotonic() + seconds
        while self.lines and time.monotonic() < end:
            time.sleep(0.01)

    def _run(self) -> None:
        while True:
            self.available.acquire()
            if self.lines:
                with suppress(OSError, IndexError):  # it was closed, or nobody reads; the log has it all
                    os.write(2, self.lines[0].encode(errors="replace") + b"\n")
                with suppress(IndexError):
                    self.lines.popleft()


@contextmanager
def signal_events(events: Mapping[signal.Signals, threading.Event]) -> Iterator[None]:
    """Signals set events, by a thread that reads their numbers.

    A handler that sets an event itself may find the event's lock held by the very thread that it interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    thread = threading.Thread(target=_set_events, args=(reader, events), name="signals", daemon=True)
    thread.start()
    before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in events}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        writer.close()  # ends the thread
        thread.join()


def _set_events(reader: socket.socket, events: Mapping[signal.Signals, threading.Event]) -> None:
    with reader:
        while numbers := reader.recv(64):
            for number, event in events.items():
                if number in numbers:
                    event.set()


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that the frame at hand is finished and logged."""
    stop = threading.Event()
    with signal_events({signal.SIGINT: stop, signal.SIGTERM: stop}):
        yield stop
