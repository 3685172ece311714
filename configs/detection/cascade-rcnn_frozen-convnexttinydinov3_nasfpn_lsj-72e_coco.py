"""Cascade R-CNN, NAS-FPN, on a frozen DINOv3 ConvNeXt-T (arXiv 2508.10104): 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet. expected: not published. Not run on COCO here.
The weights are under the DINOv3 licence, which restricts some uses.
    frozen-det train cascade-rcnn_frozen-convnexttinydinov3_nasfpn_lsj-72e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/cascade_rcnn.py",
    "../_base_/datasets/coco_lsj_1280.py",
    "../_base_/datasets/coco_eval_square_1280.py",
    "../_base_/schedules/schedule_72e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="convnext_tiny.dinov3_lvd1689m"),
        weights="timm", strides=(8, 16, 32), freeze=True),
    neck=dict(type="frozen_det.NASFPN")))
