"""Boxes and masks land on the pixels they describe."""

import numpy as np
import pytest

from frozen_det.datasets.visualization.drawing import class_colors, contact_sheet, draw_instances

BLACK = np.zeros((500, 600, 3), np.uint8)


def test_colors_do_not_depend_on_the_number_of_classes():
    assert np.array_equal(class_colors(30)[:10], class_colors(10)) and len(np.unique(class_colors(30), axis=0)) == 30
    assert class_colors(0).shape == (0, 3)


def test_a_box_is_drawn_on_the_last_pixels_inside():
    canvas = draw_instances(BLACK, np.array([[100, 200, 150, 260]]), [1], ["a", "b"])
    color = class_colors(2)[1]
    assert (canvas[230, 100] == color).all() and (canvas[230, 149] == color).all()
    assert (canvas[200, 130] == color).all() and (canvas[259, 130] == color).all()
    assert not canvas[230, 99].any() and not canvas[230, 150].any() and not canvas[230, 125].any()


def test_a_mask_is_tinted_where_it_is_set():
    mask = np.zeros((1, 500, 600), bool)
    mask[0, 300:320, 400:430] = True
    canvas = draw_instances(BLACK, np.array([[10, 400, 20, 410]]), [0], ["a"], mask)
    color = class_colors(1)[0]
    assert canvas[310, 415] == pytest.approx(color * 0.5, abs=1) and not canvas[330, 415].any()


def test_regions_to_ignore_are_grey():
    canvas = draw_instances(BLACK, np.array([[100, 200, 150, 260]]), [0], ["a"], ignored=[True])
    assert canvas[230, 100].tolist() == [128, 128, 128]


def test_small_images_are_enlarged_with_their_boxes():
    canvas = draw_instances(np.zeros((112, 224, 3), np.uint8), np.array([[10, 20, 30, 40]]), [0], ["a"])
    assert canvas.shape == (448, 896, 3) and (canvas[120, 40] == class_colors(1)[0]).all()


def test_no_object_leaves_the_image_as_it_is():
    assert np.array_equal(draw_instances(BLACK + 7, np.zeros((0, 4)), [], []), BLACK + 7)


@pytest.mark.parametrize("count,size", [(1, (112, 112)), (3, (112, 324)), (5, (218, 324))])
def test_a_sheet_has_as_many_rows_as_it_needs(count, size):
    sheet = contact_sheet([np.zeros((50, 100, 3), np.uint8)] * count, columns=3, cell_px=100)
    assert sheet.shape == (*size, 3)
    assert not sheet[6:56, 6:106].any() and (sheet[57:112, 6:106] == 255).all()
