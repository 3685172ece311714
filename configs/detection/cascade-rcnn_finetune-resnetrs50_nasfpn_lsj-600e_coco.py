"""Cascade R-CNN, NAS-FPN, on a fine-tuned ImageNet ResNet-RS-50: 600 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 50.3 box AP, AP50 68.0. Not run on COCO here.
The authors run the backbone's norms with eps 1e-4, after training it with 1e-3; timm's 1e-5 is used here.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
    frozen-det train cascade-rcnn_finetune-resnetrs50_nasfpn_lsj-600e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs50_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
