from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pocketsight.device.inference.nms import nms, nms_by_kind
from pocketsight.device.inference.postprocess import decode, decode_kinds
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.box_encoding import (
    IGNORE,
    MIN_CLIPPED_IOU,
    NEGATIVE,
    POSITIVE,
    boxes_without_cell,
    cell_centers,
    encode,
    encode_batch,
)
from pocketsight.device.vision.boxes import Box, Boxes, box_area, coverage_matrix, iou_matrix

SIZE, STRIDES = (192, 256), (8, 16, 32)
NONE = np.empty((0, 4), np.float32)


def outputs(
    cells: Boxes, size: tuple[int, int], strides: Sequence[int], int8: bool = False
) -> dict[str, QuantizedTensor]:
    """What a detector that has learned `cells` by heart gives out."""
    found, start = {}, 0
    for stride in strides:
        rows, cols = size[0] // stride, size[1] // stride
        part = cells[start : start + rows * cols].reshape(rows, cols, 5)
        start += rows * cols
        score, box = (part[..., :1] == POSITIVE).astype(np.float32), part[..., 1:]
        if int8:
            found[f"score_{stride}"] = QuantizedTensor((np.round(score * 255) - 128).astype(np.int8), 1 / 256, -128)
            found[f"box_{stride}"] = QuantizedTensor((np.round(box * 255 / 6) - 128).astype(np.int8), 6 / 255, -128)
        else:
            found[f"score_{stride}"], found[f"box_{stride}"] = QuantizedTensor(score), QuantizedTensor(box)
    return found


@st.composite
def box_lists(draw: st.DrawFn) -> Boxes:
    """Up to 12 boxes anywhere, from 8 px to the whole image, up to 5:1, also overlapping."""
    boxes = []
    for _ in range(draw(st.integers(0, 12))):
        width = draw(st.floats(8.001, SIZE[1]))
        height = draw(st.floats(max(8.001, width / 5), min(SIZE[0], width * 5)))
        left, top = draw(st.floats(0, SIZE[1] - width)), draw(st.floats(0, SIZE[0] - height))
        boxes.append([left, top, left + width, top + height])
    return np.array(boxes, np.float32).reshape(-1, 4)


def gap(boxes: Boxes, back: Boxes) -> float:
    """The largest distance from a box, or a box read back, to its nearest partner, in pixels."""
    if not len(boxes) or not len(back):
        return 0.0 if len(boxes) == len(back) else np.inf
    between = np.abs(boxes[:, None] - back[None]).max(-1)
    return float(max(between.min(0).max(), between.min(1).max()))


@settings(max_examples=100, deadline=None)
@given(box_lists())
def test_decode_undoes_encode(boxes: Boxes) -> None:
    for alone in boxes[:, None]:
        cells = encode(alone, NONE, SIZE, STRIDES)
        back, scores = decode(outputs(cells, SIZE, STRIDES), STRIDES, 0.5)
        assert gap(alone, back) < 1e-3
        assert (scores == 1).all()


@settings(max_examples=100, deadline=None)
@given(box_lists())
def test_int8_moves_a_side_by_half_a_step_at_most(boxes: Boxes) -> None:
    for alone in boxes[:, None]:
        cells = encode(alone, NONE, SIZE, STRIDES)
        back, _ = decode(outputs(cells, SIZE, STRIDES, int8=True), STRIDES, 0.5)
        assert gap(alone, back) <= 32 * 6 / 255 / 2 + 1e-3


@settings(max_examples=100, deadline=None)
@given(box_lists())
def test_in_a_crowd_every_box_with_a_cell_is_learned_almost_as_it_is(boxes: Boxes) -> None:
    back, _ = decode(outputs(encode(boxes, NONE, SIZE, STRIDES), SIZE, STRIDES), STRIDES, 0.5)
    overlaps = iou_matrix(boxes, back).max(1, initial=0) if len(boxes) else np.empty(0)
    assert ((overlaps > MIN_CLIPPED_IOU - 1e-3) | boxes_without_cell(boxes, SIZE, STRIDES)).all()


