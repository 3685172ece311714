"""A stock backbone as a frozen one: all its features, its settings, and the one that trains otherwise than it runs."""

import pytest

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbone_sources.base import select_by_stride
from frozen_det.models.detectors.wrapping import as_frozen_backbone

TRIDENT = dict(
    type="TridentResNet",
    depth=50,
    num_branch=3,
    test_branch_idx=1,
    trident_dilations=(1, 2, 3),
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(2,),
)


def test_two_features_of_one_stride_are_both_kept():
    cfg = as_frozen_backbone(
        dict(
            type="HourglassNet",
            downsample_times=2,
            num_stacks=2,
            feat_channel=8,
            stage_channels=(8, 8, 8),
            stage_blocks=(1, 1, 1),
        )
    )
    assert cfg["strides"] == (4, 4)
    assert FrozenBackbone(cfg["body"], weights="random", strides=(4, 4)).channels == (8, 8)
    # A dilated ResNet has its last two stages at one stride.
    cfg = as_frozen_backbone(dict(type="ResNet", depth=18, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)))
    assert cfg["strides"] == (4, 8, 16, 16)


def test_a_stride_wanted_twice_takes_the_last_two_in_order_and_wanted_too_often_is_refused():
    found, channels = [4, 4, 8, None, 4], [1, 2, 3, 4, 5]
    assert select_by_stride(found, channels, (4, 4, 8), "body") == ([1, 4, 2], [2, 5, 3])
    assert select_by_stride(found, channels, (4,), "body") == ([4], [5])
    with pytest.raises(InputError, match=r"at strides \(8, 8\) .* but body has strides \(4, 4, 4, 8\)"):
        select_by_stride(found, channels, (8, 8), "body")


def test_the_image_beside_the_features_is_one_of_them():
    """DetectoRS hands the image on, as a map of stride 1."""
    cfg = as_frozen_backbone(
        dict(
            type="DetectoRS_ResNet",
            depth=50,
            num_stages=4,
            output_img=True,
            conv_cfg=dict(type="ConvAWS"),
            style="pytorch",
        )
    )
    assert cfg["strides"] == (1, 4, 8, 16, 32)


def test_weights_come_from_every_way_in_which_mmdet_names_them():
    pretrained = dict(type="Pretrained", checkpoint="a.pth")
    assert as_frozen_backbone(dict(type="ResNet", depth=18, init_cfg=pretrained))["weights"] == "a.pth"
    pvt = dict(type="PyramidVisionTransformer", num_layers=[1] * 4)
    assert as_frozen_backbone(dict(pvt, init_cfg=dict(checkpoint="c.pth")))["weights"] == "c.pth"
    cfg = as_frozen_backbone(dict(type="ResNet", depth=18, pretrained="b.pth", frozen_stages=1))
    assert cfg["weights"] == "b.pth" and cfg["body"] == dict(type="ResNet", depth=18)


@pytest.mark.parametrize(
    "body",
    [
        dict(type="EfficientNet", arch="b0", out_indices=(3, 4, 5), frozen_stages=0),
        dict(type="MobileNetV2", out_indices=(2, 4, 6), frozen_stages=3),
    ],
)
def test_nothing_is_left_of_a_familys_own_freezing_however_it_counts(body):
    """mmdet's EfficientNet counts from 0 and refuses -1, the others' word for nothing."""
    cfg = as_frozen_backbone(body)
    assert "frozen_stages" not in cfg["body"]
    assert FrozenBackbone(cfg["body"], weights="random", strides=cfg["strides"]).is_frozen


def test_a_backbone_with_more_maps_in_training_cannot_be_frozen():
    with pytest.raises(InputError, match=r"TridentResNet50 returns 3 maps per image in train mode only. .*idx=-1"):
        FrozenBackbone(TRIDENT, weights="random", strides=(16,))
    assert FrozenBackbone(TRIDENT, weights="random", strides=(16,), freeze=False).is_frozen is False


def test_a_detector_may_read_the_settings_of_the_wrapped_network_and_nothing_else():
    backbone = FrozenBackbone(dict(TRIDENT, test_branch_idx=-1), weights="random", strides=(16,))
    assert (backbone.num_branch, backbone.test_branch_idx) == (3, -1)
    for name in ("init_cfg", "layer1", "no_such_setting"):
        assert not hasattr(backbone, name)
