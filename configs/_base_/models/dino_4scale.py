"""DINO with four levels (Zhang et al., arXiv 2203.03605) as mmdet has it: 900 queries, 100 of denoising; no dropout.

A config adds the backbone and a neck of four levels.
"""
_base_ = ["deformable_detr.py"]

_feed_forward = dict(feedforward_channels=2048, ffn_drop=0.0)
model = dict(detector=dict(
    type="DINO", num_queries=900, as_two_stage=True,
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(dropout=0.0), ffn_cfg=_feed_forward)),
    decoder=dict(layer_cfg=dict(self_attn_cfg=dict(dropout=0.0), cross_attn_cfg=dict(dropout=0.0),
                                ffn_cfg=_feed_forward)),
    positional_encoding=dict(offset=0.0, temperature=20),
    bbox_head=dict(type="DINOHead", loss_cls=dict(loss_weight=1.0)),
    dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=1.0,
                group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100)),
    test_cfg=dict(max_per_img=300)))
