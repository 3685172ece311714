"""Mask R-CNN without cascade, bottleneck NAS-FPN, Copy-Paste, fine-tuned EfficientNet-B7 on LVIS v1: 460 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 5, stage 1. expected: 38.5 box AP (r/c/f 19.3/37.3/48.2), 35.0 mask AP (19.5/34.9/42.1).
Not run on LVIS here. Its second stage is mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-36e_lvis_cb-stage2.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
    frozen-det train mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis
"""
_base_ = ["mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
