"""Necks are filled in by running them: the form of in_channels, the outputs, and why one cannot be used."""

import pytest

from frozen_det.errors import InputError
from frozen_det.models.detectors.fill_neck import fill_necks, levels_of_body

RESNET = ((4, 8, 16, 32), (8, 16, 32, 64))


def filled(neck, strides=RESNET[0], channels=RESNET[1]):
    cfg = dict(neck=neck)
    levels = fill_necks(cfg, levels_of_body(strides, channels))
    return cfg["neck"], levels


@pytest.mark.parametrize(
    "neck, in_channels, strides, channels",
    [
        (
            dict(type="FPN", out_channels=8, start_level=1, add_extra_convs="on_output", num_outs=5),
            [8, 16, 32, 64],
            [8, 16, 32, 64, 128],
            [8] * 5,
        ),
        (dict(type="ChannelMapper", out_channels=8, num_outs=5), [8, 16, 32, 64], [4, 8, 16, 32, 64], [8] * 5),
        (
            dict(type="CTResNetNeck", num_deconv_filters=(32, 16, 8), num_deconv_kernels=(4, 4, 4), use_dcn=False),
            64,
            [4],
            [8],
        ),
        (dict(type="YOLOXPAFPN", out_channels=8), [8, 16, 32, 64], [4, 8, 16, 32], [8] * 4),
        (dict(type="frozen_det.ConvNeck", out_channels=8, num_outs=5), [8, 16, 32, 64], [4, 8, 16, 32, 64], [8] * 5),
    ],
)
def test_a_neck_gets_the_channels_of_the_backbone_in_its_own_form(neck, in_channels, strides, channels):
    neck, levels = filled(neck)
    assert neck["in_channels"] == in_channels
    assert (levels.strides, levels.channels) == (strides, channels)


def test_yolos_neck_takes_and_gives_the_coarsest_level_first():
    neck, levels = filled(dict(type="YOLOV3Neck", num_scales=3, out_channels=[32, 16, 8]), (8, 16, 32), (8, 16, 32))
    assert neck["in_channels"] == [32, 16, 8]
    assert (levels.strides, levels.channels) == ([32, 16, 8], [32, 16, 8])


def test_an_encoder_of_one_level_takes_a_number():
    neck, levels = filled(
        dict(type="DilatedEncoder", out_channels=8, block_mid_channels=4, num_residual_blocks=1, block_dilations=[2]),
        (32,),
        (64,),
    )
    assert neck["in_channels"] == 64 and (levels.strides, levels.channels) == ([32], [8])


def test_a_none_in_ssds_neck_means_the_width_of_the_backbone():
    neck, levels = filled(
        dict(
            type="SSDNeck",
            out_channels=[None, None, 32, 16, 16, 16],
            level_strides=(2, 2, 1, 1),
            level_paddings=(1, 1, 0, 0),
            l2_norm_scale=20,
        ),
        (8, 16),
        (16, 32),
    )
    assert neck["out_channels"] == [16, 32, 32, 16, 16, 16] and neck["in_channels"] == [16, 32]
    assert levels.channels == [16, 32, 32, 16, 16, 16]
    # At SSD's own size: as its paper has them, 38, 19, 10, 5, 3 and 1 cells.
    assert [height for height, _ in levels.sizes_at((300, 300))] == [38, 19, 10, 5, 3, 1]


def test_a_list_of_necks_is_filled_one_after_the_other():
    necks, levels = filled(
        [dict(type="FPN", out_channels=8, num_outs=5), dict(type="BFP", refine_level=2, refine_type="conv")]
    )
    assert necks[0]["in_channels"] == [8, 16, 32, 64]
    assert (necks[1]["in_channels"], necks[1]["num_levels"]) == (8, 5)
    assert levels.strides == [4, 8, 16, 32, 64] and levels.channels == [8] * 5


def test_one_map_becomes_the_levels_that_the_next_neck_wants():
    necks, levels = filled(
        [
            dict(type="frozen_det.SimpleFeaturePyramid", out_channels=8, num_outs=None),
            dict(type="FPN", out_channels=4, num_outs=5),
        ],
        (16,),
        (32,),
    )
    assert necks[1]["in_channels"] == [8] * 4 and levels.strides == [4, 8, 16, 32, 64]


def test_padding_follows_the_coarsest_stride_of_the_backbone_or_the_size_divisor_of_the_neck():
    assert filled(dict(type="FPN", out_channels=8, num_outs=5))[1].divisor == 32
    nas_fpn = dict(type="frozen_det.NASFPN", out_channels=8, num_repeats=1)
    assert filled(nas_fpn, (8, 16, 32), (8, 16, 32))[1].divisor == 128


@pytest.mark.parametrize(
    "neck, said",
    [
        (
            dict(type="FPN", in_channels=[8, 16, 32], out_channels=8, num_outs=5),
            r"model.detector.neck.in_channels is \[8, 16, 32\], but the backbone gives \[8, 16, 32, 64\] at strides",
        ),
        (
            dict(
                type="DilatedEncoder",
                in_channels=48,
                out_channels=8,
                block_mid_channels=4,
                num_residual_blocks=1,
                block_dilations=[2],
            ),
            "neck.in_channels is 48, but the backbone gives",
        ),
        (
            dict(type="YOLOV3Neck", num_scales=3, out_channels=[32, 16, 8]),
            r"expected a neck that runs on features of \[8, 16, 32, 64\] channels .* YOLOV3Neck raised "
            r"AssertionError: assert",
        ),
        (dict(type="FPNN", out_channels=8), "expected a neck registered in mmdet in model.detector.neck, .*'FPN'"),
        (
            [dict(type="FPN", out_channels=8, num_outs=5), dict(type="BFP", in_channels=9, refine_type="conv")],
            r"model.detector.neck.1.in_channels is 9, but the neck before it gives \[8, 8, 8, 8, 8\]",
        ),
    ],
)
def test_a_neck_that_does_not_run_on_the_features_is_refused_with_its_own_message(neck, said):
    with pytest.raises(InputError, match=said):
        filled(neck)
