"""ConvNeck: one or two convolutions per map, nothing between maps."""

import pytest
import torch
from mmdet.registry import MODELS

from frozen_det.errors import InputError
from frozen_det.models.necks.conv_neck import ConvNeck


def test_maps_never_meet_each_output_depends_on_its_own_input_only():
    neck = ConvNeck([4, 6], out_channels=8, num_convs=2, num_outs=3).double()
    inputs = [
        torch.randn(2, 4, 8, 8, dtype=torch.float64, requires_grad=True),
        torch.randn(2, 6, 4, 4, dtype=torch.float64, requires_grad=True),
    ]
    outputs = neck(inputs)
    reached = [
        [g is not None for g in torch.autograd.grad((o**3).sum(), inputs, allow_unused=True, retain_graph=True)]
        for o in outputs
    ]
    assert reached == [[True, False], [False, True], [False, True]]


@pytest.mark.parametrize("num_convs", [1, 2])
def test_the_forward_is_convolution_norm_and_activation_only_between(num_convs):
    neck = ConvNeck([4], out_channels=8, num_convs=num_convs).double()
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    expected = x
    for i, layer in enumerate(neck.stacks[0]):
        if i:
            expected = expected * expected.sigmoid()
        expected = torch.nn.functional.conv2d(expected, layer.conv.weight, layer.conv.bias, padding=1)
        mean = expected.mean((0, 2, 3), keepdim=True)
        expected = (expected - mean) / (expected.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-4).sqrt()
    assert torch.allclose(neck([x])[0], expected, rtol=1e-9, atol=1e-9)


def test_parameter_count_is_num_convs_times_a_3x3_convolution_and_norm_per_map():
    with torch.device("meta"):
        one = ConvNeck([512, 1024, 2048], num_outs=5)
        two = ConvNeck([512, 1024, 2048], num_outs=5, num_convs=2)
    first = 9 * 256 * (512 + 1024 + 2048) + 3 * 3 * 256
    assert sum(p.numel() for p in one.parameters()) == first
    assert sum(p.numel() for p in two.parameters()) == first + 3 * (9 * 256 * 256 + 3 * 256)


def test_levels_above_the_backbone_are_max_pools_also_at_odd_sizes():
    neck = ConvNeck([4], out_channels=8, num_outs=3).eval()
    a, b, c = neck([torch.randn(1, 4, 7, 5)])
    assert b.shape == (1, 8, 4, 3) and c.shape == (1, 8, 2, 2)
    assert torch.equal(b[0, :, 0, 0], a[0, :, :2, :2].amax((-2, -1)))
    assert torch.equal(b[0, :, 3, 2], a[0, :, 6, 4])


def test_a_single_map_gives_a_single_stride_neck_and_strides_are_reported():
    assert ConvNeck([8], out_channels=8).out_strides((16,)) == [16]
    assert ConvNeck([8] * 4, out_channels=8, start_level=1, num_outs=5).out_strides((4, 8, 16, 32)) == [
        8,
        16,
        32,
        64,
        128,
    ]


def test_it_is_found_by_its_scoped_name():
    assert type(MODELS.build(dict(type="frozen_det.ConvNeck", in_channels=[8], out_channels=8))) is ConvNeck


@pytest.mark.parametrize("wrong", [dict(num_convs=0), dict(num_outs=1), dict(start_level=2)])
def test_values_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InputError, match="frozen_det.ConvNeck"):
        ConvNeck([8, 8], out_channels=8, **wrong)
