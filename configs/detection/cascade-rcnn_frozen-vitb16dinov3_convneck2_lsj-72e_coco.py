"""Cascade R-CNN, two convolutions, on a frozen DINOv3 ViT-B/16 (arXiv 2508.10104): 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet. expected: not published. Not run on COCO here.
A plain ViT gives stride 16 alone: levels above are max-pools, anchors of 2 cells span 32 to 512 px as on levels
2 to 6. timm's weights are under the DINOv3 licence; `vit_base_patch16_224.dino` is under Apache 2.0.
    frozen-det train cascade-rcnn_frozen-vitb16dinov3_convneck2_lsj-72e_coco
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
        body=dict(type="timm", name="vit_base_patch16_dinov3.lvd1689m"),
        weights="timm", strides=(16,), freeze=True),
    neck=dict(type="frozen_det.ConvNeck", num_convs=2, num_outs=5),
    rpn_head=dict(anchor_generator=dict(scales=[2]))))
