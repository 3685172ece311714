"""ViTDet's simple feature pyramid against the authors' definition, written out with the bare functions of PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS

from frozen_det.errors import InputError
from frozen_det.models.necks.simple_pyramid import ChannelLayerNorm, SimpleFeaturePyramid


def filled(neck):
    generator = torch.Generator().manual_seed(0)
    for p in neck.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5
    return neck


def layer_norm(x, weight, bias):
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    return (x - mean) / (var + 1e-6).sqrt() * weight[:, None, None] + bias[:, None, None]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def reference(x, level, scale):
    """A level as `SimpleFeaturePyramid` of detectron2 builds it; parameters are taken in order of use."""
    p = iter(list(level.parameters()))

    def deconvolved(x):
        return F.conv_transpose2d(x, next(p), next(p), stride=2)

    if scale == 4:
        x = deconvolved(x)
        x = deconvolved(gelu(layer_norm(x, next(p), next(p))))
    elif scale == 2:
        x = deconvolved(x)
    elif scale == 0.5:
        x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
    x = layer_norm(F.conv2d(x, next(p)), next(p), next(p))
    x = layer_norm(F.conv2d(x, next(p), padding=1), next(p), next(p))
    assert next(p, None) is None
    return x


def test_every_level_is_the_authors_and_the_last_takes_every_second_cell():
    neck = filled(SimpleFeaturePyramid([12], out_channels=8))
    x = torch.randn(2, 12, 6, 10, dtype=torch.float64)
    out = neck([x])
    assert [tuple(m.shape) for m in out] == [(2, 8, h, w) for h, w in ((24, 40), (12, 20), (6, 10), (3, 5), (2, 3))]
    for level, scale, ours in zip(neck.levels, (4, 2, 1, 0.5), out):
        assert torch.allclose(ours, reference(x, level, scale), rtol=1e-9, atol=1e-9)
    assert torch.equal(out[4], out[3][:, :, ::2, ::2])


def test_parameters_on_a_vit_b_are_those_of_the_authors_layers():
    with torch.device("meta"):
        neck = SimpleFeaturePyramid([768])
    deconvolutions = (768 * 384 * 4 + 384) + 2 * 384 + (384 * 192 * 4 + 192) + (768 * 384 * 4 + 384)
    ones = 256 * (192 + 384 + 768 + 768)
    threes = 4 * 256 * 256 * 9
    assert sum(p.numel() for p in neck.parameters()) == deconvolutions + ones + threes + 4 * 2 * 2 * 256
    assert neck.out_strides((16,)) == [4, 8, 16, 32, 64]


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    octaves=st.sets(st.integers(-3, 3), min_size=1, max_size=3),
    extra=st.integers(0, 2),
)
def test_any_size_and_any_powers_of_two_give_maps_that_cover_the_input(height, width, octaves, extra):
    scales = [2.0**o for o in sorted(octaves, reverse=True)]
    neck = SimpleFeaturePyramid([8], out_channels=4, scale_factors=scales, num_outs=len(scales) + extra)
    strides = neck.out_strides((64,))
    out = neck([torch.randn(1, 8, height, width)])
    assert len(out) == len(strides) == len(scales) + extra
    for x, stride in zip(out, strides):
        assert x.shape[2:] == (-(-64 * height // stride), -(-64 * width // stride))


def test_an_odd_map_keeps_its_last_row_and_column():
    neck = SimpleFeaturePyramid([4], out_channels=4, scale_factors=[0.5], num_outs=None, norm_cfg=None)
    with torch.no_grad():
        for conv in (neck.levels[0][1], neck.levels[0][2]):
            conv.bias.zero_()
            conv.weight.zero_()
            for i in range(4):
                conv.weight[i, i, conv.weight.shape[2] // 2, conv.weight.shape[3] // 2] = 1.0
    x = torch.arange(4 * 5 * 3, dtype=torch.float32).view(1, 4, 5, 3)
    (out,) = neck([x])
    assert out[0, 0].tolist() == [[4.0, 5.0], [10.0, 11.0], [13.0, 14.0]]


def test_without_a_norm_the_convolutions_have_biases():
    names = set(dict(SimpleFeaturePyramid([8], out_channels=4, norm_cfg=None).named_parameters()))
    assert {"levels.2.0.bias", "levels.2.1.bias"} <= names
    assert "levels.2.0.bias" not in dict(SimpleFeaturePyramid([8], out_channels=4).named_parameters())


def test_a_wide_input_is_narrowed_once_for_all_levels():
    neck = SimpleFeaturePyramid([32], out_channels=4, reduce_channels=8)
    assert neck.reduce[0].weight.shape == (8, 32, 1, 1)
    assert [level[0].weight.shape[0] for level in (neck.levels[0], neck.levels[1])] == [8, 8]
    assert len(neck([torch.randn(1, 32, 2, 2)])) == 5


def test_the_norm_is_over_channels_alone_and_is_known_by_name_to_mmdet():
    from frozen_det.models.layers.conv_norm_act import build_norm

    norm = build_norm(dict(type="frozen_det.LN2d", eps=1e-6), 6)
    assert isinstance(norm, ChannelLayerNorm) and norm.eps == 1e-6
    x = torch.randn(2, 6, 3, 4)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-5)
    assert norm(x[:0]).shape == (0, 6, 3, 4)
    assert isinstance(MODELS.build(dict(type="frozen_det.SimpleFeaturePyramid", in_channels=[8])), SimpleFeaturePyramid)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(in_channels=[8, 16]), "one map"),
        (dict(in_channels=8), "one map"),
        (dict(in_channels=[8], scale_factors=(4, 3)), "powers of two"),
        (dict(in_channels=[8], scale_factors=(0,)), "powers of two"),
        (dict(in_channels=[8], scale_factors=(1, 2)), "scale_factors that fall"),
        (dict(in_channels=[8], scale_factors=()), "scale_factors that fall"),
        (dict(in_channels=[8], num_outs=3), "num_outs=3"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_key(options, said):
    with pytest.raises(InputError, match=said):
        SimpleFeaturePyramid(**options)


def test_strides_that_are_no_whole_pixels_are_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"strides=\(16,\)"):
        SimpleFeaturePyramid([8]).out_strides((14,))
    with pytest.raises(InputError, match="one map"):
        SimpleFeaturePyramid([8]).out_strides((8, 16))
