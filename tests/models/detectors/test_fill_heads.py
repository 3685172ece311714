"""Heads are asked by their constructors: what follows from the features is filled in, what contradicts them refused."""

import pytest

from frozen_det.errors import InputError
from frozen_det.models.detectors.fill_heads import fill_heads, made_for_one_size
from frozen_det.models.detectors.fill_neck import Levels, levels_of_body

PYRAMID = levels_of_body((8, 16, 32, 64, 128), [8] * 5)
ANCHORS = dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1)


def filled(key, part, levels=PYRAMID, **more):
    cfg = {**more, key: part}
    fill_heads(cfg, levels)
    return cfg[key]


def test_a_head_with_anchors_gets_one_width_and_the_strides():
    head = filled("bbox_head", dict(type="RetinaHead", num_classes=2, anchor_generator=dict(ANCHORS)))
    assert head["in_channels"] == 8 and head["anchor_generator"]["strides"] == [8, 16, 32, 64, 128]
    assert "strides" not in head


def test_a_head_of_points_gets_strides_of_its_own():
    assert filled("bbox_head", dict(type="FCOSHead", num_classes=2))["strides"] == [8, 16, 32, 64, 128]
    head = filled("bbox_head", dict(type="RepPointsHead", num_classes=2))
    assert head["point_strides"] == head["strides"] == [8, 16, 32, 64, 128]
    head = filled("bbox_head", dict(type="RTMDetHead", num_classes=2, anchor_generator=dict(type="MlvlPointGenerator")))
    assert head["anchor_generator"]["strides"] == [8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    "kind", ["DETRHead", "ConditionalDETRHead", "DABDETRHead", "DeformableDETRHead", "DINOHead", "DDQDETRHead"]
)
def test_a_detr_head_takes_nothing_from_the_features(kind):
    head = dict(type=kind, num_classes=2)
    assert filled("bbox_head", dict(head)) == head


def test_a_detr_with_several_levels_learns_their_number():
    cfg = dict(type="DeformableDETR", bbox_head=dict(type="DeformableDETRHead", num_classes=2))
    fill_heads(cfg, PYRAMID)
    assert cfg["num_feature_levels"] == 5
    with pytest.raises(InputError, match="model.detector.num_feature_levels is 4, expected 5 because the neck gives"):
        fill_heads(dict(cfg, num_feature_levels=4), PYRAMID)


def test_mask_heads_of_one_stage_detectors_are_inspected_too():
    assert filled("mask_head", dict(type="YOLACTProtonet", num_classes=2))["in_channels"] == 8
    condinst = dict(type="CondInstMaskHead", mask_feature_head=dict(in_channels=8, feat_channels=8, out_channels=8))
    assert filled("mask_head", dict(condinst)) == condinst  # it takes neither channels nor strides


def test_solos_head_sees_its_pyramid_resampled():
    """It halves the finest level and enlarges the coarsest to the one before."""
    grids = dict(num_grids=[9, 8, 7, 6, 5], scale_ranges=((1, 2),) * 5)
    for kind in ("SOLOHead", "DecoupledSOLOHead"):
        head = dict(type=kind, num_classes=2, **grids)
        assert filled("mask_head", head, levels_of_body((4, 8, 16, 32, 64), [8] * 5))["strides"] == [8, 8, 16, 32, 32]
    with pytest.raises(InputError, match=r"mask_head.strides is \[4, 8, 16, 32, 64\], expected \[8, 8, 16, 32, 32\]"):
        filled("mask_head", dict(head, strides=[4, 8, 16, 32, 64]), levels_of_body((4, 8, 16, 32, 64), [8] * 5))


