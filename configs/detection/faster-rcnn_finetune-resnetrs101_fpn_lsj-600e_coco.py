"""Faster R-CNN, FPN, on a fine-tuned ImageNet ResNet-RS-101: 600 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 1. expected: 48.6 box AP, AP50 70.5. Not run on COCO here.
The number is of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of the same
shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
The paper's Table 3 counts 21.9 M trained parameters for this row, the released YAML has 21.26 M (91 outputs):
the number is of a system that no released file defines.
    frozen-det train faster-rcnn_finetune-resnetrs101_fpn_lsj-600e_coco
"""
_base_ = ["faster-rcnn_frozen-resnetrs101_fpn_lsj-600e_coco.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
