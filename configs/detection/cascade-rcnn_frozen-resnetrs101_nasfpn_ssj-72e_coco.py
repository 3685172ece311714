"""Cascade R-CNN, NAS-FPN, on a frozen ImageNet ResNet-RS-101, standard jitter: 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), but for the jitter: 0.8 to 1.25 in place of 0.1 to 2.0, an ablation of its `_lsj-` config that the
paper does not have. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
    frozen-det train cascade-rcnn_frozen-resnetrs101_nasfpn_ssj-72e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/cascade_rcnn.py",
    "../_base_/datasets/coco_ssj_1280.py",
    "../_base_/datasets/coco_eval_square_1280.py",
    "../_base_/schedules/schedule_72e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="resnetrs101.tf_in1k"),
        weights="timm", strides=(8, 16, 32), freeze=True, norm_momentum=0.003),
    neck=dict(type="frozen_det.NASFPN"),))
