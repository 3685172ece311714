"""Colours of classes and sheets of pictures."""

import numpy as np
import pytest

from frozen_det.datasets.visualization.drawing import class_colors, contact_sheet


def test_colors_do_not_depend_on_the_number_of_classes():
    assert np.array_equal(class_colors(30)[:10], class_colors(10)) and len(np.unique(class_colors(30), axis=0)) == 30
    assert class_colors(0).shape == (0, 3)


@pytest.mark.parametrize("count,size", [(1, (112, 112)), (3, (112, 324)), (5, (218, 324))])
def test_a_sheet_has_as_many_rows_as_it_needs(count, size):
    sheet = contact_sheet([np.zeros((50, 100, 3), np.uint8)] * count, columns=3, cell_px=100)
    assert sheet.shape == (*size, 3)
    assert not sheet[6:56, 6:106].any() and (sheet[57:112, 6:106] == 255).all()
