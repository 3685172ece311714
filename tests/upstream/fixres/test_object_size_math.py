"""Object sizes of random resized crops against a central crop: closed form, simulation, torchvision's own draws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torchvision.transforms import v2

from frozen_det.errors import InputError
from frozen_det.upstream.fixres.object_size_math import (
    central_share,
    eval_object_scale,
    expected_crop_side,
    expected_size_ratio,
    random_crop_sizes,
    suggested_test_size,
    train_object_scale,
)


def mean_ratio(height, width, num=100_000, **options):
    heights, widths = random_crop_sizes(num, height, width, np.random.default_rng(0), **options)
    return float((eval_object_scale(height, width, 256) / train_object_scale(heights, widths, 224)).mean())


def test_the_closed_form_is_the_papers_and_the_simulation_without_rejection_meets_it():
    assert expected_crop_side() == pytest.approx(0.708, abs=5e-4)
    assert expected_size_ratio(224, 224, 256) == pytest.approx(0.809, abs=5e-4)
    assert mean_ratio(400, 400, rejection=False) == pytest.approx(expected_size_ratio(224, 224, 256), abs=0.002)


@pytest.mark.parametrize("height, width, expected", [(400, 400, 0.763), (375, 500, 0.838), (500, 375, 0.838)])
def test_with_rejected_crops_objects_look_smaller_still(height, width, expected):
    assert mean_ratio(height, width) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("height, width", [(120, 120), (90, 200), (300, 60)])
def test_crop_sizes_are_distributed_as_torchvisions(height, width):
    torch.manual_seed(0)
    crop, image = v2.RandomResizedCrop(32), torch.zeros(3, height, width)
    draw = getattr(crop, "make_params", None) or crop._get_params  # its name before torchvision 0.21
    theirs = [draw([image]) for _ in range(1500)]
    heights, widths = random_crop_sizes(30_000, height, width, np.random.default_rng(1))
    for ours, name in ((heights, "height"), (widths, "width")):
        drawn = np.array([one[name] for one in theirs])
        assert ours.mean() == pytest.approx(drawn.mean(), rel=0.04)
        assert np.quantile(ours, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(drawn, [0.1, 0.5, 0.9]), rel=0.1)


@given(low=st.floats(0.01, 1), high=st.floats(0.01, 1))
@example(low=0.010000000000000002, high=0.01)  # a difference of the last bit
def test_the_mean_side_lies_between_the_sides_of_the_range(low, high):
    low, high = min(low, high), max(low, high)
    assert math.sqrt(low) - 1e-6 <= expected_crop_side((low, high)) <= math.sqrt(high) + 1e-6


def test_a_whole_image_is_seen_without_a_crop_and_a_square_crop_of_a_wide_one_is_its_half():
    assert central_share(100, 100, 224, 224) == 1.0
    assert central_share(100, 200, 224, 224) == 0.5
    assert central_share(100, 100, 224, 256) == pytest.approx(0.875**2)


@pytest.mark.parametrize("size, expected", [(224, 288), (160, 224)])
def test_the_suggested_size_is_what_such_classifiers_are_tested_at(size, expected):
    assert suggested_test_size(size, 0.763) == expected


@pytest.mark.parametrize("scale", [(0, 1), (0.5, 0.1), (0.5, 1.5)])
def test_shares_outside_the_image_are_refused(scale):
    with pytest.raises(InputError, match="area shares"):
        expected_crop_side(scale)


def test_an_empty_image_and_a_resize_below_the_crop_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        random_crop_sizes(3, 0, 10, np.random.default_rng(0))
    with pytest.raises(InputError, match="test_size <= test_resize"):
        expected_size_ratio(224, 256, 224)
