"""Faster R-CNN, NAS-FPN, on a fine-tuned ImageNet ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 49.0 box AP, AP50 70.0. Not run on COCO here.
The authors run the backbone's norms with eps 1e-4, after training it with 1e-3; timm's 1e-5 is used here.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
    frozen-det train faster-rcnn_finetune-resnetrs101_nasfpn_lsj-600e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
