"""Cascade R-CNN, NAS-FPN, on torchvision's first ResNet-50, frozen: 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet. expected: not published. Not run on COCO here.
A plain recipe, to set beside resnet50rsba1: what a better recipe of the same backbone gives a frozen detector.
    frozen-det train cascade-rcnn_frozen-resnet50tv_nasfpn_lsj-72e_coco
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
        body=dict(type="torchvision", name="resnet50"),
        weights="torchvision:IMAGENET1K_V1", strides=(8, 16, 32), freeze=True),
    neck=dict(type="frozen_det.NASFPN"),))
