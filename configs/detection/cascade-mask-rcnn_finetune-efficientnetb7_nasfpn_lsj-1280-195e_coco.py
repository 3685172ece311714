"""Cascade Mask R-CNN, bottleneck NAS-FPN, fine-tuned EfficientNet-B7: 195 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 4. expected: 54.8 box AP, 46.9 mask AP. Not run on COCO here.
54.8 is the test-dev number of arXiv 2012.07177, whose val number is 54.5 and 46.8.
The weights are timm's Noisy Student ones, which saw JFT-300M without labels, as the paper's system did.
Drop-connect (survival 0.8) and the backbone's norms are active where it trains.
    frozen-det train cascade-mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-1280-195e_coco
"""
_base_ = ["cascade-mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-195e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
