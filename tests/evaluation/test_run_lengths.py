"""Masks that would be read beyond their end, or for ever, are told from valid ones, singly and many at once."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.evaluation.run_lengths import (
    are_plain_polygons,
    farthest_point,
    run_length_faults,
    segmentation_fault,
)


def encoded(mask: np.ndarray) -> dict:
    from pycocotools import mask as rle_tools

    return rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))


sides = st.integers(1, 40)
masks = st.tuples(sides, sides, st.integers(0, 2**31), st.sampled_from([0, 0.03, 0.5, 1])).map(
    lambda of: encoded(np.random.default_rng(of[2]).random(of[:2]) < of[3])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(masks, min_size=1, max_size=5))
def test_what_the_reference_encodes_has_no_fault(made):
    assert list(run_length_faults(made)) == []
    assert all(segmentation_fault(one, tuple(one["size"])) is None for one in made)


@settings(max_examples=80, deadline=None)
@given(masks, st.integers(0, 3), st.integers(0, 10**6), st.integers(48, 111))
def test_a_damaged_mask_is_found_among_others_as_alone(mask, kind, place, byte):
    counts = bytearray(mask["counts"])
    if kind == 0:
        counts = counts[:-1]
    elif kind == 1:
        counts[place % len(counts)] = byte
    elif kind == 2:
        counts.append(byte)
    damaged = {"size": [mask["size"][0] + (kind == 3), mask["size"][1]], "counts": bytes(counts)}
    good, alone = encoded(np.eye(9)), segmentation_fault(damaged, None)
    assert list(run_length_faults([good, damaged, good])) == ([] if alone is None else [(1, alone)])
    if kind in (0, 3):
        assert alone is not None


@given(st.lists(st.integers(0, 2**26), min_size=1, max_size=30))
def test_large_run_lengths_are_read_as_they_were_written(counts):
    # Another coder of the same text, by the book.
    text = ""
    for i, count in enumerate(counts):
        value, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr((bits | 32 * more) + 48)
    size = sum(counts)
    faults = run_length_faults([{"size": [1, width], "counts": text} for width in (size, size + 1)])
    assert [row for row, _ in faults] == ([1] if size else [0, 1])


def test_sizes_beyond_any_image_are_faults_not_overflows():
    ((row, fault),) = run_length_faults([{"size": [2**40, 2**40], "counts": "1"}])
    assert row == 0 and "instead of" in fault
    assert "more than" in segmentation_fault({"size": [2**17, 2**16], "counts": [2**33]}, (2**17, 2**16))


def test_a_value_that_never_ends_is_refused_without_reading_on():
    start = time.perf_counter()
    assert "no run lengths" in segmentation_fault({"size": [9, 9], "counts": "o" * 1_000_000}, (9, 9))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("far", [1e9, -1e12, 1e299])
@pytest.mark.parametrize("size_hw", [None, (9, 9)])
def test_a_coordinate_far_from_the_image_is_a_fault(far, size_hw):
    polygons = [[1, 1, 5, 1, far, 5]]
    assert "far from the image" in segmentation_fault(polygons, size_hw)
    assert not are_plain_polygons([polygons], farthest_point(size_hw))
    assert segmentation_fault([[1, 1, 1090, 1, 5, 5]], size_hw) is None
    assert are_plain_polygons([[[1, 1, 1090, 1, 5, 5]]], farthest_point(size_hw))


@pytest.mark.parametrize(
    "segmentation, fault",
    [
        ([[]], "three corners"),
        ([[1, 2, 3, 4]], "three corners"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three corners"),
        ([[1, 2, 3, 4, 5, float("inf")]], "finite"),
        ([["1", 2, 3, 4, 5, 6]], "finite"),
        ([], "no polygon"),
        ({"counts": [4]}, "without a size"),
        ({"size": [2, 2], "counts": [5, -1]}, "the run -1 below 0"),
        ({"size": [2, 2], "counts": [3]}, "sum up to 3 instead of 2 x 2 = 4"),
        ({"size": [2, 2], "counts": ["4"]}, "no run"),
        ({"size": [2, 2], "counts": "é"}, "no run"),
        ({"size": [3, 2], "counts": [6]}, r"on an image of \[2, 2\]"),
        (5, "neither polygons nor run lengths"),
    ],
)
def test_each_fault_is_named(segmentation, fault):
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(segmentation_fault(segmentation, (2, 2)))
    assert segmentation_fault([[0, 0, 2, 0, 2, 2]], (2, 2)) is None
