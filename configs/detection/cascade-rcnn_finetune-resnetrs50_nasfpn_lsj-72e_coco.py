"""Cascade R-CNN, NAS-FPN, on a fine-tuned ImageNet ResNet-RS-50: 72 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), not a row of its tables. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
    frozen-det train cascade-rcnn_finetune-resnetrs50_nasfpn_lsj-72e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs50_nasfpn_lsj-72e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
