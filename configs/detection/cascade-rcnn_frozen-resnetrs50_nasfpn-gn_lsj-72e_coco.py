"""Cascade R-CNN, NAS-FPN with GroupNorm for batches of 1 or 2, frozen ResNet-RS-50: 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet. expected: not published. Not run on COCO here.
Batch norms that train need several images a process; groups of one image's channels do not.
    frozen-det train cascade-rcnn_frozen-resnetrs50_nasfpn-gn_lsj-72e_coco
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
        body=dict(type="timm", name="resnetrs50.tf_in1k"),
        weights="timm", strides=(8, 16, 32), freeze=True, norm_momentum=0.003),
    neck=dict(type="frozen_det.NASFPN", norm_cfg=dict(type="GN", num_groups=32)),
    rpn_head=dict(norm_cfg=dict(type="GN", num_groups=32)),
    roi_head=dict(bbox_head=dict(norm_cfg=dict(type="GN", num_groups=32)))))
train_dataloader = dict(batch_size=1)
