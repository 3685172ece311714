"""DINO-4scale on a frozen DINOv3 ViT-B/16 (arXiv 2508.10104): 12 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned ResNet-50 gives 49.0 box AP in 12 epochs at 800 px (DINO, arXiv 2203.03605).
Four levels from one stride by ViTDet's pyramid (arXiv 2203.16527); features of four blocks after the final norm. The
weights are under the DINOv3 licence, which restricts some uses.
    frozen-det train dino_frozen-vitb16dinov3_simplepyramid_lsj-12e_coco
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
        body=dict(type="timm", name="vit_base_patch16_dinov3.lvd1689m", taps=(2, 5, 8, 11), tap_norm=True),
        weights="timm", strides=(16,), freeze=True),
    neck=dict(type="frozen_det.SimpleFeaturePyramid", scale_factors=(2, 1, 0.5), num_outs=4, reduce_channels=768)))
