"""Heads on pooled regions: every extractor and head of a RoI head is asked, whatever its key or form."""

import pytest

from frozen_det.errors import InputError
from frozen_det.models.detectors.fill_neck import levels_of_body
from frozen_det.models.detectors.fill_roi_heads import fill_roi_head

PYRAMID = levels_of_body((4, 8, 16, 32, 64), [8] * 5)
POOLING = dict(type="RoIAlign", output_size=7, sampling_ratio=0)


def filled(levels=PYRAMID, **parts):
    return fill_roi_head(dict(type="StandardRoIHead", **parts), levels, "model.detector.roi_head")


def test_only_an_extractor_with_a_level_rule_gets_one():
    roi_head = filled(
        bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=POOLING),
        mask_roi_extractor=dict(type="GenericRoIExtractor", roi_layer=POOLING),
    )
    assert roi_head["bbox_roi_extractor"]["finest_scale"] == 56
    assert "finest_scale" not in roi_head["mask_roi_extractor"]
    for key in ("bbox_roi_extractor", "mask_roi_extractor"):
        assert roi_head[key]["featmap_strides"] == [4, 8, 16, 32, 64] and roi_head[key]["out_channels"] == 8


def test_extractors_under_any_key_and_in_lists_are_filled():
    extractor = dict(type="SingleRoIExtractor", roi_layer=POOLING)
    roi_head = filled(grid_roi_extractor=extractor, bbox_roi_extractor=[extractor] * 3)
    assert [e["out_channels"] for e in roi_head["bbox_roi_extractor"]] == [8] * 3
    assert roi_head["grid_roi_extractor"]["featmap_strides"] == [4, 8, 16, 32, 64]


def test_every_head_gets_the_width_and_one_with_two_inputs_both():
    roi_head = filled(
        bbox_head=[dict(type="DIIHead", num_classes=2)] * 2,
        mask_head=dict(type="DynamicMaskHead", num_classes=2),
        grid_head=dict(type="GridHead"),
        point_head=dict(type="MaskPointHead", num_classes=2),
        mask_iou_head=dict(type="MaskIoUHead"),
    )
    heads = [*roi_head["bbox_head"], *(roi_head[f"{key}_head"] for key in ("mask", "grid", "point", "mask_iou"))]
    assert [head["in_channels"] for head in heads] == [8] * 6
    sabl = filled(bbox_head=dict(type="SABLHead", num_classes=2))["bbox_head"]
    assert (sabl["cls_in_channels"], sabl["reg_in_channels"]) == (8, 8) and "in_channels" not in sabl


def test_a_head_that_sees_the_whole_pyramid_learns_the_number_of_levels():
    head = filled(
        semantic_head=dict(type="FusedSemanticHead", fusion_level=1),
        semantic_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=POOLING),
    )
    assert (head["semantic_head"]["num_ins"], head["semantic_head"]["in_channels"]) == (5, 8)
    assert head["semantic_roi_extractor"]["featmap_strides"] == [8]


def test_a_head_whose_default_is_not_a_pyramids_width_receives_something_else():
    assert "in_channels" not in filled(feat_relay_head=dict(type="FeatureRelayHead"))["feat_relay_head"]


def test_behind_a_shared_head_regions_have_its_width():
    shared = dict(type="ResLayer", depth=50, stage=3, stride=2)
    roi_head = filled(
        levels_of_body((16,), (1024,)),
        shared_head=shared,
        bbox_head=dict(type="BBoxHead"),
        bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=POOLING),
    )
    assert roi_head["bbox_head"]["in_channels"] == 2048 and roi_head["bbox_roi_extractor"]["out_channels"] == 1024
    with pytest.raises(InputError, match="shared head that runs on regions of 8 channels .* ResLayer raised Runtime"):
        filled(levels_of_body((16,), (8,)), shared_head=shared)


def test_regions_of_all_levels_side_by_side_are_as_wide_as_all_of_them():
    roi_head = filled(
        bbox_head=dict(type="Shared2FCBBoxHead"),
        bbox_roi_extractor=dict(type="GenericRoIExtractor", aggregation="concat", roi_layer=POOLING),
    )
    assert roi_head["bbox_head"]["in_channels"] == 40


def test_strides_that_the_features_do_not_have_are_refused_in_a_list_too():
    with pytest.raises(InputError, match=r"roi_head.bbox_roi_extractor.1.featmap_strides is \[2\], but the neck's"):
        filled(
            bbox_roi_extractor=[
                dict(type="SingleRoIExtractor", roi_layer=POOLING),
                dict(type="SingleRoIExtractor", roi_layer=POOLING, featmap_strides=[2]),
            ]
        )
