"""Cascade Mask R-CNN, simple feature pyramid, on a frozen CLIP ViT-B/16 of OpenCLIP, LAION-2B (arXiv 2212.07143): 72 epochs, 1280 x 1280.

Papers: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet; Li et al., ViTDet (arXiv 2203.16527), which fine-tunes.
expected: not published. Not run on COCO here.
Features of the last block are used, before the final norm. timm states Apache 2.0 for the weights.
    frozen-det train cascade-mask-rcnn_frozen-vitb16clip_simplepyramid_lsj-72e_coco
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
        body=dict(type="timm", name="vit_base_patch16_clip_224.laion2b"),
        weights="timm", strides=(16,), freeze=True)))
