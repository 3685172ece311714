"""Cascade Mask R-CNN, simple feature pyramid, on a frozen DINOv3 ViT-B/16 (arXiv 2508.10104): 72 epochs, 1280 x 1280.

Papers: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet; Li et al., ViTDet (arXiv 2203.16527), which fine-tunes.
expected: not published. Not run on COCO here.
Features of four blocks, after the final norm, are used and reduced to 768 channels. The weights are under the DINOv3 licence,
which restricts some uses.
    frozen-det train cascade-mask-rcnn_frozen-vitb16dinov3_simplepyramid_lsj-72e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/cascade_mask_rcnn_vit.py",
    "../_base_/datasets/coco_lsj_masks_1280.py",
    "../_base_/datasets/coco_eval_masks_square_1280.py",
    "../_base_/schedules/schedule_vit_72e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="vit_base_patch16_dinov3.lvd1689m", taps=(2, 5, 8, 11), tap_norm=True),
        weights="timm", strides=(16,), freeze=True),
    neck=dict(reduce_channels=768)))
