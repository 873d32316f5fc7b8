"""Faces in images that leave the process."""

from __future__ import annotations

import time

import numpy as np

from pocketsight.device.annotators.blur import MOSAIC_CELLS, FaceBlurrer
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.web.encoder import PreviewEncoder
from tests.support.looping import LABELS, ask, boxes, decoded, frame, looping, seen, watching
from tests.support.processes import until


def detail(image: Image, box: Box) -> float:
    """How much neighboring pixels differ inside a box."""
    part = image[int(box.top) : int(box.bottom), int(box.left) : int(box.right)].astype(float)
    return float(np.abs(np.diff(part, axis=1)).mean())


def test_blur_leaves_a_face_in_a_few_squares_and_the_rest_as_it_is() -> None:
    image, record = frame(0), seen(0)
    covered = FaceBlurrer().blur(image, record)
    box = boxes(1)[0]
    part = covered[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
    squares = np.unique(part.reshape(-1, 3), axis=0)
    assert len(squares) <= (MOSAIC_CELLS + 2) ** 2
    assert detail(covered, box) < detail(image, box) / 10
    assert np.array_equal(covered[:100], image[:100])
    assert np.array_equal(image, frame(0))


def test_blur_covers_a_face_that_is_missed_for_a_moment_and_one_found_a_moment_later() -> None:
    blur, image, box = FaceBlurrer(), frame(0), boxes(1)[0]
    for number in range(60):
        blur.add_result(seen(number, 1 if 20 <= number < 40 else 0, born=number / 20))

    def covered(number: int) -> bool:
        return detail(blur.blur(image, seen(number, 0, born=number / 20)), box) < detail(image, box) / 10

    assert covered(45)  # missed for a quarter of a second
    assert covered(18)  # found a tenth of a second later
    assert not covered(50 + 11)  # it left long ago
    assert np.array_equal(
        blur.blur(image, seen(45, 0, born=2.25, source="b.jpg")), image
    )  # image files are independent


def test_blur_reaches_over_the_edges_and_survives_odd_boxes() -> None:
    odd = [(-50, -50, 40, 40), (600, 440, 700, 500), (10, 10, 10, 10), (900, 900, 950, 950), (0, 0, 640, 480)]
    for sides in odd:
        record = FrameResult(0.0, 0.0, 0, None, [FaceResult(Box(*sides), 0.5, seen(0).faces[0].classification)], {})
        assert FaceBlurrer().blur(frame(0), record).shape == (480, 640, 3)


def test_with_blur_no_picture_that_is_served_shows_a_face() -> None:
    """Also not the one before the detector found it."""
    with looping(blur=True, faces=0) as loop, watching(loop.web) as next_picture:
        plain = decoded(next_picture())
        loop.faces = 1
        pictures = [decoded(next_picture()) for _ in range(12)]
        still = decoded(ask(loop.web, "/snapshot.jpg")[2])
    inner = Box(80, 175, 120, 225)  # without the lines of the box
    assert detail(plain, inner) > 30
    assert detail(pictures[-1], inner) < 8
    assert detail(still, inner) < 8


def test_a_held_frame_is_covered_where_a_face_is_found_after_it() -> None:
    made: list[bytes] = []
    encoder = PreviewEncoder(lambda: LABELS, made.append, blur=True, fps=50)
    try:
        encoder.set_watched(True)
        encoder.update(frame(0), seen(0, 0))
        time.sleep(0.2)
        assert not made
        encoder.update(frame(1), seen(1, 1))
        until(lambda: len(made) == 1)
    finally:
        encoder.close()
    assert detail(decoded(made[0]), Box(80, 175, 120, 225)) < 8
