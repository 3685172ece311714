"""FPN of the authors: against mmdet's where they agree, a written-out forward where they do not."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN as HostFPN
from mmdet.registry import MODELS

from frozen_det.errors import InputError
from frozen_det.models.necks.fpn import FPN

WIDTHS = [4, 6, 8, 12]


def maps(sizes, widths=WIDTHS, dtype=torch.float64):
    return [torch.randn(2, c, *s, dtype=dtype) for c, s in zip(widths, sizes)]


def filled(neck):
    for p in neck.parameters():
        torch.nn.init.normal_(p, 0.1, 0.5)
    return neck.double()


def test_without_norm_and_extra_levels_it_equals_mmdets_fpn_with_the_same_weights():
    ours = filled(FPN(WIDTHS, out_channels=8, num_outs=4, norm_cfg=None))
    theirs = HostFPN(WIDTHS, 8, 4).double()
    for i in range(4):
        theirs.lateral_convs[i].conv.load_state_dict(ours.laterals[i].state_dict())
        theirs.fpn_convs[i].conv.load_state_dict(ours.outputs[i].state_dict())
    for sizes in ([(32, 48), (16, 24), (8, 12), (4, 6)], [(25, 17), (13, 9), (7, 5), (4, 3)]):
        x = maps(sizes)
        assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(ours(x), theirs(x), strict=True))


def test_extra_levels_and_output_norms_follow_the_authors():
    neck = filled(FPN(WIDTHS[1:], out_channels=8, num_outs=5, act_cfg=dict(type="Swish"))).train()
    x = maps([(16, 16), (8, 8), (4, 4)], WIDTHS[1:])
    p3, p4, p5 = (lateral(m) for lateral, m in zip(neck.laterals, x))
    p4 = p4 + p5.repeat_interleave(2, 2).repeat_interleave(2, 3)
    p3 = p3 + p4.repeat_interleave(2, 2).repeat_interleave(2, 3)
    raw = [conv(m) for conv, m in zip(neck.outputs, (p3, p4, p5))]
    for i, conv in enumerate(neck.extras):
        below = raw[-1] if i == 0 else raw[-1] * raw[-1].sigmoid()
        raw.append(F.conv2d(F.pad(below, (0, 1, 0, 1)), conv.weight, conv.bias, stride=2))
    for out, m, norm in zip(neck(x), raw, neck.norms, strict=True):
        mean, var = m.mean((0, 2, 3), keepdim=True), m.var((0, 2, 3), keepdim=True, unbiased=False)
        expected = (m - mean) / (var + 1e-4).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        assert torch.allclose(out, expected, rtol=1e-9, atol=1e-9)


def test_parameter_count_on_levels_2_to_6_of_a_resnet_is_that_of_the_authors_layers():
    with torch.device("meta"):
        neck = FPN([256, 512, 1024, 2048])
        out = neck([torch.zeros(1, c, s, s) for c, s in zip([256, 512, 1024, 2048], [64, 32, 16, 8])])
    laterals = 256 * (256 + 512 + 1024 + 2048) + 4 * 256
    convs = 5 * (256 * 256 * 9 + 256)
    assert sum(p.numel() for p in neck.parameters()) == laterals + convs + 5 * 2 * 256
    assert [tuple(x.shape[-2:]) for x in out] == [(s, s) for s in (64, 32, 16, 8, 4)]
    assert neck.out_strides((4, 8, 16, 32)) == [4, 8, 16, 32, 64]


def test_start_level_leaves_the_finest_map_out_and_strides_follow():
    neck = FPN(WIDTHS, out_channels=8, num_outs=5, start_level=1)
    assert len(neck.laterals) == 3 and neck.out_strides((4, 8, 16, 32)) == [8, 16, 32, 64, 128]
    assert neck(maps([(32, 32), (16, 16), (8, 8), (4, 4)], dtype=torch.float32))[0].shape == (2, 8, 16, 16)


def test_initial_kernels_have_variance_one_over_fan_in_and_no_value_beyond_two_deviations():
    weight = FPN([512] * 2, out_channels=256, num_outs=2).laterals[0].weight
    std = (1 / 512) ** 0.5
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert weight.abs().max().item() <= 2 * std / 0.8796 + 1e-6


def test_it_is_found_by_its_scoped_name():
    assert type(MODELS.build(dict(type="frozen_det.FPN", in_channels=[8], out_channels=8, num_outs=1))) is FPN


@pytest.mark.parametrize("wrong", [dict(num_outs=3), dict(start_level=4)])
def test_numbers_of_maps_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InputError, match="frozen_det.FPN"):
        FPN(WIDTHS, out_channels=8, **wrong)
