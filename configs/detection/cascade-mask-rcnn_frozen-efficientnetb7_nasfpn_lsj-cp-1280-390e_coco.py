"""Cascade Mask R-CNN, bottleneck NAS-FPN, Copy-Paste, frozen EfficientNet-B7: 390 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 4. expected: 57.0 box AP, 48.7 mask AP. Not run on COCO here.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
    frozen-det train cascade-mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-390e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/cascade_mask_rcnn_b7.py",
    "../_base_/datasets/coco_lsj_cp_masks_1280.py",
    "../_base_/datasets/coco_eval_masks_square_1280.py",
    "../_base_/schedules/schedule_b7_390e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_b7.ns_jft_in1k", drop_path_rate=0.2),
        weights="timm", strides=(8, 16, 32), freeze=True, norm_momentum=0.01),))
