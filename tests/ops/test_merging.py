"""Folding side branches into weights: exact in float64 for any sizes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from frozen_det.ops.merging import fold_low_rank, fold_parallel, fold_series, norm_scale_shift

channels = st.integers(1, 5)
kernels = st.sampled_from([1, 3, 5])
seeds = st.integers(0, 2**16)


def draw(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)


@settings(max_examples=40, deadline=None)
@given(seeds, channels, channels, kernels, st.integers(1, 2), st.integers(5, 9), st.integers(5, 9))
def test_a_folded_parallel_branch_equals_the_sum_of_both(seed, inputs, outputs, kernel, stride, height, width):
    normal = draw(seed)
    x = normal(1, inputs, height, width)
    weight, mix = normal(outputs, inputs, kernel, kernel), normal(outputs, inputs, 1, 1)
    wanted = F.conv2d(x, weight, stride=stride, padding=kernel // 2) + F.conv2d(x, mix, stride=stride)
    got = F.conv2d(x, fold_parallel(weight, mix), stride=stride, padding=kernel // 2)
    assert (got - wanted).abs().max() < 1e-12 * max(1, wanted.abs().max())


@settings(max_examples=40, deadline=None)
@given(seeds, channels, channels, kernels, st.booleans(), st.booleans())
def test_a_folded_series_branch_equals_both_in_a_row(seed, inputs, outputs, kernel, with_bias, with_norm):
    normal = draw(seed)
    x, weight, mix = normal(2, inputs, 7, 6), normal(outputs, inputs, kernel, kernel), normal(outputs, outputs)
    bias = normal(outputs) if with_bias else None
    scale, shift = (normal(outputs), normal(outputs)) if with_norm else (None, None)
    z = F.conv2d(x, weight, bias, padding=kernel // 2)
    normed = z * scale[:, None, None] + shift[:, None, None] if with_norm else z
    wanted = z + F.conv2d(normed, mix[:, :, None, None])
    folded, gained = fold_series(weight, bias, mix, scale, shift)
    got = F.conv2d(x, folded, bias, padding=kernel // 2)
    assert (gained is None) == (not with_bias and not with_norm)
    if gained is not None:
        got = got + gained[:, None, None]
    assert (got - wanted).abs().max() < 1e-12 * max(1, wanted.abs().max())


@settings(max_examples=40, deadline=None)
@given(seeds, channels, channels, st.integers(1, 3), st.floats(0.1, 4), st.booleans())
def test_a_folded_low_rank_branch_equals_the_sum_of_both(seed, inputs, outputs, rank, scaling, convolution):
    normal = draw(seed)
    x, weight, down, up = normal(3, inputs), normal(outputs, inputs), normal(rank, inputs), normal(outputs, rank)
    wanted = x @ weight.T + scaling * (x @ down.T @ up.T)
    if convolution:
        folded = fold_low_rank(*(t[:, :, None, None] for t in (weight, down, up)), scaling)
        got = F.conv2d(x[:, :, None, None], folded)[:, :, 0, 0]
    else:
        got = x @ fold_low_rank(weight, down, up, scaling).T
    assert (got - wanted).abs().max() < 1e-12 * max(1, wanted.abs().max())


def test_grouped_kernels_take_branches_of_the_same_groups():
    normal = draw(0)
    x, weight, mix = normal(1, 6, 5, 5), normal(4, 3, 3, 3), normal(4, 3, 1, 1)
    wanted = F.conv2d(x, weight, padding=1, groups=2) + F.conv2d(x, mix, groups=2)
    assert (F.conv2d(x, fold_parallel(weight, mix), padding=1, groups=2) - wanted).abs().max() < 1e-12


def test_a_batch_norm_in_inference_is_its_scale_and_shift():
    normal = draw(1)
    mean, variance, weight, bias = normal(4), normal(4).abs(), normal(4), normal(4)
    x = normal(2, 4, 3, 3)
    scale, shift = norm_scale_shift(mean, variance, 1e-3, weight, bias)
    wanted = F.batch_norm(x, mean, variance, weight, bias, False, 0, 1e-3)
    assert (x * scale[:, None, None] + shift[:, None, None] - wanted).abs().max() < 1e-12
    scale, shift = norm_scale_shift(mean, variance, 1e-3, None, None)
    wanted = F.batch_norm(x, mean, variance, None, None, False, 0, 1e-3)
    assert (x * scale[:, None, None] + shift[:, None, None] - wanted).abs().max() < 1e-12


def test_arguments_are_left_as_they_were():
    normal = draw(2)
    weight, mix = normal(3, 3, 3, 3), normal(3, 3, 1, 1)
    kept = weight.clone()
    fold_parallel(weight, mix)
    fold_series(weight, None, mix[:, :, 0, 0])
    assert torch.equal(weight, kept)