def test_long_boxes_and_those_that_fill_the_frame_get_a_cell() -> None:
    size = (256, 320)
    for box in ([10, 100, 310, 130], [3, 40, 317, 60], [100, 2, 130, 254], [0, 0, 320, 256], [50, 101, 110, 107]):
        boxes = np.array([box], np.float32)
        back, _ = decode(outputs(encode(boxes, NONE, size, STRIDES), size, STRIDES), STRIDES, 0.5)
        assert len(back) and iou_matrix(boxes, back).max() >= MIN_CLIPPED_IOU, box
    assert boxes_without_cell(np.array([[10, 106, 310, 109]], np.float32), size, STRIDES).all()  # 100:1


def test_the_targets_have_the_kind_of_each_box() -> None:
    boxes = np.array([[10, 10, 40, 40], [100, 100, 160, 160]], np.float32)
    one, several = (encode_batch([boxes], [NONE], SIZE, STRIDES, kinds)[0] for kinds in (None, [np.array([2, 0])]))
    assert set(one[:, 0]) == {NEGATIVE, POSITIVE} and set(several[:, 0]) == {NEGATIVE, POSITIVE, POSITIVE + 2}
    assert ((one[:, 0] > 0) == (several[:, 0] > 0)).all() and (one[:, 1:] == several[:, 1:]).all()


def test_decoding_of_kinds_takes_the_best_kind_of_each_cell_at_its_own_threshold() -> None:
    score = np.full((24, 32, 3), -128, np.int8)
    score[3, 4] = (0, 50, 20)  # the second is best: 178 / 256
    score[5, 6] = (-10, -20, -128)  # the first: 118 / 256
    found = {
        "score_8": QuantizedTensor(score, 1 / 256, -128),
        "box_8": QuantizedTensor(np.full((24, 32, 4), 0, np.int8), 6 / 255, -128),
    }
    boxes, scores, kinds = decode_kinds(found, (8,), (0.4, 0.6, 0.3))
    assert kinds.tolist() == [1, 0] and scores.tolist() == [178 / 256, 118 / 256] and boxes.shape == (2, 4)
    assert decode_kinds(found, (8,), (0.4, 0.9, 0.3))[2].tolist() == [0]  # not the third of the first cell
    assert len(decode_kinds(found, (8,), (0.9, 0.9, 0.9))[0]) == 0


def test_suppression_by_kind_keeps_boxes_of_other_kinds() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.6, 0.9, 0.5], np.float32)
    assert nms_by_kind(boxes, scores, np.array([0, 0, 1]), 0.4).tolist() == [1, 2]
    assert nms_by_kind(boxes, scores, np.array([2, 2, 2]), 0.4).tolist() == [1]
    assert nms_by_kind(NONE, np.empty(0, np.float32), np.empty(0, int), 0.4).tolist() == []


