"""Cascade R-CNN, NAS-FPN, Copy-Paste, on a fine-tuned ImageNet ResNet-RS-101: 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the figures of data fractions with Copy-Paste. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
The schedule of those runs is not published; 72 epochs are our choice. Fractions: --fraction 0.1.
    frozen-det train cascade-rcnn_finetune-resnetrs101_nasfpn_lsj-cp-72e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-cp-72e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
