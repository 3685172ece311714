"""A narrow DETR with deformable attention on toy scenes of 128 px: 50 queries, 2 encoder and 3 decoder layers, 24 epochs.

A config names the detector, its head and its positional encoding's offset.
"""
_base_ = ["toy_heads.py"]

_width, _levels = 64, 3
_attention = dict(embed_dims=_width, num_levels=_levels, num_heads=4, dropout=0.0)
_feed_forward = dict(embed_dims=_width, feedforward_channels=256, ffn_drop=0.0)
model = dict(detector=dict(
    num_queries=50, with_box_refine=True,
    neck=dict(type="ChannelMapper", kernel_size=1, out_channels=_width, act_cfg=None,
              norm_cfg=dict(type="GN", num_groups=8), num_outs=_levels),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=_attention, ffn_cfg=_feed_forward)),
    decoder=dict(num_layers=3, return_intermediate=True, layer_cfg=dict(
        self_attn_cfg=dict(embed_dims=_width, num_heads=4, dropout=0.0), cross_attn_cfg=_attention,
        ffn_cfg=_feed_forward), post_norm_cfg=None),
    positional_encoding=dict(num_feats=_width // 2, normalize=True, temperature=20),
    bbox_head=dict(embed_dims=_width, sync_cls_avg_factor=True,
                   loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25),
                   loss_bbox=dict(type="L1Loss", loss_weight=5.0), loss_iou=dict(type="GIoULoss", loss_weight=2.0)),
    train_cfg=dict(assigner=dict(type="HungarianAssigner", match_costs=[
        dict(type="FocalLossCost", weight=2.0), dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
        dict(type="IoUCost", iou_mode="giou", weight=2.0)])),
    test_cfg=dict(max_per_img=50)))

optim_wrapper = dict(
    optimizer=dict(lr=4e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={"sampling_offsets": dict(lr_mult=0.1), "reference_points": dict(lr_mult=0.1)}))
epochs = 24
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=1e-5),
]
train_cfg = dict(max_epochs=epochs, val_interval=4)