@pytest.mark.parametrize(
    "head, in_channels",
    [
        (
            dict(
                type="SSDHead",
                num_classes=2,
                anchor_generator=dict(
                    type="SSDAnchorGenerator",
                    scale_major=False,
                    input_size=300,
                    basesize_ratio_range=(0.15, 0.9),
                    ratios=[[2], [2, 3]],
                ),
            ),
            [8, 16],
        ),
        (
            dict(
                type="YOLOV3Head",
                num_classes=2,
                anchor_generator=dict(type="YOLOAnchorGenerator", base_sizes=[[(9, 9)], [(5, 5)]]),
            ),
            [8, 16],
        ),
        (
            dict(
                type="MaskFormerHead",
                feat_channels=8,
                out_channels=8,
                pixel_decoder=dict(type="PixelDecoder", norm_cfg=dict(type="GN", num_groups=2)),
                transformer_decoder=dict(
                    num_layers=1,
                    layer_cfg=dict(
                        self_attn_cfg=dict(embed_dims=8, num_heads=2),
                        cross_attn_cfg=dict(embed_dims=8, num_heads=2),
                        ffn_cfg=dict(embed_dims=8, feedforward_channels=8),
                    ),
                ),
                positional_encoding=dict(num_feats=4),
                loss_cls=dict(type="CrossEntropyLoss", class_weight=[1.0] * 133 + [0.1]),
            ),
            [8, 16],
        ),
    ],
)
def test_a_head_with_a_width_for_each_level_gets_a_list(head, in_channels):
    assert filled("bbox_head", head, levels_of_body((8, 16), (8, 16)))["in_channels"] == in_channels


def test_a_list_in_the_annotation_does_not_decide_alone():
    """YOLOF's head announces a list and takes a number."""
    head = dict(type="YOLOFHead", num_classes=2, num_cls_convs=1, num_reg_convs=1, anchor_generator=dict(ANCHORS))
    head = filled("bbox_head", head, levels_of_body((32,), (8,)))
    assert head["in_channels"] == 8 and head["anchor_generator"]["strides"] == [32]


def test_levels_may_come_coarsest_first():
    levels = Levels([32, 16], [16, 8], 32, levels_of_body((32, 16), (16, 8)).sizes_at)
    head = filled(
        "bbox_head",
        dict(
            type="YOLOV3Head",
            num_classes=2,
            anchor_generator=dict(type="YOLOAnchorGenerator", base_sizes=[[(9, 9)], [(5, 5)]]),
        ),
        levels,
    )
    assert head["featmap_strides"] == head["anchor_generator"]["strides"] == [32, 16]
    assert head["in_channels"] == [16, 8]


def test_strides_of_a_pixel_decoder_are_filled_and_its_channels_left_to_its_head():
    head = filled(
        "panoptic_head",
        dict(
            type="Mask2FormerHead", feat_channels=8, out_channels=8, pixel_decoder=dict(type="MSDeformAttnPixelDecoder")
        ),
        levels_of_body((4, 8, 16, 32), (8, 16, 32, 64)),
    )
    assert head["pixel_decoder"] == dict(type="MSDeformAttnPixelDecoder", strides=[4, 8, 16, 32])


def test_stages_of_a_cascade_of_proposals_and_both_generators_of_guided_anchors_are_filled():
    stage = dict(type="StageCascadeRPNHead", feat_channels=8, anchor_generator=dict(ANCHORS))
    head = filled("rpn_head", dict(type="CascadeRPNHead", num_classes=1, num_stages=2, stages=[dict(stage)] * 2))
    assert "in_channels" not in head
    for stage in head["stages"]:
        assert stage["in_channels"] == 8 and stage["anchor_generator"]["strides"] == [8, 16, 32, 64, 128]
    head = filled(
        "bbox_head",
        dict(
            type="GARetinaHead",
            num_classes=2,
            approx_anchor_generator=dict(ANCHORS),
            square_anchor_generator=dict(ANCHORS),
        ),
    )
    assert head["approx_anchor_generator"]["strides"] == head["square_anchor_generator"]["strides"]


def test_proposals_that_are_learned_get_the_width_of_the_features():
    assert filled("rpn_head", dict(type="EmbeddingRPNHead", num_proposals=9))["proposal_feature_channel"] == 8


