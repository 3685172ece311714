"""Masks to COCO segmentations and back: nothing is lost, holes and single pixels included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frozen_det.datasets.readers.polygons import (
    mask_box_xywh,
    mask_iou,
    mask_segmentation,
    segmentation_box,
    segmentation_mask,
)


def _ring() -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    radius = np.hypot(y - 30, x - 40)
    return (radius < 25) & (radius > 12)


def test_a_rectangle_gives_its_corners_back():
    mask = np.zeros((10, 12), bool)
    mask[2:7, 3:11] = True
    polygons = mask_segmentation(mask)
    assert len(polygons) == 1
    x, y = polygons[0][::2], polygons[0][1::2]
    # The outline runs an eighth of a pixel inside the pixels' border.
    assert (min(x), max(x), min(y), max(y)) == pytest.approx((3, 11, 2, 7), abs=0.13)
    assert np.array_equal(segmentation_mask(polygons, mask.shape), mask)


def test_a_hole_stays_a_hole():
    ring = _ring()
    polygons = mask_segmentation(ring)
    back = segmentation_mask(polygons, ring.shape)
    assert len(polygons) == 1 and not back[30, 40] and mask_iou(back, ring) == 1.0


def test_parts_become_polygons_of_their_own():
    mask = np.zeros((40, 40), bool)
    mask[2:9, 2:9] = mask[20:38, 25:30] = True
    polygons = mask_segmentation(mask)
    assert len(polygons) == 2 and np.array_equal(segmentation_mask(polygons, mask.shape), mask)


def test_two_holes_and_an_island_in_one_come_back():
    mask = np.zeros((50, 80), bool)
    mask[5:45, 5:75] = True
    mask[10:40, 10:35] = mask[10:40, 45:70] = False
    mask[20:30, 15:25] = True
    polygons = mask_segmentation(mask)
    assert len(polygons) == 2 and np.array_equal(segmentation_mask(polygons, mask.shape), mask)


@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))).filter(np.any))
def test_any_mask_comes_back_with_an_iou_of_at_least_nine_tenths(mask):
    assert mask_iou(segmentation_mask(mask_segmentation(mask), mask.shape), mask) >= 0.9


@pytest.mark.parametrize("outlines", [[], [[0.0, 0.0, 50.0, 0.0, 50.0, 50.0]]])
def test_where_polygons_fail_rle_is_written(monkeypatch, outlines):
    monkeypatch.setattr("frozen_det.datasets.readers.polygons._outlines", lambda mask: outlines)
    ring = _ring()
    segmentation = mask_segmentation(ring)
    assert segmentation["size"] == [60, 80] and isinstance(segmentation["counts"], str)
    assert np.array_equal(segmentation_mask(segmentation, ring.shape), ring)


def test_uncompressed_rle_is_read():
    # Column by column: 2 off, 3 on, 1 off in an image 2 high and 3 wide.
    mask = segmentation_mask({"size": [2, 3], "counts": [2, 3, 1]}, (2, 3))
    assert mask.tolist() == [[False, True, True], [False, True, False]]


@pytest.mark.parametrize(
    "window,box", [(np.s_[2:7, 3:11], [3, 2, 8, 5]), (np.s_[0, 0], [0, 0, 1, 1]), (np.s_[:, :], [0, 0, 12, 10])]
)
def test_boxes_are_tight(window, box):
    mask = np.zeros((10, 12), bool)
    mask[window] = True
    assert mask_box_xywh(mask) == box


def test_iou_of_masks():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(first, second) == 1.0
    first[:2], second[1:3] = True, True
    assert mask_iou(first, second) == pytest.approx(4 / 12)


def test_the_box_of_a_segmentation_is_that_of_its_mask():
    polygons = [[2, 3, 12, 3, 12, 11, 2, 11], [20, 1, 22, 1, 22, 5]]
    assert segmentation_box(polygons).tolist() == [2, 1, 20, 10]
    listed = dict(size=[10, 8], counts=[23, 4, 6, 4, 43])
    assert segmentation_box(listed).tolist() == mask_box_xywh(segmentation_mask(listed, (10, 8))) == [2, 3, 2, 4]
    assert segmentation_box([[1, 1, 5, 5, 9, 9]]) is None and segmentation_box(dict(size=[10, 8], counts=[80])) is None
