"""Images that are decoded later, and no larger than needed: the same content at every size."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from pocketsight.device.camera import Frame
from pocketsight.device.errors import CameraError, DataError
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR, EXAMPLE_IMAGE
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.pipeline import Pipeline
from pocketsight.device.vision.image import Image, encode_jpeg, read_image
from pocketsight.device.vision.jpeg import parse_jpeg_header
from pocketsight.device.vision.pixels import choose_reduction, jpeg_pixels, open_image
from pocketsight.device.vision.turn import Turn
from pocketsight.device.vision.yuv import decode_nv12, decode_yuyv, reduce_yuv420
from tests.support.videos import corner_scene, corners


def smooth_scene(size: tuple[int, int] = (480, 640)) -> Image:
    return np.asarray(cv2.GaussianBlur(corner_scene(size), (0, 0), 12), np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_jpeg_is_that_of_the_upright_image(orientation: int) -> None:
    exif, file = Pillow.Exif(), BytesIO()
    exif[0x0112] = orientation
    Pillow.fromarray(corner_scene((95, 130))).save(file, "JPEG", exif=exif, progressive=orientation % 2 == 0)
    pixels = jpeg_pixels(file.getvalue())
    assert pixels.size == pixels.reduced(1).shape[:2] == ((95, 130) if orientation < 5 else (130, 95))
    small = jpeg_pixels(file.getvalue()).reduced(4)
    assert corners(small) == corners(pixels.reduced(1)) and small.shape[0] == -(-pixels.size[0] // 4)


def test_what_is_no_whole_jpeg_is_damaged(tmp_path: Path) -> None:
    data = encode_jpeg(corner_scene())
    assert parse_jpeg_header(data) == (96, 128)
    for damaged in (b"", b"\xff\xd8", b"\x89PNG", data[: len(data) // 2], data[:30]):
        with pytest.raises(CameraError, match="damaged or truncated"):
            jpeg_pixels(damaged).reduced(1)
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    content = open_image(tmp_path / "a.jpg")
    assert not isinstance(content, np.ndarray)
    with pytest.raises(DataError, match="truncated JPEG"):
        content.reduced(2)


def test_an_image_is_decoded_once_and_a_larger_one_serves_for_a_smaller() -> None:
    pixels = jpeg_pixels(encode_jpeg(corner_scene((240, 320))))
    assert pixels.decode_ms == 0
    assert pixels.reduced(4).shape == (60, 80, 3)
    spent = pixels.decode_ms
    assert spent > 0 and pixels.reduced(8) is pixels.reduced(4) and pixels.decode_ms == spent
    assert pixels.reduced(2).shape == (120, 160, 3) and pixels.decode_ms > spent
    turned = pixels.turned(Turn(90, True))
    assert turned.size == (320, 240) and corners(turned.reduced(2)) == "r--b"
    assert [choose_reduction(scale) for scale in (1.5, 0.6, 0.5, 0.3, 1 / 6, 0.01)] == [1, 1, 2, 2, 4, 8]


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_raw_images_are_scaled_before_they_are_converted(reduction: int) -> None:
    scene = smooth_scene()
    planes = np.asarray(cv2.cvtColor(scene, cv2.COLOR_RGB2YUV_I420), np.uint8)
    luma, blue, red = planes[:480], planes[480:600].reshape(240, 320), planes[600:].reshape(240, 320)
    yuyv = np.empty((480, 640, 2), np.uint8)
    yuyv[..., 0], yuyv[:, ::2, 1], yuyv[:, 1::2, 1] = luma, blue.repeat(2, 0), red.repeat(2, 0)
    nv12 = np.concatenate([luma, np.dstack([blue, red]).reshape(240, 640)])
    wanted = cv2.resize(scene, (640 // reduction, 480 // reduction), interpolation=cv2.INTER_AREA).astype(int)
    found = [decode_yuyv(yuyv, reduction), decode_nv12(nv12, reduction)]
    if reduction > 1:
        found.append(reduce_yuv420(luma, blue, red, reduction, is_full_range=False))
    for image in found:
        difference = np.abs(image.astype(int) - wanted)
        assert image.shape == wanted.shape and difference.mean() < 1 and difference.max() < 50


def test_a_raw_image_that_cannot_be_divided_is_converted_whole() -> None:
    assert decode_yuyv(np.full((30, 42, 2), 128, np.uint8), 4).shape == (30, 42, 3)


@pytest.mark.parametrize(("width", "decoded"), [(320, 1), (1280, 2), (1920, 4), (2560, 4)])
def test_a_large_frame_gives_what_the_whole_image_gives(width: int, decoded: int) -> None:
    detector, classifier = load_on_cpu(DETECTOR, "detector", 1), load_on_cpu(CLASSIFIER, "classifier", 1)
    image = read_image(EXAMPLE_IMAGE)
    large = np.asarray(cv2.resize(image, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC), np.uint8)
    pixels = jpeg_pixels(encode_jpeg(large))

    def look(frame: Frame) -> FrameResult:
        return Pipeline(detector, classifier)(frame)

    (whole,), (found,) = look(Frame(large, 0, 0.0, "a.jpg")).faces, look(Frame(pixels, 0, 0.0, "a.jpg")).faces
    assert max(abs(a - b) for a, b in zip(whole.box, found.box, strict=True)) < 0.06 * whole.box.longer_side
    assert found.label == whole.label == "happy" and abs(found.score - whole.score) < 0.06
    assert min(pixels.images) == decoded  # the whole image was not needed


def test_a_small_face_is_classified_in_a_larger_image() -> None:
    detector, classifier = load_on_cpu(DETECTOR, "detector", 1), load_on_cpu(CLASSIFIER, "classifier", 1)
    canvas = np.full((720, 960, 3), 120, np.uint8)
    canvas[200:440, 200:520] = read_image(EXAMPLE_IMAGE)
    pipeline, data = Pipeline(detector, classifier), encode_jpeg(canvas)
    first, second = jpeg_pixels(data), jpeg_pixels(data)
    for number, pixels in enumerate((first, second)):
        (face,) = pipeline(Frame(pixels, number, 0.0, "a.jpg")).faces
        assert face.label == "happy"
    assert set(first.images) == {2, 1}
    assert set(second.images) == {1}  # it was decoded once, as large as the face of the last frame needed
