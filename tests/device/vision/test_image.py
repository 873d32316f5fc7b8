from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketsight.device.errors import DataError
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face, crop_window
from pocketsight.device.vision.image import list_images, read_image
from pocketsight.device.vision.letterbox import letterbox

RED = np.zeros((20, 30, 3), np.uint8)
RED[..., 0] = 255


def test_a_file_is_read_as_red_green_blue(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), RED[..., ::-1])
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not an image"), (b"hello", "not an image"), (None, "cannot be read")]
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.jpg.*{message}"):
        read_image(path)


def test_a_jpeg_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cut\.jpg: truncated JPEG"):
        read_image(path)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_fit_keeps_shape_and_stays_in_the_top_left_corner(height: int, width: int) -> None:
    canvas, scale = letterbox(np.full((height, width, 3), 200, np.uint8), (192, 256))
    assert canvas.shape == (192, 256, 3)
    inside = canvas[: max(1, round(height * scale)), : max(1, round(width * scale))]
    assert (inside == 200).all()
    assert canvas.sum() == inside.sum()  # black elsewhere
    assert round(height * scale) == 192 or round(width * scale) == 256


def test_fit_does_not_skip_pixels_when_it_shrinks() -> None:
    stripes = np.zeros((960, 1280, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(letterbox(stripes, (192, 256))[0].astype(int) - 100).max() < 25


def test_a_window_beyond_the_picture_is_black_there() -> None:
    window = crop_window(RED, -2, -3, 4, 5)
    assert window.shape == (8, 6, 3)
    assert window[:3].sum() == window[:, :2].sum() == 0
    assert (window[3:, 2:, 0] == 255).all()


def test_a_window_wholly_beyond_the_picture_is_black() -> None:
    assert crop_window(RED, 40, 30, 50, 50).shape == (20, 10, 3)
    assert crop_window(RED, -20, -20, -10, -5).sum() == 0


def test_crop_is_a_square_around_the_box_with_its_margin() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[80:120, 90:110] = 255  # the box: 20 wide, 40 high
    face = crop_face(image, Box(90, 80, 110, 120), margin=0.25, size=(60, 60))
    white = np.argwhere(face[..., 0] > 127)
    assert white.min(0).tolist() == [10, 20]
    assert white.max(0).tolist() == [49, 39]


def test_a_crop_of_a_box_without_area_is_still_a_picture() -> None:
    assert crop_face(RED, Box(5, 5, 5, 5), 0.1, (64, 64)).shape == (64, 64, 3)


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".c.png", "d.txt", ".trash/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]
