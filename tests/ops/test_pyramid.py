"""Resampling between pyramid levels, 'same' padding and the gate of NAS-FPN."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.ops.pyramid import maximum_gate, pad_same, resample, same_padding


@given(size=st.integers(1, 200), kernel=st.sampled_from([1, 2, 3, 5, 7]), stride=st.integers(1, 4))
def test_same_padding_gives_ceil_of_size_over_stride_cells_with_the_odd_zero_behind(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert after - before in (0, 1)
    if kernel >= stride:
        assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_same_padding_of_a_stride_two_3x3_convolution_is_0_1_on_even_and_1_1_on_odd_sizes():
    assert same_padding(8, 3, 2) == (0, 1)
    assert same_padding(7, 3, 2) == (1, 1)
    assert same_padding(5, 3, 1) == (1, 1)


def test_pad_same_pads_height_and_width_separately():
    x = torch.ones(1, 1, 8, 7)
    padded = pad_same(x, 3, 2)
    assert padded.shape == (1, 1, 9, 9)
    assert padded[0, 0, 8].sum() == 0 and padded[0, 0, :, 0].sum() == 0 and padded[0, 0, 0].sum() == 7


@settings(max_examples=25, deadline=None)
@given(levels=st.integers(1, 3), height=st.integers(1, 3), width=st.integers(1, 3), seed=st.integers(0, 99))
def test_down_takes_the_maximum_of_every_block_and_up_repeats_every_cell(levels, height, width, seed):
    scale = 2**levels
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height * scale, width * scale, generator=generator)
    down = resample(x, 3, 3 + levels)
    up = resample(down, 3 + levels, 3)
    assert down.shape == (2, 3, height, width) and up.shape == x.shape
    for i in range(height):
        for j in range(width):
            block = x[..., i * scale : (i + 1) * scale, j * scale : (j + 1) * scale]
            assert torch.equal(down[..., i, j], block.amax((-2, -1)))
    for i in range(height * scale):
        for j in range(width * scale):
            assert torch.equal(up[..., i, j], down[..., i // scale, j // scale])


def test_resample_to_the_same_level_is_the_tensor_itself():
    x = torch.zeros(1, 1, 3, 5)
    assert resample(x, 4, 4) is x


def test_the_gate_is_the_sigmoid_of_the_largest_value_not_of_the_mean():
    x = torch.full((1, 2, 2, 2), -4.0)
    x[0, 0, 1, 0] = 3.0
    assert torch.allclose(maximum_gate(x).flatten(), torch.tensor([3.0, -4.0]).sigmoid())


def test_the_gate_and_its_gradient_are_the_same_before_and_after_upsampling():
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    (small,) = torch.autograd.grad(maximum_gate(x).sum(), x)
    (large,) = torch.autograd.grad(maximum_gate(resample(x, 5, 3)).sum(), x)
    assert torch.equal(maximum_gate(x), maximum_gate(resample(x, 5, 3)))
    assert torch.allclose(small, large, rtol=1e-12, atol=0) and small.abs().sum() > 0
