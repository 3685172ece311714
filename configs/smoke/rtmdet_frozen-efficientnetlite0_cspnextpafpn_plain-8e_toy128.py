"""RTMDet (arXiv 2212.07784) on a frozen EfficientNet-Lite0, narrow, on toy scenes of 128 px.

In small what arXiv 2204.00484 asks, with another decoder.
expected: not published; measured: docs/results.md.
    frozen-det train rtmdet_frozen-efficientnetlite0_cspnextpafpn_plain-8e_toy128
"""
_base_ = ["../_base_/recipes/toy_heads.py"]

_norm, _act = dict(type="BN"), dict(type="SiLU", inplace=True)
model = dict(detector=dict(
    type="RTMDet",
    neck=dict(type="CSPNeXtPAFPN", out_channels=64, num_csp_blocks=1, norm_cfg=_norm, act_cfg=_act),
    bbox_head=dict(type="RTMDetSepBNHead", stacked_convs=2, feat_channels=64, norm_cfg=_norm, act_cfg=_act,
                   anchor_generator=dict(type="MlvlPointGenerator", offset=0),
                   bbox_coder=dict(type="DistancePointBBoxCoder"),
                   loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
                   loss_bbox=dict(type="GIoULoss", loss_weight=2.0), with_objectness=False, exp_on_reg=True,
                   share_conv=True, pred_kernel_size=1),
    train_cfg=dict(assigner=dict(type="DynamicSoftLabelAssigner", topk=13), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.65), max_per_img=100)))
