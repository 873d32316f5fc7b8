"""Recordings: which way is up, time, and frames that a decoder left unwritten."""

import gc
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.camera import Frame, decoder_check, open_camera, video
from pocketsight.device.camera.options import CameraOptions
from pocketsight.device.camera.timeline import Timeline, believable_fps, estimate_fps
from pocketsight.device.cli.camera import camera as camera_command
from pocketsight.device.cli.run import run
from pocketsight.device.errors import CameraError
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.vision.image import Image, read_image, write_jpeg
from pocketsight.device.vision.turn import UPRIGHT, Turn
from tests.support.videos import INTERLACED, corner_scene, corners, write_video

pytest.importorskip("av", reason="needs PyAV: pip install av")
MATRICES = {
    "rb--": [65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30],
    "-rb-": [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30],
    "--rb": [-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30],
    "b--r": [0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30],
    "br--": [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30],
    "--br": [65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30],
    "r--b": [0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30],
    "-br-": [0, -65536, 0, -65536, 0, 0, 0, 0, 1 << 30],
}


def frames(path: Path, turn: Turn = UPRIGHT) -> list[Frame]:
    with open_camera(str(path), options=CameraOptions(turn)) as camera:
        return list(camera)


def face(size: tuple[int, int] = (240, 320), shift: int = 0) -> Image:
    image = cv2.resize(read_image(EXAMPLE_IMAGE), size[::-1])
    return np.roll(np.asarray(image, np.uint8), shift, 1)


def log_of(path: Path, tmp_path: Path, *options: str) -> list[dict[str, Any]]:
    log = tmp_path / "log.jsonl"
    log.unlink(missing_ok=True)
    done = CliRunner().invoke(run, ["--camera", str(path), "--log", str(log), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in log.read_text().splitlines()]


def labels_of(entries: list[dict[str, Any]]) -> list[str]:
    return [face["label"] for entry in entries for face in entry.get("faces", ())]


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    import av

    path = write_video(tmp_path / "a.mp4", [corner_scene()] * 12)
    gc.collect()
    gc.disable()
    try:
        with open_camera(str(path)) as camera:
            read = [frame.reduced(2).shape for frame in camera]
            alive = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert len(read) == 12 and alive <= 3  # the decoder takes new memory for each frame that is not freed


@pytest.mark.parametrize("seen", MATRICES)
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, seen: str) -> None:
    path = write_video(tmp_path / "a.mp4", [corner_scene()] * 2, matrix=MATRICES[seen])
    (first, _) = frames(path)
    assert corners(first.image) == corners(first.reduced(2)) == seen
    assert first.image.shape == ((96, 128, 3) if MATRICES[seen][0] else (128, 96, 3))


@pytest.mark.parametrize(
    ("turn", "seen"),
    [(Turn(90), "-rb-"), (Turn(180), "--rb"), (Turn(270), "b--r"), (Turn(0, True), "br--"), (Turn(90, True), "r--b")],
)
def test_the_user_turns_what_the_file_does_not(tmp_path: Path, turn: Turn, seen: str) -> None:
    scene = corner_scene()
    path = write_video(tmp_path / "a.mp4", [scene] * 2)
    for frame in frames(path, turn):
        assert corners(frame.image) == seen and frame.size == frame.image.shape[:2] == turn.size((96, 128))
    (tmp_path / "images").mkdir()
    write_jpeg(tmp_path / "images" / "a.jpg", scene)
    (still,) = frames(tmp_path / "images", turn)
    assert corners(still.image) == corners(still.reduced(4)) == seen


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_camera_that_is_mounted_turned(tmp_path: Path, degrees: int) -> None:
    images = [Turn(360 - degrees).apply(face(shift=n)) for n in range(6)]
    path = write_video(tmp_path / "a.mp4", images)
    entries = log_of(path, tmp_path, "--rotate", str(degrees), "--log-level", "frames")
    assert labels_of(entries) == ["happy"] * 5
    done = CliRunner().invoke(camera_command, ["test", str(path), "--json", "-o", str(tmp_path / "sheet.png")])
    report = json.loads(done.stdout)
    assert report["needed_rotation"] == degrees and f"--rotate {degrees}" in " ".join(report["warnings"])
    assert report["latency_ms"] is None  # a file has no age
    assert "\nage" not in CliRunner().invoke(camera_command, ["test", str(path)]).stdout
    turned = CliRunner().invoke(camera_command, ["test", str(path), "--json", "--rotate", str(degrees)])
    assert json.loads(turned.stdout)["needed_rotation"] == 0


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    for aspect, shape in ((Fraction(2), (96, 256, 3)), (Fraction(1, 2), (192, 128, 3))):
        path = write_video(tmp_path / "a.mp4", [corner_scene()] * 2, aspect=aspect)
        assert frames(path)[0].image.shape == shape and frames(path)[0].reduced(2).shape[0] == shape[0] // 2


@pytest.mark.parametrize("codec", INTERLACED)
def test_interlaced_video_is_seen(tmp_path: Path, codec: str) -> None:
    images = [face((480, 640), 2 * n) for n in range(5)]
    path = write_video(tmp_path / "a.mkv", images, codec=codec, options=INTERLACED[codec], rate=25)
    found = frames(path)
    assert len(found) == 5 and [frame.position for frame in found] == pytest.approx(
        [n / 25 for n in range(5)], abs=0.01
    )
    assert all(abs(int(frame.image.mean()) - int(images[0].mean())) < 12 for frame in found)
    labels = [
        each["label"] for entry in log_of(path, tmp_path, "--log-level", "frames") for each in entry.get("faces", ())
    ]
    assert labels == ["happy"] * 4


