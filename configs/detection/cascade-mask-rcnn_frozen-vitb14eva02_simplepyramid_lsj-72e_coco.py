"""Cascade Mask R-CNN, simple feature pyramid, on a frozen EVA-02 ViT-B/14 (arXiv 2303.11331): 72 epochs, 1280 x 1280.

Papers: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which uses ResNet-RS and EfficientNet; Li et al., ViTDet (arXiv 2203.16527), which fine-tunes.
expected: not published. Not run on COCO here.
Patches are 14 px: stride 16 comes from the image resized inside the backbone. The weights are under the MIT licence.
    frozen-det train cascade-mask-rcnn_frozen-vitb14eva02_simplepyramid_lsj-72e_coco
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
        body=dict(type="timm", name="eva02_base_patch14_224.mim_in22k"),
        weights="timm", strides=(16,), freeze=True)))
