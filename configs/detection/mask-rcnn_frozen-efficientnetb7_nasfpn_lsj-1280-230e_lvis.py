"""Mask R-CNN without cascade, bottleneck NAS-FPN, frozen EfficientNet-B7 on LVIS v1: 230 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the first stage of Table 4's row without Copy-Paste. expected: not published before its
second stage. Not run on LVIS here. Its second stage is mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-36e_lvis_cb-stage2.
The schedule is not published: half of that with Copy-Paste, as in the COCO systems of arXiv 2012.07177.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
    frozen-det train mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-230e_lvis
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/mask_rcnn_b7_lvis.py",
    "../_base_/datasets/lvis_lsj_masks_1280.py",
    "../_base_/schedules/schedule_b7_230e.py",
]

default_hooks = dict(checkpoint=dict(save_best="lvis/bbox_AP"))
