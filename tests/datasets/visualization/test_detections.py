"""Pictures show every object at its place, whatever the size of the image."""

import numpy as np
import pytest

from frozen_det.datasets.visualization.detections import GAP_PX, IGNORED_COLOR, DrawnObjects, draw_objects, draw_pair
from frozen_det.datasets.visualization.drawing import class_colors

CLASSES = ("ant", "zebra")


def objects(*boxes, labels=None, **more) -> DrawnObjects:
    return DrawnObjects(np.array(boxes, float).reshape(-1, 4), np.array(labels or [0] * len(boxes), int), **more)


@pytest.mark.parametrize(
    "size_hw, panel_hw",
    [((100, 200), (320, 640)), ((90, 90), (360, 360)), ((2000, 1000), (640, 320)), ((500, 400), (500, 400))],
)
def test_a_panel_is_neither_tiny_nor_huge(size_hw, panel_hw):
    assert draw_objects(np.zeros((*size_hw, 3), np.uint8), objects(), CLASSES).shape == (*panel_hw, 3)


def test_the_outline_runs_on_the_last_pixels_inside_the_box():
    panel = draw_objects(np.zeros((400, 400, 3), np.uint8), objects([50, 60, 150, 200], labels=[1]), CLASSES)
    color = class_colors(2)[1]
    for y, x in ((60, 120), (199, 120), (130, 50), (130, 149)):
        np.testing.assert_array_equal(panel[y, x], color)
    assert not panel[130, 152].any() and not panel[203, 120].any() and not panel[130, 100].any()


def test_masks_are_tinted_and_crowds_are_grey():
    mask = np.zeros((400, 400), bool)
    mask[100:200, 100:200] = True
    white = np.full((400, 400, 3), 255, np.uint8)
    panel = draw_objects(white, objects([90, 90, 210, 210], masks=[mask], ignored=np.array([True])), CLASSES)
    expected = (0.6 * 255 + 0.4 * np.array(IGNORED_COLOR)).astype(np.uint8)
    np.testing.assert_array_equal(panel[150, 150], expected)
    np.testing.assert_array_equal(panel[95, 95], [255, 255, 255])


def test_names_that_find_no_room_are_left_out_instead_of_piling_up():
    black = np.zeros((400, 400, 3), np.uint8)
    alone = draw_objects(black, objects([100, 100, 110, 110]), CLASSES)
    # The last of equal boxes is named first; the others must leave its name as it is.
    crowd = draw_objects(black, objects(*[[100, 100, 110, 110]] * 30, labels=[1] * 29 + [0]), CLASSES)
    plate = (alone == class_colors(2)[0]).all(axis=2)
    plate[99:112] = False  # the box itself
    assert plate.sum() > 100
    np.testing.assert_array_equal(crowd[plate], alone[plate])


def test_boxes_off_the_image_or_inside_out_do_not_stop_the_picture():
    panel = draw_objects(
        np.zeros((400, 400, 3), np.uint8),
        objects([-50, -50, 900, 900], [300, 300, 200, 200], [500, 500, 600, 600]),
        CLASSES,
    )
    assert panel.shape == (400, 400, 3)


def test_a_pair_has_the_truth_left_and_the_predictions_right():
    pair = draw_pair(
        np.zeros((400, 500, 3), np.uint8),
        objects([50, 60, 150, 200]),
        objects([250, 60, 350, 200], labels=[1], scores=np.array([0.5])),
        CLASSES,
    )
    assert pair.shape == (400, 1000 + GAP_PX, 3)
    np.testing.assert_array_equal(pair[130, 50], class_colors(2)[0])
    np.testing.assert_array_equal(pair[130, 500 + GAP_PX + 250], class_colors(2)[1])
    assert not pair[130, 250].any() and not pair[130, 500 + GAP_PX + 50].any()