@pytest.mark.parametrize("codec", INTERLACED)
def test_without_pyav_interlaced_video_is_read_or_refused(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mkv", [face((480, 640))] * 3, codec=codec, options=INTERLACED[codec])
    monkeypatch.setattr(video, "import_av", lambda: None)
    if tuple(map(int, cv2.__version__.split(".")[:2])) < decoder_check.FIRST_BAD_VERSION:
        assert frames(path)[0].image.mean() > 20
    else:
        with pytest.raises(CameraError, match=r"interlaced video.*PyAV can: .*install"):
            frames(path)
    assert len(frames(write_video(tmp_path / "b.mp4", [face()] * 3))) == 3


def test_dv_is_interlaced_and_its_rate_is_believed_only_if_it_can_be(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.dv", [corner_scene((576, 720))] * 4, codec="dvvideo")
    with open_camera(str(path)) as camera:
        found = list(camera)
        assert camera.fps == 25 and (camera.frame_count or 0) <= 4
    assert found[-1].position == pytest.approx(0.12) and corners(found[0].image) == "rb--"


@pytest.mark.parametrize("decoder", ["PyAV", "OpenCV"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_time_is_read_and_not_counted(
    tmp_path: Path, suffix: str, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = [0.0, 1.0, 2.0, 2.1, 2.2, 5.0, 5.1]
    codec, rate = ("libvpx", 1000) if suffix == "webm" else ("libx264", 25)
    path = write_video(tmp_path / f"a.{suffix}", [corner_scene()] * 7, stamps, codec, rate)
    if decoder == "OpenCV":
        monkeypatch.setattr(video, "import_av", lambda: None)
    with open_camera(str(path)) as camera:
        found = list(camera)
        assert 0.1 <= camera.fps <= 60
    assert [frame.position for frame in found] == pytest.approx(stamps, abs=0.01)
    times = [frame.captured_monotonic - found[0].captured_monotonic for frame in found]
    assert times == pytest.approx(stamps, abs=0.01)


@pytest.mark.parametrize("decoder", ["PyAV", "OpenCV"])
def test_a_raw_stream_without_stamps_is_counted(tmp_path: Path, decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.h264", [corner_scene()] * 6, format="h264")
    if decoder == "OpenCV":
        monkeypatch.setattr(video, "import_av", lambda: None)
    assert [frame.position for frame in frames(path)] == pytest.approx([n / 25 for n in range(6)])


@pytest.mark.parametrize("face_first", [False, True])
def test_a_face_is_found_in_a_recording_of_variable_rate(tmp_path: Path, face_first: bool) -> None:
    """Few frames of an empty scene over a minute, and 2 seconds of a moving face at 25 frames a second."""
    empty, shown = [np.full((240, 320, 3), 90, np.uint8)] * 12, [face(shift=n // 5) for n in range(50)]
    if face_first:
        images = [*shown, *empty]
        stamps = [*(n / 25 for n in range(50)), *(2 + 5 * n for n in range(12))]
    else:
        images, stamps = [*empty, *shown], [*(5 * n for n in range(12)), *(60 + n / 25 for n in range(50))]
    path = write_video(tmp_path / "a.mp4", images, stamps)
    appeared, left = log_of(path, tmp_path, "--log-level", "events", "--save-video", str(tmp_path / "out.mp4"))
    assert appeared["event"] == "appeared" and left["event"] == "left"
    assert appeared["position_s"] == pytest.approx(0.04 if face_first else 60.04, abs=0.01)
    assert left["duration_s"] == pytest.approx(1.96, abs=0.1)
    with open_camera(str(tmp_path / "out.mp4")) as camera:
        end = list(camera)[-1].position
    assert end == pytest.approx(stamps[-1], abs=1.1)  # the annotated video keeps the time


def test_a_video_of_one_frame_is_an_image(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [face()])
    (entry,) = log_of(path, tmp_path)
    assert entry["source"] == str(path) and labels_of([entry]) == ["happy"]


def test_frames_of_motion_jpeg_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    exif = Pillow.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    Pillow.fromarray(corner_scene()).save(tmp_path / "a.jpg", exif=exif)
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.mjpg").write_bytes(jpeg * 3)
    found = frames(tmp_path / "a.mjpg")
    assert [corners(frame.image) for frame in found] == ["-rb-"] * 3
    assert [corners(frame.reduced(4)) for frame in found] == ["-rb-"] * 3 and found[0].size == (128, 96)


def test_a_timeline_believes_what_can_be_true() -> None:
    timeline = Timeline(10)
    stamps = [0.0, 0.5, 0.5, None, 0.2, 0.4, 9.0]  # stands still, is missing, begins anew
    assert [timeline.position(stamp) for stamp in stamps] == pytest.approx([0, 0.5, 0.6, 0.7, 0.8, 1.0, 9.6])
    assert believable_fps(60000, 1000, None, Fraction(25)) == 25 and believable_fps(0, float("nan")) is None
    assert estimate_fps([0, 0.1, 0.2, 0.3]) == pytest.approx(10) and estimate_fps([0, 0]) is None


def test_a_broken_video_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [corner_scene()] * 3)
    data = path.read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: len(data) // 3])
    with pytest.raises(CameraError, match=r"b\.mp4"):
        frames(tmp_path / "b.mp4")
