"""Cascade R-CNN, NAS-FPN, on a frozen ResNet-50 of the RSB-A1 recipe (arXiv 2110.00476): 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet. expected: not published. Not run on COCO here.
Set it beside resnet50tv: the same backbone with a plain recipe.
    frozen-det train cascade-rcnn_frozen-resnet50rsba1_nasfpn_lsj-72e_coco
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
        body=dict(type="timm", name="resnet50.a1_in1k"),
        weights="timm", strides=(8, 16, 32), freeze=True),
    neck=dict(type="frozen_det.NASFPN"),))
