"""RTMDet (Lyu et al., arXiv 2212.07784) with its large neck and head on a frozen ConvNeXt-T: 100 epochs, 640 x 640.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned ConvNeXt-B with mosaics and mix-up gives 53.1 box AP (mmdet's rtmdet_l_convnext_b_4xb32-100e);
large-scale jitter takes their place here.
    frozen-det train rtmdet_frozen-convnexttiny_cspnextpafpn_lsj-100e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/coco_lsj_640.py",
    "../_base_/datasets/coco_eval_square_640.py",
]

sync_bn = "torch"
_norm, _act = dict(type="BN"), dict(type="SiLU", inplace=True)
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="RTMDet",
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="convnext_tiny.fb_in22k"),
        weights="timm", strides=(8, 16, 32), freeze=True),
    neck=dict(type="CSPNeXtPAFPN", out_channels=256, num_csp_blocks=3, norm_cfg=_norm, act_cfg=_act),
    bbox_head=dict(
        type="RTMDetSepBNHead", stacked_convs=2, feat_channels=256, norm_cfg=_norm, act_cfg=_act,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        with_objectness=False, exp_on_reg=True, share_conv=True, pred_kernel_size=1),
    train_cfg=dict(assigner=dict(type="DynamicSoftLabelAssigner", topk=13), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=30000, min_bbox_size=0, score_thr=0.001, nms=dict(type="nms", iou_threshold=0.65),
                  max_per_img=300)))

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, bypass_duplicate=True))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-5, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=50, end=100, T_max=50, eta_min=5e-5,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=True, base_batch_size=128)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
