"""Pasting on arrays: whose pixel it is, what stays of a mask, who survives."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frozen_det.ops import pasting

masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.integers(0, 1)
)


@given(masks)
def test_a_tight_box_touches_the_mask_on_all_sides(mask):
    box = pasting.tight_box(mask)
    if box is None:
        assert not mask.any()
        return
    left, top, right, bottom = box
    inside = mask[top:bottom, left:right]
    assert inside.sum() == mask.sum()
    assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_a_mask_without_pixels_has_no_box():
    assert pasting.tight_box(np.zeros((0, 0), np.uint8)) is None
    assert pasting.tight_box(np.zeros((3, 3), np.uint8)) is None
    assert pasting.tight_box(np.zeros((200, 200), np.uint8)) is None


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, 2)], ids=["whole", "every other row"])
def test_the_tight_box_of_a_large_mask_is_opencvs(rows):
    generator = np.random.default_rng(0)
    for _ in range(20):
        height, width = (int(v) for v in generator.integers(370, 600, 2))
        mask = np.zeros((height, width), np.uint8)[rows]
        for y, x in zip(generator.integers(0, mask.shape[0], 3), generator.integers(0, width, 3)):
            mask[y, x] = generator.choice([1, 255])
        left, top, box_width, box_height = cv2.boundingRect(np.ascontiguousarray(mask))
        assert pasting.tight_box(mask) == (left, top, left + box_width, top + box_height)


@given(masks, st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_pasted_pixels_are_the_objects_and_all_others_the_images(mask, left, top, seed):
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (18, 18, 3), np.uint8)
    pixels = generator.integers(0, 256, (*mask.shape, 3), np.uint8)
    canvas = image.copy()
    pasting.paste(canvas, pixels, mask, left, top)
    expected = image.copy()
    for y, x in zip(*np.nonzero(mask)):
        expected[top + y, left + x] = pixels[y, x]
    np.testing.assert_array_equal(canvas, expected)


@given(masks, masks, st.integers(0, 5), st.integers(0, 5))
def test_covered_pixels_leave_a_mask_and_no_others(mask, pasted, left, top):
    covered = np.zeros((24, 24), np.uint8)
    pasting.cover(covered, pasted, left, top)
    pasting.cover(covered, pasted, left, top)
    assert covered.sum() == pasted.sum() and covered.max(initial=0) <= 1
    rest = pasting.uncovered(mask, covered, 3, 4)
    over = covered[4 : 4 + mask.shape[0], 3 : 3 + mask.shape[1]]
    if rest is None:
        assert not (mask & over).any()
    else:
        np.testing.assert_array_equal(rest, mask & (1 - over))
        assert rest.sum() < mask.sum()


# Box before, box after, area after, kept by the rule with 10 px and 300 px.
CASES = {
    "untouched and small": ([0, 0, 8, 8], [0, 0, 8, 8], 64, True),
    "untouched and large": ([0, 0, 50, 50], [0, 0, 50, 50], 2500, True),
    "box moved by 10, small": ([0, 0, 40, 12], [10, 0, 40, 12], 299, True),
    "box moved by 11, at the threshold": ([0, 0, 40, 12], [11, 0, 40, 12], 300, False),
    "box moved by 11, above the threshold": ([0, 0, 40, 12], [11, 0, 40, 12], 301, True),
    "box stays, little is left": ([0, 0, 40, 40], [0, 0, 40, 40], 90, True),
    "nothing left of a small one near the corner": ([0, 0, 8, 8], [0, 0, 0, 0], 0, False),
}


@pytest.mark.parametrize("case", CASES)
def test_an_object_survives_by_its_own_box_and_area(case):
    before, after, area, kept = CASES[case]
    assert pasting.surviving([before], [after], [area]).tolist() == [kept]


def test_each_object_is_judged_by_itself():
    before = [[0, 0, 8, 8], [20, 0, 60, 30], [70, 70, 99, 99]]
    after = [[0, 0, 8, 8], [40, 0, 60, 30], [70, 70, 99, 99]]
    areas = [64, 600, 841]
    assert pasting.surviving(before, after, areas).tolist() == [True, True, True]


def test_no_objects_survive_of_none():
    assert pasting.surviving(np.zeros((0, 4)), np.zeros((0, 4)), []).shape == (0,)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
def test_a_grown_image_keeps_its_pixels_and_gets_the_colour(height, width, below, right):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    larger = pasting.grown(image, (height + below, width + right), (1, 2, 3))
    np.testing.assert_array_equal(larger[:height, :width], image)
    assert (larger[height:] == (1, 2, 3)).all() and (larger[:, width:] == (1, 2, 3)).all()
    assert larger.shape == (height + below, width + right, 3)
    flat = pasting.grown(image[..., 0].copy(), (height + below, width + right), 255)
    assert (flat[height:] == 255).all() and (flat[:, width:] == 255).all()


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_two_layouts_hold_the_same_pixels(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    planes = pasting.planar(image)
    np.testing.assert_array_equal(planes, image)
    assert planes.transpose(2, 0, 1).flags.c_contiguous
    back = pasting.interleaved(planes)
    np.testing.assert_array_equal(back, image)
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(pasting.interleaved(image[:, ::-1]), image[:, ::-1])
