"""A single image is an image, whatever its kind: read, or refused by name."""

import logging
import threading
from pathlib import Path

import pytest
from PIL import Image as Pillow

from pocketsight.device.camera.files import open_file_camera
from pocketsight.device.errors import CameraError, DataError
from pocketsight.device.vision import image_kinds


@pytest.mark.parametrize("suffix", ["gif", "avif", "jfif"])
def test_a_single_image_is_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Pillow.new("RGB", (80, 60), (10, 200, 30)).save(path, "JPEG" if suffix == "jfif" else suffix.upper())
    with open_file_camera(path, threading.Event()) as camera:
        (frame,) = camera
    assert frame.image.shape == (60, 80, 3) and abs(frame.image.mean((0, 1)) - [10, 200, 30]).max() < 8


def test_a_single_image_that_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.cr2"
    path.write_bytes(b"x")
    with (
        open_file_camera(path, threading.Event()) as camera,
        pytest.raises(DataError, match=r"a\.cr2 is of a kind that is not read: \.cr2; convert them to JPEG or PNG"),
    ):
        next(iter(camera))


def test_a_folder_names_the_images_that_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(image_kinds, "find_spec", lambda _: None)  # a board without Pillow
    image_kinds.readable_suffixes.cache_clear()
    (tmp_path / "a.heic").write_bytes(b"x")
    (tmp_path / "b.gif").write_bytes(b"x")
    try:
        with (
            caplog.at_level(logging.WARNING, "pocketsight"),  # a command of another test may have raised its level
            pytest.raises(CameraError, match="contains no images that can be read"),
            open_file_camera(tmp_path, threading.Event()),
        ):
            pass
    finally:
        image_kinds.readable_suffixes.cache_clear()
    assert "left out, of a kind that is not read: 1 .gif, 1 .heic" in caplog.text
