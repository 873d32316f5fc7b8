import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketsight.device.camera import Camera, Frame
from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import CameraError, DataError
from pocketsight.device.runtime import dataset_capture as module
from pocketsight.device.runtime.dataset_capture import CaptureResult, capture_images, describe_result, draw_preview
from pocketsight.device.vision.image import Image, list_images, read_image
from tests.device.camera.test_camera import video
from tests.support.cameras import live_camera
from tests.support.images import picture
from tests.support.processes import CAPTURE

SIZE = 480, 640


def take(source: object, out: Path, count: int = 99, every: float = 0.5, countdown: int = 3) -> CaptureResult:
    return capture_images(str(source), SIZE, out, count, every, countdown, show=False)


def level(path: Path) -> int:
    """The grey level of a picture of one colour."""
    return round(float(read_image(path).mean()))


def folder(path: Path, count: int) -> Path:
    """Pictures of grey, brighter by 10 each from 50 on."""
    path.mkdir()
    for number in range(count):
        cv2.imwrite(str(path / f"{number:02}.png"), np.full((48, 64, 3), 50 + 10 * number, np.uint8))
    return path


def live(monkeypatch: pytest.MonkeyPatch, read: Callable[[int], Image | None], fps: float = 100) -> None:
    """A live camera in place of any: `read` gives the picture of a number."""

    @contextmanager
    def opened(source: str, size: tuple[int, int], stop: threading.Event, **options: object) -> Iterator[Camera]:
        numbers = iter(range(100_000))

        def paced() -> Image | None:
            time.sleep(1 / fps)
            return read(next(numbers))

        with live_camera(paced, stop, name="camera '0'") as camera:
            yield camera

    monkeypatch.setattr(module, "open_camera", opened)


def noise(number: int) -> Image:
    return np.random.default_rng(number).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def press(monkeypatch: pytest.MonkeyPatch, keys: list[str]) -> list[str]:
    """Somebody at the keyboard: a key for every frame shown. Returns those not yet pressed."""

    @contextmanager
    def keyboard() -> Iterator[Callable[[], str]]:
        yield lambda: keys.pop(0) if keys else ""

    monkeypatch.setattr(module, "open_keyboard", keyboard)
    return keys


