"""Cascade Mask R-CNN, bottleneck NAS-FPN, Copy-Paste, fine-tuned EfficientNet-B7: 390 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 4. expected: 55.9 box AP, 47.2 mask AP. Not run on COCO here.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
Drop-connect (survival 0.8) and the backbone's norms are active where it trains.
    frozen-det train cascade-mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-390e_coco
"""
_base_ = ["cascade-mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-390e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
