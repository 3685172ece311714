"""Maps to boxes and boxes to accuracy: hand-made cases with known answers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.robustness.localization import (
    best_iou,
    binary_box,
    box_iou,
    class_activation_map,
    map_box,
    max_box_acc_v2,
    moved_to_original,
)


def test_the_map_weighs_channels_and_cuts_below_zero():
    features = np.array([[[1.0, 2.0]], [[3.0, 0.0]]])
    assert class_activation_map(features, np.array([1.0, -1.0])).tolist() == [[0.0, 2.0]]


def test_the_threshold_is_a_share_of_the_maximum_and_no_percentile():
    map_hw = np.zeros((10, 10), np.float32)
    map_hw[2:5, 3:7] = 0.15  # exactly at the threshold: inside
    map_hw[3, 4] = 1.0
    map_hw[8, 8] = 0.149
    assert binary_box(map_hw, 0.15) == (3, 2, 7, 5)
    map_hw[3, 4] = 1.01  # now 0.15 is below the threshold
    assert binary_box(map_hw, 0.15) == (4, 3, 5, 4)


def test_the_largest_component_wins_over_the_brightest():
    map_hw = np.zeros((10, 10), np.float32)
    map_hw[0, 0] = 1.0
    map_hw[5:8, 4:9] = 0.5
    assert binary_box(map_hw) == (4, 5, 9, 8)


def test_corners_connect():
    map_hw = np.zeros((6, 6), np.float32)
    map_hw[0, 0] = map_hw[1, 1] = map_hw[2, 2] = map_hw[5, 0] = 1
    assert binary_box(map_hw) == (0, 0, 3, 3)


def test_a_map_without_a_positive_value_boxes_the_image():
    assert map_box(np.zeros((2, 2), np.float32), (30, 40)) == (0, 0, 40, 30)


def test_boxes_are_in_pixels_of_the_image():
    map_hw = np.zeros((4, 4), np.float32)
    map_hw[1:3, 2:4] = 1
    x1, y1, x2, y2 = map_box(map_hw, (80, 160), threshold=0.5)
    assert (x1, y1, x2, y2) == (80, 20, 160, 60)


def test_a_box_goes_back_through_crop_and_resize():
    # 200 x 400 resized to 256 x 512, the middle 224 x 224 cut out.
    box = moved_to_original((0, 0, 224, 224), (1.28, 1.28), (144, 16), (200, 400))
    assert box == pytest.approx((112.5, 12.5, 287.5, 187.5))
    assert moved_to_original((-999, 0, 9999, 1), (1, 1), (0, 0), (5, 6)) == (0, 0, 6, 1)


def test_iou_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert box_iou((1, 1, 1, 5), (0, 0, 9, 9)) == 0
    assert best_iou((0, 0, 2, 2), [(5, 5, 6, 6), (0, 0, 2, 2)]) == 1 and best_iou((0, 0, 2, 2), []) == 0


boxes = st.tuples(*[st.integers(0, 8)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_iou_counts_pixels(first, second):
    def painted(box):
        canvas = np.zeros((20, 20), bool)
        canvas[box[1] : box[3], box[0] : box[2]] = True
        return canvas

    a, b = painted(first), painted(second)
    union = (a | b).sum()
    assert box_iou(first, second) == pytest.approx((a & b).sum() / union if union else 0)


def test_max_box_acc_takes_the_best_threshold_for_each_demand():
    ious = np.array([[0.35, 0.6], [0.4, 0.1], [0.72, 0.0], [0.3, 0.9]])
    # demanded 0.3: 4 of 4 at the first; 0.5: 1 of 4 against 2 of 4; 0.7: 1 of 4 at either
    assert max_box_acc_v2(ious) == pytest.approx((100 + 50 + 25) / 3)


def test_what_is_no_map_is_refused():
    with pytest.raises(InputError, match="finite map"):
        map_box(np.array([[np.nan]]), (4, 4))
    with pytest.raises(InputError, match="threshold"):
        map_box(np.ones((2, 2)), (4, 4), threshold=15)
    with pytest.raises(InputError, match="IoUs"):
        max_box_acc_v2(np.zeros((0, 3)))
