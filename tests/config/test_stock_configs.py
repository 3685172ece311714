"""mmdet's own configs load as they are, wrapped as the README shows, and with ordinary changes."""

import pytest

from frozen_det.config.finding import stock_folder
from frozen_det.config.shared_values import comparable

from .conftest import with_options

WRAPPED = """
custom_imports = dict(imports=["frozen_det"])
model = dict(_delete_=True, type="frozen_det.Detector", detector={{_base_.model}}, num_classes=3)
custom_hooks = [dict(type="frozen_det.FrozenProofHook")]
"""
CHANGED = """
train_dataloader = dict(batch_size=2, num_workers=1)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
default_hooks = dict(logger=dict(interval=7, priority="LOW"), checkpoint=dict(max_keep_ckpts=2))
"""
# One of each kind of detector, schedule and data set that mmdet has configs of.
NAMES = [
    "centernet/centernet_r18_8xb16-crop512-140e_coco",
    "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance",
    "detr/detr_r50_8xb2-150e_coco",
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco",
    "dino/dino-4scale_r50_8xb2-12e_coco",
    "htc/htc_r50_fpn_1x_coco",
    "lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic",
    "pascal_voc/faster-rcnn_r50_fpn_1x_voc0712",
    "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco",
    "rtmdet/rtmdet_s_8xb32-300e_coco",
    "ssd/ssd300_coco",
    "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco",
    "yolo/yolov3_d53_8xb8-320-273e_coco",
    "yolox/yolox_s_8xb8-300e_coco",
]


@pytest.fixture(params=NAMES)
def name(request):
    if stock_folder() is None or not (stock_folder() / f"{request.param}.py").is_file():
        pytest.skip("this mmdet was installed without its configs")
    return request.param


def test_a_stock_config_loads_raw_wrapped_and_changed(name, child):
    raw = with_options(stock_folder() / f"{name}.py")
    cfg = child(f"mmdet::{name}.py", WRAPPED + CHANGED, "optim_wrapper.optimizer.lr=0.001")
    assert comparable(cfg.model.detector) == comparable(raw.model) and cfg.optim_wrapper.optimizer.lr == 0.001
    assert (cfg.train_dataloader.batch_size, cfg.default_hooks.logger.priority) == (2, "LOW")
