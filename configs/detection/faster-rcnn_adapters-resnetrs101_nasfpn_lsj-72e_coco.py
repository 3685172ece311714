"""Faster R-CNN, NAS-FPN, on a frozen ImageNet ResNet-RS-101, parallel adapters: 72 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), not a row of its tables. expected: not published. Not run on COCO here.
Kind, place and width of the paper's adapters are not published: parallel 1x1 beside each 3x3 convolution, starting at
zero, is our choice.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
    frozen-det train faster-rcnn_adapters-resnetrs101_nasfpn_lsj-72e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_nasfpn_lsj-72e_coco.py"]

model = dict(detector=dict(backbone=dict(adapters=dict(type="parallel"))))
