"""Cascade R-CNN, NAS-FPN, on a fine-tuned ImageNet ResNet-RS-101, parallel adapters: 600 epochs, 1280 x 1280.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), appendix. expected: not published. Not run on COCO here.
Kind, place and width of the paper's adapters are not published: parallel 1x1 beside each 3x3 convolution, starting at
zero, 2.38 M parameters, is our choice.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
    frozen-det train cascade-rcnn_finetune-adapters-resnetrs101_nasfpn_lsj-600e_coco
"""
_base_ = ["cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False, adapters=dict(type="parallel"))))
