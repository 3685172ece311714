"""Mask R-CNN without cascade, bottleneck NAS-FPN, Copy-Paste, frozen EfficientNet-B7 on LVIS v1: 460 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 5, stage 1. expected: 39.7 box AP (r/c/f 22.2/38.8/48.3), 36.5 mask AP (22.4/36.8/42.5).
Not run on LVIS here. Its second stage is mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-36e_lvis_cb-stage2.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
    frozen-det train mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/mask_rcnn_b7_lvis.py",
    "../_base_/datasets/lvis_lsj_cp_masks_1280.py",
    "../_base_/schedules/schedule_b7_460e.py",
]

default_hooks = dict(checkpoint=dict(save_best="lvis/bbox_AP"))
