"""Deformable DETR with refined boxes on a frozen ConvNeXt-T (arXiv 2201.03545): 50 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned ResNet-50 gives 45.4 box AP in 50 epochs at 800 px (Deformable DETR, arXiv 2010.04159).
Pre-trained on ImageNet-22k; the weights are under the Apache-2.0 licence.
    frozen-det train deformable-detr_frozen-convnexttiny_channelmapper_lsj-50e_coco
"""
_base_ = "./deformable-detr_frozen-resnet50tv_channelmapper_lsj-50e_coco.py"

model = dict(detector=dict(backbone=dict(
    body=dict(type="timm", name="convnext_tiny.fb_in22k"), weights="timm")))
