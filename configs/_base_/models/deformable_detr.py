"""Deformable DETR (Zhu et al., arXiv 2010.04159) with refined boxes, as mmdet has it.

A config adds the backbone and the neck. Four levels, 300 queries. `_base_` of DINO, which changes numbers only.
"""
_width, _levels = 256, 4
_attention = dict(embed_dims=_width, num_levels=_levels, dropout=0.1)
_feed_forward = dict(embed_dims=_width, feedforward_channels=1024, ffn_drop=0.1)
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="DeformableDETR", num_queries=300, num_feature_levels=_levels, with_box_refine=True, as_two_stage=False,
    encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=_attention, ffn_cfg=_feed_forward)),
    decoder=dict(
        num_layers=6, return_intermediate=True, post_norm_cfg=None,
        layer_cfg=dict(self_attn_cfg=dict(embed_dims=_width, num_heads=8, dropout=0.1), cross_attn_cfg=_attention,
                       ffn_cfg=_feed_forward)),
    positional_encoding=dict(num_feats=_width // 2, normalize=True, offset=-0.5),
    bbox_head=dict(
        type="DeformableDETRHead", sync_cls_avg_factor=True,
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0)),
    train_cfg=dict(assigner=dict(type="HungarianAssigner", match_costs=[
        dict(type="FocalLossCost", weight=2.0),
        dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
        dict(type="IoUCost", iou_mode="giou", weight=2.0)])),
    test_cfg=dict(max_per_img=100)))