def test_every_picture_of_a_folder_is_taken_and_named_after_the_session(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    found = take(folder(tmp_path / "in", 4), tmp_path / "data" / "images", every=60)
    assert [level(path) for path in found.paths] == [50, 60, 70, 80]
    assert [path.name for path in found.paths] == [f"{found.session}_000{n}.jpg" for n in (1, 2, 3, 4)]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", found.session)
    assert before <= datetime.strptime(found.session[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) <= datetime.now(UTC)
    assert sorted(os.listdir(found.out)) == [path.name for path in found.paths]  # and no part is left


def test_the_session_is_read_from_the_name() -> None:
    assert parse_session_name("20261122T005014Z-a3f2_0007.jpg") == "20261122T005014Z-a3f2"
    assert parse_session_name("images/20261122T005014Z-a3f2_12345.png") == "20261122T005014Z-a3f2"
    assert parse_session_name("20261122T005014Z-a3f2_0007") == "20261122T005014Z-a3f2"
    assert {
        parse_session_name(name) for name in ("0007.jpg", "x20261122T005014Z-a3f2_0007.jpg", "20261122T005014Z.jpg")
    } == {None}


def test_sessions_do_not_write_over_each_other(tmp_path: Path) -> None:
    source, out = folder(tmp_path / "in", 2), tmp_path / "out"
    names = {take(source, out).session for _ in range(3)}
    assert len(names) == 3
    assert len(list_images(out)) == 6


def test_seconds_of_a_video_are_its_own(tmp_path: Path) -> None:
    found = take(video(tmp_path / "v.mp4", 24), tmp_path / "out", every=0.5)  # 12 frames a second
    blue = [read_image(path).reshape(-1, 3).mean(0)[2] for path in found.paths]
    assert blue == pytest.approx([0, 60, 120, 180], abs=8)
    every = take(tmp_path / "v.mp4", tmp_path / "all", every=0)
    assert len(every.paths) == 24


def test_a_picture_keeps_its_side_and_colours(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = (200, 40, 40), (40, 40, 200)  # red left, blue right
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    (path,) = take(tmp_path / "a.png", tmp_path / "out").paths
    assert np.abs(read_image(path)[:, 4:28].mean((0, 1)) - (200, 40, 40)).max() < 4
    assert np.abs(read_image(path)[:, 36:60].mean((0, 1)) - (40, 40, 200)).max() < 4


def test_a_live_camera_gives_its_newest_frame_at_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[float] = []

    def clock(number: int) -> Image:
        started.append(time.monotonic())
        passed = time.monotonic() - started[0]
        return np.full((48, 64, 3), round(100 * passed), np.uint8)  # a level is 10 ms

    live(monkeypatch, clock)
    found = take("0", tmp_path / "out", count=4, every=0.3, countdown=1)
    assert len(found.paths) == 4
    levels = [level(path) for path in found.paths]
    assert levels[0] == pytest.approx(100, abs=25)  # after the countdown
    assert np.diff(levels) == pytest.approx([30, 30, 30], abs=15)


def test_a_camera_that_stalls_is_not_made_up_for_by_a_burst() -> None:
    pace = module.CaptureTimer(interval=0.5, initial_delay=3)
    assert pace.seconds_until_due(100, paused=False) == 3
    assert pace.seconds_until_due(103.1, paused=False) == pytest.approx(-0.1)
    pace.schedule_next()
    assert pace.due == 103.5  # no drift
    pace.seconds_until_due(109, paused=False)
    pace.schedule_next()
    assert pace.due == 109.5


def test_a_pause_does_not_count() -> None:
    pace = module.CaptureTimer(interval=0.5, initial_delay=3)
    pace.seconds_until_due(100, paused=False)
    pace.seconds_until_due(101, paused=False)
    assert pace.seconds_until_due(150, paused=True) == 2
    assert pace.seconds_until_due(151, paused=False) == 1


def test_a_live_camera_pauses_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, lambda number: np.full((48, 64, 3), 50 + number, np.uint8))
    press(monkeypatch, ["", "", " ", *[""] * 20, " ", "", "", "q"])
    found = take("0", tmp_path / "out", every=0, countdown=0)
    levels = [level(path) for path in found.paths]
    assert len(levels) == 5  # two before, three after: each the frame at hand
    assert np.diff(levels)[1] > 20  # the camera went on meanwhile


def test_a_file_waits_while_paused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    press(monkeypatch, ["", " ", "", "", "x", " "])
    found = take(folder(tmp_path / "in", 4), tmp_path / "out")
    assert [level(path) for path in found.paths] == [50, 60, 70, 80]


def test_undo_takes_back_the_last_of_this_session_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = take(folder(tmp_path / "in", 1), out)
    press(monkeypatch, ["u", "", "", "u", "u", "u", "", ""])  # the first finds nothing
    second = take(folder(tmp_path / "in2", 8), out, count=5)
    assert [level(path) for path in second.paths] == [50, 60, 100, 110, 120]
    assert [path.name[-8:-4] for path in second.paths] == ["0001", "0002", "0003", "0004", "0005"]
    assert set(list_images(out)) == {*first.paths, *second.paths}


@pytest.mark.parametrize("key", ["q", "\x1b"])
def test_q_and_escape_end_a_session_that_keeps_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    left = press(monkeypatch, ["", "", key, "never"])
    found = take(folder(tmp_path / "in", 5), tmp_path / "data" / "images")
    assert left == ["never"]
    assert [level(path) for path in found.paths] == [50, 60]
    line = f"2 of 99 pictures in {found.out}, session {found.session}; next: pocketsight data label {tmp_path / 'data'}"
    assert describe_result(found) == line


def test_the_last_line_names_the_next_step() -> None:
    taken = (Path("a.jpg"),)
    assert describe_result(CaptureResult("s", Path("data/images"), 1, taken)) == (
        "1 picture in data/images, session s; next: pocketsight data label data"
    )
    assert describe_result(CaptureResult("s", Path("my faces/happy"), 1, taken)).endswith(
        "next: pocketsight data check 'my faces'"
    )
    assert describe_result(CaptureResult("s", Path("data/images"), 1, ())) == "no image was saved"


def test_a_black_picture_and_a_frozen_camera_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    live(monkeypatch, lambda number: np.full((48, 64, 3), 5, np.uint8))
    found = take("0", tmp_path / "out", count=5, every=0, countdown=0)
    black, same = capsys.readouterr().err.splitlines()
    assert black.startswith(f"warning: {found.session}_0001.jpg is nearly black")
    assert same.startswith(f"warning: {found.session}_0002.jpg is identical to the one before")
    live(monkeypatch, noise)
    take("0", tmp_path / "out", count=5, every=0, countdown=0)
    assert capsys.readouterr().err == ""


def test_a_camera_that_vanishes_leaves_what_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, lambda number: noise(number) if number < 30 else None)
    with pytest.raises(CameraError, match=r"stopped giving frames after 30.*; \d+ pictures saved before are kept in"):
        take("0", tmp_path / "out", every=0, countdown=0)
    assert len(list_images(tmp_path / "out")) > 3


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=f"{name} cannot be written: "):
        take(folder(tmp_path / "in", 1), tmp_path / name)


