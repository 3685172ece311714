"""Mask2Former for instances on a frozen ResNet-50 of torchvision's first recipe: 50 epochs, 1024 x 1024.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), which has no such decoder. expected: not published. Not run on COCO here; one step on random weights
is tested. A fine-tuned one gives 43.7 mask AP (Mask2Former, arXiv 2112.01527).
    frozen-det train mask2former_frozen-resnet50tv_msdeformattn_lsj-50e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/coco_lsj_1024.py",
    "../_base_/datasets/coco_eval_square_1024.py",
]

_attention = dict(embed_dims=256, num_heads=8, dropout=0.0)
_relu = dict(type="ReLU", inplace=True)
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="Mask2Former",
    data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_mask=True, mask_pad_value=0),
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="torchvision", name="resnet50"),
        weights="torchvision:IMAGENET1K_V1", strides=(4, 8, 16, 32), freeze=True),
    panoptic_head=dict(
        type="Mask2FormerHead", feat_channels=256, out_channels=256, num_queries=100, num_transformer_feat_level=3,
        num_stuff_classes=0, enforce_decoder_input_project=False,
        pixel_decoder=dict(
            type="MSDeformAttnPixelDecoder", num_outs=3, norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            encoder=dict(num_layers=6, layer_cfg=dict(
                self_attn_cfg=dict(num_levels=3, num_points=4, **_attention),
                ffn_cfg=dict(embed_dims=256, feedforward_channels=1024, num_fcs=2, ffn_drop=0.0, act_cfg=_relu))),
            positional_encoding=dict(num_feats=128, normalize=True)),
        positional_encoding=dict(num_feats=128, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True, num_layers=9, init_cfg=None,
            layer_cfg=dict(
                self_attn_cfg=_attention, cross_attn_cfg=_attention,
                ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, num_fcs=2, ffn_drop=0.0, act_cfg=_relu))),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0, class_weight=[1.0] * 80 + [0.1]),
        loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=5.0),
        loss_dice=dict(type="DiceLoss", use_sigmoid=True, activate=True, naive_dice=True, eps=1.0, loss_weight=5.0)),
    panoptic_fusion_head=dict(type="MaskFormerFusionHead", num_stuff_classes=0, loss_panoptic=None, init_cfg=None),
    train_cfg=dict(
        num_points=12544, oversample_ratio=3.0, importance_sample_ratio=0.75,
        assigner=dict(type="HungarianAssigner", match_costs=[
            dict(type="ClassificationCost", weight=2.0),
            dict(type="CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
            dict(type="DiceCost", weight=5.0, pred_act=True, eps=1.0)]),
        sampler=dict(type="MaskPseudoSampler")),
    test_cfg=dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=100, iou_thr=0.8,
                  filter_low_score=True)))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=1024, planar=True),
    dict(type="PackDetInputs"),
]))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(
        query_embed=dict(decay_mult=0.0), query_feat=dict(decay_mult=0.0), level_embed=dict(decay_mult=0.0))))
param_scheduler = [dict(type="MultiStepLR", by_epoch=True, begin=0, end=50, milestones=[44, 48], gamma=0.1)]
auto_scale_lr = dict(enable=True, base_batch_size=16)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=50, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
