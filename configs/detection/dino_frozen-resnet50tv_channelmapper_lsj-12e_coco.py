"""DINO-4scale on a frozen ResNet-50 of torchvision's first recipe: 12 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned ResNet-50 gives 49.0 box AP in 12 epochs at 800 px (DINO, arXiv 2203.03605).
    frozen-det train dino_frozen-resnet50tv_channelmapper_lsj-12e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/dino_4scale.py",
    "../_base_/datasets/coco_lsj_1024.py",
    "../_base_/datasets/coco_eval_square_1024.py",
    "../_base_/schedules/schedule_detr_12e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="torchvision", name="resnet50"),
        weights="torchvision:IMAGENET1K_V1", strides=(8, 16, 32), freeze=True),
    neck=dict(type="ChannelMapper", kernel_size=1, out_channels=256, act_cfg=None,
              norm_cfg=dict(type="GN", num_groups=32), num_outs=4)))