def test_two_maps_of_one_stride_are_two_levels():
    head = filled("bbox_head", dict(type="CornerHead", num_classes=2), levels_of_body((4, 4), (8, 8)))
    assert head["in_channels"] == 8 and head["num_feat_levels"] == 2


@pytest.mark.parametrize(
    "given, agrees",
    [
        ([550 / n for n in (69, 35, 18, 9, 5)], True),  # YOLACT, for images of 550 px
        ([8, 16, 32, 64, 110], False),
        ([4.5, 8.5, 16.5, 32.5, 64.5], False),
        ([(8, 8), (16, 16), 32, 64, 128], True),
    ],
)
def test_strides_are_equal_or_ratios_to_cells_at_one_image_size(given, agrees):
    head = dict(type="RetinaHead", num_classes=2, anchor_generator=dict(ANCHORS, strides=given))
    if agrees:
        assert filled("bbox_head", head)["anchor_generator"]["strides"] == given
    else:
        with pytest.raises(InputError, match="bbox_head.anchor_generator.strides is .*, expected"):
            filled("bbox_head", head)


def test_ssds_strides_are_those_at_its_own_size():
    levels = Levels(
        [8, 16, 32, 64, 73, 85],
        [8] * 6,
        32,
        lambda size_hw: [(n, n) for n in (38, 19, 10, 5, 3, 1)] if size_hw == (300, 300) else None,
    )
    generator = dict(type="SSDAnchorGenerator", input_size=300)
    stock = [8, 16, 32, 64, 100, 300]
    head = dict(type="SSDHead", num_classes=2, anchor_generator=dict(generator, strides=list(stock)))
    assert filled("bbox_head", head, levels)["anchor_generator"]["strides"] == stock
    head = dict(type="SSDHead", num_classes=2, anchor_generator=dict(generator))
    assert filled("bbox_head", head, levels)["anchor_generator"]["strides"] == [8, 16, 30, 60, 100, 300]


def test_images_of_a_detector_made_for_one_size_must_not_be_padded():
    def one_size(**generator):
        return made_for_one_size(dict(bbox_head=dict(type="SSDHead", anchor_generator=generator)))

    assert one_size(type="SSDAnchorGenerator", strides=[8], input_size=300)
    assert one_size(type="AnchorGenerator", strides=[550 / 69])
    assert not one_size(type="AnchorGenerator", strides=[8, 16.0])


@pytest.mark.parametrize(
    "key, part, said",
    [
        ("bbox_head", dict(type="RetinaHead", in_channels=9), "model.detector.bbox_head.in_channels is 9, expected 8"),
        ("bbox_head", dict(type="FCOSHead", num_classes=2, strides=[4, 8, 16, 32, 64]), "bbox_head.strides is"),
        ("semantic_head", dict(type="PanopticFPNHead", in_channels=9), "semantic_head.in_channels is 9, expected 8"),
        (
            "rpn_head",
            dict(type="CascadeRPNHead", num_classes=1, stages=[dict(type="StageCascadeRPNHead", in_channels=9)]),
            "rpn_head.stages.0.in_channels is 9, expected 8",
        ),
        (
            "panoptic_head",
            dict(type="Mask2FormerHead", in_channels=[8] * 4),
            r"in_channels is \[8, 8, 8, 8\], expected",
        ),
    ],
)
def test_a_value_that_contradicts_the_features_is_refused_with_its_config_key(key, part, said):
    with pytest.raises(InputError, match=said):
        filled(key, part)


def test_a_teacher_with_its_own_backbone_is_not_changed():
    teacher = dict(type="LADHead", num_classes=2, in_channels=99, anchor_generator=dict(ANCHORS, strides=[1]))
    assert filled("teacher_bbox_head", dict(teacher)) == teacher


def test_unknown_types_are_left_to_the_build():
    assert filled("bbox_head", dict(type="NoHead", in_channels=3)) == dict(type="NoHead", in_channels=3)
