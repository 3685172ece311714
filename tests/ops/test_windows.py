"""Jitter windows: where an image, its boxes and single objects land."""

import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.ops.windows import (
    JitterDraw,
    Window,
    boxes_to_window,
    jitter_window,
    jpeg_reduction,
    object_window,
    points_to_window,
    resized_hw,
    source_index,
)

sides = st.integers(1, 700)
draws = st.builds(
    JitterDraw, scale=st.floats(0.1, 2.0), top=st.floats(0, 0.999999), left=st.floats(0, 0.999999), flip=st.booleans()
)


@given(sides, sides, st.floats(0.1, 2.0))
@settings(max_examples=200, deadline=None)
def test_an_image_is_resized_to_the_size_that_mmdet_computes(height, width, scale):
    box = int(256 * scale)
    expected_w, expected_h = mmcv.rescale_size((width, height), (box, box))
    assert resized_hw((height, width), (256, 256), scale) == (max(expected_h, 1), max(expected_w, 1))


@given(draws, sides, sides, st.integers(10, 300), st.integers(10, 300), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_window_lies_in_the_image_and_fits_the_output(draw, height, width, out_h, out_w, reduce):
    window = jitter_window(draw, (height, width), (out_h, out_w), reduce)
    new_h, new_w = resized_hw((height, width), (out_h, out_w), draw.scale)
    assert window.size_hw == (min(out_h, new_h), min(out_w, new_w))
    for axis in (0, 1):
        assert window.origin_xy[axis] >= 0 and window.origin_xy[axis] % window.reduction == 0
        end = window.origin_xy[axis] + window.size_hw[1 - axis] / window.scale_xy[axis]
        assert end <= window.source_hw[1 - axis] * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize(
    "scale, expected",
    [(0.124, 8), (0.125, 8), (0.13, 4), (0.25, 4), (0.26, 2), (0.5, 2), (0.51, 1), (1.0, 1), (3.0, 1)],
)
def test_a_jpeg_is_reduced_only_as_far_as_the_output_is_no_larger(scale, expected):
    assert jpeg_reduction((scale, scale / 2)) == expected


def test_without_leave_to_reduce_the_source_is_read_in_full():
    draw = JitterDraw(0.1, 0, 0, False)
    assert jitter_window(draw, (1000, 1000), (100, 100)).reduction == 8
    assert jitter_window(draw, (1000, 1000), (100, 100), reduce=False).reduction == 1


def test_boxes_are_scaled_shifted_mirrored_and_clipped():
    boxes_xyxy = np.array([[10, 20, 30, 40], [0, 0, 5, 5]], np.float32)
    window = Window((100, 100), (2.0, 3.0), (10, 10), (60, 50))
    np.testing.assert_allclose(boxes_to_window(boxes_xyxy, window), [[0, 30, 40, 60], [0, 0, 0, 0]])
    mirrored = Window((100, 100), (2.0, 3.0), (10, 10), (60, 50), flip=True)
    np.testing.assert_allclose(boxes_to_window(boxes_xyxy, mirrored), [[10, 30, 50, 60], [50, 0, 50, 0]])


def test_no_boxes_stay_no_boxes():
    assert boxes_to_window(np.zeros((0, 4)), Window((9, 9), (1.0, 1.0), (0, 0), (9, 9))).shape == (0, 4)


@given(draws, sides, sides, st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_points_boxes_and_the_matrix_agree(draw, height, width, seed):
    window = jitter_window(draw, (height, width), (128, 128))
    points_xy = np.random.default_rng(seed).uniform(-10, 700, (6, 2))
    moved = points_to_window(points_xy, window)
    by_matrix = np.c_[points_xy, np.ones(6)] @ window.matrix().T.astype(np.float64)
    np.testing.assert_allclose(by_matrix[:, :2], moved, rtol=1e-4, atol=1e-2)
    box = np.concatenate([points_xy.min(axis=0), points_xy.max(axis=0)])
    limits = np.tile(window.size_hw[::-1], 2)
    expected = np.clip(np.concatenate([moved.min(axis=0), moved.max(axis=0)]), 0, limits)
    np.testing.assert_allclose(boxes_to_window(box[None], window)[0], expected, atol=1e-3)


@given(draws, st.integers(30, 700), st.integers(30, 700), st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_an_object_seen_by_itself_is_within_half_a_pixel_of_where_the_full_window_shows_it(draw, height, width, seed):
    window = jitter_window(draw, (height, width), (256, 256))
    generator = np.random.default_rng(seed)
    (x1, x2), (y1, y2) = np.sort(generator.uniform(0, width, 2)), np.sort(generator.uniform(0, height, 2))
    placed = object_window(window, (x1, y1, x2, y2))
    inside = boxes_to_window(np.array([[x1, y1, x2, y2]]), window)[0].astype(np.float64)
    if placed is None:
        # Outside, or so thin at the rim that cv2 would give it no pixel.
        assert min(inside[2] - inside[0], inside[3] - inside[1]) <= 1.5
        return
    part, left, top = placed
    part_h, part_w = part.size_hw
    assert left >= 0 and left + part_w <= window.size_hw[1] and top >= 0 and top + part_h <= window.size_hw[0]
    centre = np.array([[(x1 + x2) / 2, (y1 + y2) / 2]])
    offset = points_to_window(centre, part) + (left, top) - points_to_window(centre, window)
    assert np.abs(offset).max() <= 0.5 + 1e-6
    # All of the object that the window shows is in the part, to within the shift and a rounding.
    assert left <= inside[0] + 1.01 and top <= inside[1] + 1.01
    assert left + part_w >= inside[2] - 1.51 and top + part_h >= inside[3] - 1.51


def test_an_object_outside_the_window_has_no_window():
    window = Window((100, 100), (1.0, 1.0), (50, 50), (50, 50))
    assert object_window(window, (0, 0, 50, 50)) is None
    assert object_window(window, (0, 0, 51, 51)) is not None
    assert object_window(window, (100, 60, 110, 70)) is None


def test_an_object_of_which_only_a_part_is_at_hand_is_cut_to_it():
    window = Window((100, 100), (2.0, 2.0), (0, 0), (200, 200))
    part, left, top = object_window(window, (40, 40, 60, 60), bounds_xyxy=(40, 40, 60, 60))
    assert (part.origin_xy, part.size_hw, left, top) == ((40, 40), (40, 40), 80, 80)


@pytest.mark.parametrize("flip, expected", [(False, [1, 2, 2, 3]), (True, [3, 2, 2, 1])])
def test_the_nearest_source_pixels_follow_pixel_centres(flip, expected):
    window = Window((1, 9), (1.5, 1.0), (1, 0), (1, 4), flip=flip)
    assert source_index(window, 0, 4, axis=0).tolist() == expected
    assert source_index(window, 1, 2, axis=0).tolist() == expected[1:3]
    assert source_index(window, 0, 1, axis=1).tolist() == [0]
