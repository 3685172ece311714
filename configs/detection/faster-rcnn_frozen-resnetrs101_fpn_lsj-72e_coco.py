"""Faster R-CNN, FPN, on a frozen ImageNet ResNet-RS-101: 72 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), read off Figure 3 (to 0.2). expected: 41.0 box AP. Not run on COCO here.
The number is of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of the same
shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
Expected numbers are those with ImageNet weights; the paper's JFT-300M weights are not public.
The paper's Table 3 counts 21.9 M trained parameters for this row, the released YAML has 21.26 M (91 outputs):
the number is of a system that no released file defines.
    frozen-det train faster-rcnn_frozen-resnetrs101_fpn_lsj-72e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/faster_rcnn.py",
    "../_base_/datasets/coco_lsj_1024.py",
    "../_base_/datasets/coco_eval_square_1024.py",
    "../_base_/schedules/schedule_72e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="resnetrs101.tf_in1k"),
        weights="timm", strides=(4, 8, 16, 32), freeze=True, norm_momentum=0.003),
    neck=dict(type="frozen_det.FPN"),))