@pytest.mark.debian("unshare")
def test_a_disk_that_fills_up_keeps_whole_pictures(tmp_path: Path) -> None:
    """A tmpfs of 64 kB, mounted in a name space of its own."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine allows no mount in a name space of its own")
    for number in range(12):
        picture(tmp_path / "in" / f"{number}.png", (100, 100), number)
    mount = 'disk=$1; kept=$2; shift 2; mount -t tmpfs -o size=64k none "$disk"'
    script = f'{mount} && "$@"; code=$?; cp -r "$disk" "$kept"; exit $code'
    words = [sys.executable, "-c", CAPTURE, str(tmp_path / "in"), str(disk), "99", "0"]
    done = subprocess.run([*unshare, "sh", "-c", script, "sh", disk, kept, *words], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    whole = list_images(kept)
    assert {read_image(path).shape for path in whole} == {(100, 100, 3)}
    assert len(whole) == len(os.listdir(kept)) < 12
    (line,) = done.stderr.splitlines()
    assert f"cannot be written: No space left on device; {len(whole)} pictures saved before are kept in {disk}" in line


def test_what_the_viewer_sees_is_mirrored_and_written_on() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :100] = 90
    plain, counted, paused = (draw_preview(image, *words) for words in (("", ""), ("7/30", ""), ("7/30", "PAUSED")))
    assert (plain[:, 540:] == 90).all() and (plain[:, :540] == 0).all()
    assert (image[:, :100] == 90).all()  # the picture itself is left alone
    rows = np.flatnonzero((counted != plain).any((1, 2)))
    assert 30 < rows.min() and rows.max() < 120
    rows, columns = (np.flatnonzero((paused != counted).any(axes)) for axes in ((1, 2), (0, 2)))
    assert 200 < rows.min() < rows.max() < 330
    assert 20 < columns.min() < 200 and abs(columns.min() + columns.max() - 640) < 20


def test_a_window_shows_the_countdown_the_count_and_takes_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []
    keys = ["", " ", "", " ", "", "q"]

    @contextmanager
    def screen() -> Iterator[Callable[[Image], str] | None]:
        yield lambda image: keys.pop(0)

    def drawn(image: Image, count: str, middle: str) -> Image:
        shown.append((count, middle))
        return image

    monkeypatch.setattr(module, "open_window", screen)
    monkeypatch.setattr(module, "draw_preview", drawn)
    live(monkeypatch, noise)
    capture_images("0", SIZE, tmp_path / "out", 5, 0, 0, show=True)
    assert shown == [("0/5", ""), ("1/5", ""), ("1/5", "PAUSED"), ("1/5", "PAUSED"), ("2/5", ""), ("3/5", "")]
    shown.clear()
    keys[:] = [*[""] * 20, "q"]
    capture_images("0", SIZE, tmp_path / "out", 5, 0, 3, show=True)
    assert set(shown) == {("0/5", "3")}


def test_frames_carry_what_the_clock_needs() -> None:
    camera = Camera(iter(()))
    camera.fps = 25.0
    image = np.zeros((2, 2, 3), np.uint8)
    assert module._source_time(camera, Frame(image, 50, 0.0), 9.0) == 2
    assert module._source_time(camera, Frame(image, 50, 0.0, "a.png"), 9.0) == 450
