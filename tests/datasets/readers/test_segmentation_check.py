"""Masks that a rasteriser would misread are refused by entry."""

from collections import Counter

import numpy as np
import pycocotools.mask as coco_mask
import pytest

from frozen_det.datasets.readers.segmentation_check import NO_AREA, check_segmentations
from frozen_det.errors import InputError

HEIGHT, WIDTH = 30, 40
SQUARE = [2, 3, 12, 3, 12, 11, 2, 11]


def _check(*segmentations):
    annotations = [
        {"id": i, "image_id": 1, "bbox": [2, 3, 10, 8], "area": 80, "segmentation": s}
        for i, s in enumerate(segmentations)
    ]
    notes = Counter()
    empty = check_segmentations(annotations, {1: [HEIGHT, WIDTH]}, "a.json", notes)
    assert empty == sorted(set(empty))
    return annotations, notes


def _rle(counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size), "counts": counts}


def _compressed(mask) -> str:
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def test_good_masks_of_all_three_kinds_pass_unchanged():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:11, 2:12] = 1
    good = [
        [SQUARE],
        [SQUARE, [2, 3, 12.5, 3, 12, 11]],
        _rle([63, 8, HEIGHT * WIDTH - 71]),
        _rle(_compressed(mask)),
        [],
        None,
    ]
    annotations, notes = _check(*good)
    assert [a["segmentation"] for a in annotations] == good and not notes


def test_a_part_without_area_is_left_out_and_counted():
    annotations, notes = _check([SQUARE, [1, 2, 3, 4], []])
    assert annotations[0]["segmentation"] == [SQUARE] and notes == {NO_AREA: 2}


@pytest.mark.parametrize(
    "segmentation",
    [
        [[]],
        [[2, 3, 12, 11]],
        [[2, 3]],
        [[2, 3, 12, 3, 12, 11, 2]],
        SQUARE,
        [[[2, 3], [12, 3], [12, 11]]],
        [["2", "3", "12", "3", "12", "11"]],
        [[2, 3, None, 3, 12, 11]],
        [[2, 3, True, 3, 12, 11]],
        "2 3 12 3",
        5,
        {"a": {}},
        [[2, 3, float("nan"), 3, 12, 11]],
        [[2, 3, float("inf"), 3, float("-inf"), 11]],
        [SQUARE, "2 3 12 3 12 11"],
        [{"x": 1}],
        [[10**400, 3.5, 12, 3, 12, 11]],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_polygons_that_are_none_are_refused_with_their_entry(segmentation):
    with pytest.raises(InputError, match=r"^a\.json: annotations\[1\] \(id 1\): expected segmentation as polygons"):
        _check([SQUARE], segmentation)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("far", [1e9, 1e12, 1e305, 10**300, 1401])
def test_points_far_from_the_image_are_refused_before_pycocotools_walks_there(far, sign):
    with pytest.raises(InputError, match=r"\(id 1\): expected points of polygons on .*, got the coordinate .* 40 x 30"):
        _check([SQUARE], [SQUARE, [10, 10, sign * far, 10, sign * far, 40, 10, 40]])
    _check([SQUARE], [SQUARE, [10, 10, 1400, 10, 1400, 40, 10, 40]])


@pytest.mark.parametrize(
    "rle",
    [
        _rle([10, 20]),
        _rle([0, HEIGHT * WIDTH + 5]),
        _rle([-5, HEIGHT * WIDTH + 5]),
        _rle([0.5, HEIGHT * WIDTH - 0.5]),
        _rle(["10", str(HEIGHT * WIDTH - 10)]),
        _rle(None),
        _rle([]),
        _rle(""),
        _rle([True, HEIGHT * WIDTH - 1]),
        _rle("hello world"),
        _rle("PP1"),
        _rle("é0"),
        _rle("0o"),
        _rle(HEIGHT * WIDTH),
        _rle([2**40, HEIGHT * WIDTH - 2**40]),
        _rle([0, HEIGHT * WIDTH], (WIDTH, HEIGHT)),
        _rle([0, HEIGHT * WIDTH], ("30", "40")),
        {"counts": [0, HEIGHT * WIDTH]},
        {"size": HEIGHT * WIDTH, "counts": [0, HEIGHT * WIDTH]},
        _rle([float("nan"), 5]),
        _rle("o" * 50),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(rle):
    with pytest.raises(InputError, match=r"\(id 0\): expected .* counts that add up to height \* width, got "):
        _check(rle)


def test_masks_in_other_units_than_their_boxes_are_refused_where_most_are():
    shares = [[x / 40 for x in SQUARE]]
    with pytest.raises(InputError, match=r"annotations\[0\].*with an area that lies in its bbox.*; 2 entries"):
        _check(shares, shares, [SQUARE])
    _check(shares, [SQUARE], [SQUARE])


def _box_rle(x, y, width, height):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return _rle(_compressed(mask))


@pytest.mark.parametrize(
    "segmentation",
    [[[2 * x for x in SQUARE]], [[3, 3, 12, 11, 3, 3]], [[5, 5] * 4], _box_rle(25, 15, 10, 8), _rle([HEIGHT * WIDTH])],
    ids=["double", "a line", "a point", "elsewhere", "none"],
)
def test_masks_without_area_or_of_another_place_are_refused_where_most_are(segmentation):
    with pytest.raises(InputError, match="expected a segmentation with an area that lies in its bbox"):
        _check(segmentation, segmentation, [SQUARE])
    _check(segmentation, [SQUARE], [SQUARE])


NOTHING = {
    "a line": [[3, 3, 12, 11, 7.5, 7]],
    "a slanted line of fractions": [[0.1, 0.1, 0.2, 0.3, 0.7, 1.3, 1.1, 2.1]],
    "a point": [[5, 5] * 4],
    "two lines": [[3, 3, 12, 11, 3, 3], [1, 1, 2, 2, 3, 3]],
    "right of the image": [[40, 3, 50, 3, 50, 9]],
    "above the image": [[2, -9, 12, -9, 12, 0]],
    "run lengths": _rle([HEIGHT * WIDTH]),
    "run lengths of nothing": _rle([3, 0, HEIGHT * WIDTH - 3]),
    "compressed run lengths": _rle(_compressed(np.zeros((HEIGHT, WIDTH)))),
}
SOMETHING = {
    "a square": [SQUARE],
    "a line and a square": [[3, 3, 12, 11, 3, 3], SQUARE],
    "half outside": [[39, 3, 50, 3, 50, 9]],
    "turned the other way": [[2, 3, 2, 11, 12, 11]],
    "run lengths": _rle([63, 8, HEIGHT * WIDTH - 71]),
    "compressed": _box_rle(2, 3, 10, 8),
}


@pytest.mark.parametrize("empty", NOTHING)
@pytest.mark.parametrize("whole", SOMETHING)
def test_masks_that_cover_nothing_are_told_from_those_that_cover_something(empty, whole):
    annotations = [
        {"id": i, "image_id": 1, "bbox": [2, 3, 10, 8], "area": 80, "segmentation": segmentation}
        for i, segmentation in enumerate([SOMETHING[whole], None, NOTHING[empty], [SQUARE], [SQUARE]])
    ]
    assert check_segmentations(annotations, {1: [HEIGHT, WIDTH]}, "a.json", Counter()) == [2]


def test_small_masks_of_hidden_objects_and_masks_that_stick_out_pass():
    _check([[4, 4, 7, 4, 7, 7, 4, 7]], _box_rle(5, 5, 2, 2), [[x - 3 for x in SQUARE]])
