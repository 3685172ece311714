"""A stock detector with another backbone: dependent values are filled in again, also for a single feature map."""

import pytest
from mmengine.config import Config

from frozen_det.benchmarks.stock_detectors import config_folder
from frozen_det.errors import InputError
from frozen_det.models import fill_blanks
from frozen_det.models.detectors.swapping import swap_backbone

SMALL = dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name="resnet10t"), weights="random")
PLAIN_VIT = dict(SMALL, body=dict(type="timm", name="vit_tiny_patch16_224"))


def stock(name):
    return Config.fromfile(str(config_folder() / f"{name}.py")).model.to_dict()


def test_widths_strides_and_input_follow_the_new_backbone_and_the_rest_is_the_stock_detectors():
    cfg = fill_blanks(stock("vfnet/vfnet_r50_fpn_1x_coco"), num_classes=3, backbone=SMALL)
    assert cfg["backbone"]["strides"] == (4, 8, 16, 32) and cfg["backbone"]["body"]["name"] == "resnet10t"
    assert cfg["neck"]["in_channels"] == [64, 128, 256, 512] and cfg["neck"]["start_level"] == 1
    assert cfg["bbox_head"]["strides"] == [8, 16, 32, 64, 128] and cfg["bbox_head"]["num_classes"] == 3
    assert cfg["data_preprocessor"]["std"] == pytest.approx([58.395, 57.12, 57.375])


def test_a_raw_input_becomes_that_of_the_weights():
    """YOLOX's own backbone is trained on unnormalised pixels."""
    assert "mean" not in fill_blanks(_on_random(stock("yolox/yolox_s_8xb8-300e_coco")))["data_preprocessor"]
    cfg = fill_blanks(stock("yolox/yolox_s_8xb8-300e_coco"), backbone=SMALL)
    assert cfg["data_preprocessor"]["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert cfg["data_preprocessor"]["batch_augments"][0]["type"] == "BatchSyncRandomResize"
    assert cfg["neck"]["in_channels"] == [128, 256, 512] and cfg["backbone"]["strides"] == (8, 16, 32)


def _on_random(model):
    return dict(model, backbone=dict(model["backbone"], init_cfg=dict(type="Pretrained", checkpoint="random")))


def test_heads_without_a_neck_follow_too():
    cfg = fill_blanks(stock("mask2former/mask2former_r50_8xb2-lsj-50e_coco"), backbone=SMALL)
    assert cfg["panoptic_head"]["in_channels"] == [64, 128, 256, 512]
    cfg = fill_blanks(stock("ssd/ssd300_coco"), backbone=SMALL)
    assert cfg["neck"]["out_channels"] == [128, 256, 512, 256, 256, 256] and cfg["backbone"]["strides"] == (8, 16)
    assert cfg["bbox_head"]["in_channels"] == [128, 256, 512, 256, 256, 256]
    assert cfg["data_preprocessor"]["pad_size_divisor"] == 1  # its anchors are laid out for 300 px


def test_one_map_becomes_the_strides_that_the_detector_asks_for():
    cfg = fill_blanks(stock("retinanet/retinanet_r50_fpn_1x_coco"), backbone=PLAIN_VIT)
    assert cfg["backbone"]["strides"] == (16,)
    assert cfg["neck"][0]["type"] == "frozen_det.SimpleFeaturePyramid" and cfg["neck"][0]["in_channels"] == [192]
    assert cfg["neck"][0]["scale_factors"] == (4.0, 2.0, 1.0, 0.5) and cfg["neck"][1]["in_channels"] == [256] * 4
    assert cfg["bbox_head"]["anchor_generator"]["strides"] == [8, 16, 32, 64, 128]


def test_strides_that_the_user_names_are_kept():
    cfg = swap_backbone(stock("retinanet/retinanet_r50_fpn_1x_coco"), dict(SMALL, strides=(8, 16, 32)))
    assert cfg["backbone"]["strides"] == (8, 16, 32) and isinstance(cfg["neck"], dict)


def test_a_detector_inside_another_and_the_outer_preprocessor_are_swapped():
    cfg = fill_blanks(
        stock("soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco"), num_classes=3, backbone=SMALL
    )
    assert cfg["detector"]["backbone"]["body"]["name"] == "resnet10t"
    assert cfg["detector"]["roi_head"]["bbox_head"]["num_classes"] == 3
    for preprocessor in (cfg["detector"]["data_preprocessor"], cfg["data_preprocessor"]["data_preprocessor"]):
        assert preprocessor["mean"] == pytest.approx([123.675, 116.28, 103.53])
        assert preprocessor["bgr_to_rgb"] is True


def test_a_stock_detector_that_needs_its_own_backbone_is_an_error():
    with pytest.raises(InputError, match="shared head that runs on regions of 256 channels .* another backbone leave"):
        fill_blanks(stock("faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco"), backbone=SMALL)
    with pytest.raises(InputError, match=r"strides \(1, 4, 8, 16, 32\).* but timm/resnet10t has strides"):
        fill_blanks(stock("detectors/htc_r50-rfp_1x_coco"), backbone=SMALL)