def test_a_small_face_is_learned_by_the_fine_grid_and_a_large_one_by_the_coarse() -> None:
    def strides_of(box: list[float]) -> set[int]:
        cells = encode(np.array([box], np.float32), NONE, SIZE, STRIDES)[:, 0] == POSITIVE
        limits = np.cumsum([0] + [(SIZE[0] // s) * (SIZE[1] // s) for s in STRIDES])
        return {s for s, a, b in zip(STRIDES, limits, limits[1:], strict=False) if cells[a:b].any()}

    assert strides_of([100, 100, 116, 116]) == {8}
    assert strides_of([60, 60, 116, 116]) == {16}
    assert strides_of([20, 20, 180, 180]) == {32}


def test_the_smaller_of_two_faces_gets_the_shared_cells() -> None:
    boxes = np.array([[80, 80, 120, 120], [90, 90, 110, 110]], np.float32)
    cells = encode(boxes, NONE, SIZE, STRIDES)
    nearest = np.abs(cell_centers(SIZE, 8) - 100).max(1).argmin()
    assert_allclose(cells[nearest, 1:] * 8, [4 - 0 + 2, 6, 14, 14], atol=8)
    assert cells[nearest, 0] == POSITIVE


def test_an_ignored_region_is_neither_face_nor_background() -> None:
    region = np.array([[64, 64, 96, 96]], np.float32)
    state = encode(NONE, region, SIZE, STRIDES)[: 24 * 32, 0].reshape(24, 32)
    assert (state[8:12, 8:12] == IGNORE).all()
    assert (state[:7] == NEGATIVE).all()
    face = encode(region, region, SIZE, STRIDES)[:, 0]
    assert (face == POSITIVE).any()  # a labelled face wins over a region


def test_a_face_too_small_for_any_cell_is_ignored() -> None:
    state = encode(np.array([[65, 65, 67, 67]], np.float32), NONE, SIZE, STRIDES)[:, 0]
    assert not (state == POSITIVE).any()
    assert (state == IGNORE).any()


def test_decode_takes_a_score_that_equals_the_threshold() -> None:
    score = np.full((24, 32, 1), -128, np.int8)
    score[3, 4] = 0  # 128 / 256
    found = {
        "score_8": QuantizedTensor(score, 1 / 256, -128),
        "box_8": QuantizedTensor(np.zeros((24, 32, 4), np.int8), 6 / 255, -128),
    }
    assert len(decode(found, (8,), 0.5)[0]) == 1
    assert len(decode(found, (8,), 0.503)[0]) == 0


def test_suppress_keeps_the_better_of_two() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
    assert nms(boxes, np.array([0.6, 0.9, 0.5], np.float32), iou_threshold=0.4).tolist() == [1, 2]


def test_suppress_of_nothing_is_nothing() -> None:
    assert nms(NONE, np.empty(0, np.float32), 0.4).tolist() == []


SIDE = st.floats(-50, 300)
ANY_BOX = st.tuples(SIDE, SIDE, st.floats(1, 200), st.floats(1, 200)).map(
    lambda sides: Box(sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3])
)


def array(*boxes: Box) -> Boxes:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_a_box_knows_its_geometry() -> None:
    box = Box(10, 20, 40, 60)
    assert (box.width, box.height, box.area, box.longer_side, box.center) == (30, 40, 1200, 40, (25, 40))
    assert box.expand(5) == (5, 15, 45, 65) and box.scale(0.5) == (5, 10, 20, 30)
    assert box.intersection(Box(30, 50, 90, 90)) == 100 and box.union(Box(30, 50, 90, 90)) == (10, 20, 90, 90)
    assert box.overlaps(Box(39, 59, 90, 90)) and not box.overlaps(Box(40, 20, 90, 60))


def test_clipping_leaves_what_is_inside_the_image() -> None:
    assert Box(-5, -5, 700, 30).clip(640, 480) == (0, 0, 640, 30)
    assert Box(10, 10, 20, 20).clip(640, 480) == (10, 10, 20, 20)
    for outside in (Box(650, 10, 700, 20), Box(-20, 10, -10, 20), Box(10, 500, 20, 600), Box(10, -20, 20, -10)):
        clipped = outside.clip(640, 480)
        assert clipped.right <= clipped.left or clipped.bottom <= clipped.top


@settings(max_examples=200, deadline=None)
@given(ANY_BOX, ANY_BOX)
def test_one_box_and_many_boxes_have_the_same_geometry(a: Box, b: Box) -> None:
    assert_allclose(iou_matrix(array(a), array(b)), [[a.iou(b)]], atol=1e-4)
    assert_allclose(iou_matrix(array(a, b), array(b, a, b)).diagonal(), [a.iou(b)] * 2, atol=1e-4)
    assert_allclose(coverage_matrix(array(a), array(b)), [[a.intersection(b) / a.area]], atol=1e-3)
    assert_allclose(box_area(array(a)), [a.area], rtol=1e-3)
    assert (a.intersection(b) > 0) <= a.overlaps(b) and abs(a.iou(a) - 1) < 1e-9
    assert a.union(b).area >= max(a.area, b.area) - 1e-9


def test_no_boxes_are_no_rows() -> None:
    assert iou_matrix(NONE, array(Box(0, 0, 1, 1))).shape == (0, 1)
    assert coverage_matrix(array(Box(0, 0, 1, 1)), NONE).shape == (1, 0)


def test_the_targets_of_a_batch_are_those_of_its_images() -> None:
    rng = np.random.default_rng(0)

    def random_boxes(most: int) -> Boxes:
        corner, sides = rng.uniform(0, 120, (rng.integers(most), 2)), rng.uniform(2, 60, 2)
        return np.concatenate([corner, corner + sides], axis=1).round().astype(np.float32)

    boxes, ignore = [random_boxes(12) for _ in range(20)], [random_boxes(3) for _ in range(20)]
    together = encode_batch(boxes, ignore, (128, 160), (8, 16, 32))
    alone = [encode(*each, (128, 160), (8, 16, 32)) for each in zip(boxes, ignore, strict=True)]
    assert (together == np.stack(alone)).all()
