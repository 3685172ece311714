"""Configs of small trainings by several processes: backbones, and detectors that can be equal to one process."""

import copy
from pathlib import Path

import torch

from frozen_det.models import FrozenBackbone

from ..training_runs import tiny_config

BACKBONES = {
    "timm-resnet": dict(type="timm", name="resnet10t"),
    "timm-swin": dict(
        type="timm", name="swin_tiny_patch4_window7_224", embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)
    ),
    "mmdet-resnet": dict(type="ResNet", depth=18, num_stages=4, out_indices=(0, 1, 2, 3)),
    # In mmdet alone it freezes itself only after DDP was built, and the second step fails.
    "mmdet-swin": dict(
        type="SwinTransformer",
        embed_dims=24,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
        out_indices=(0, 1, 2, 3),
    ),
}
FCOS = dict(
    type="FCOS",
    neck=dict(type="FPN", out_channels=32, num_outs=3, start_level=1),
    bbox_head=dict(
        type="FCOSHead",
        stacked_convs=1,
        feat_channels=32,
        strides=[8, 16, 32],
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
        loss_bbox=dict(type="GIoULoss"),
    ),
    train_cfg=None,
    test_cfg=dict(
        nms_pre=100, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=20
    ),
)
MMDET_INPUT = dict(
    type="DetDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
)


TWO_STAGE = dict(
    type="FasterRCNN",
    neck=dict(type="FPN", out_channels=16, num_outs=4),
    rpn_head=dict(
        type="RPNHead",
        feat_channels=16,
        anchor_generator=dict(type="AnchorGenerator", scales=[4], ratios=[1.0], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=4, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(type="Shared2FCBBoxHead", roi_feat_size=4, fc_out_channels=32),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=-1),
            sampler=dict(type="FirstSampler", num=64, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=200, max_per_img=100, nms=dict(type="nms", iou_threshold=0.9), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, ignore_iof_thr=-1),
            sampler=dict(type="FirstSampler", num=32, pos_fraction=0.5, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=100, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=20),
    ),
)
_LAYER = dict(
    self_attn_cfg=dict(embed_dims=16, num_heads=2, dropout=0.0),
    ffn_cfg=dict(embed_dims=16, feedforward_channels=16, ffn_drop=0.0),
)
QUERIES = dict(
    type="DETR",
    num_queries=10,
    neck=dict(type="ChannelMapper", kernel_size=1, out_channels=16, act_cfg=None, num_outs=1),
    encoder=dict(num_layers=1, layer_cfg=_LAYER),
    decoder=dict(num_layers=1, layer_cfg=_LAYER | dict(cross_attn_cfg=dict(embed_dims=16, num_heads=2, dropout=0.0))),
    positional_encoding=dict(num_feats=8, normalize=True),
    bbox_head=dict(
        type="DETRHead",
        embed_dims=16,
        sync_cls_avg_factor=True,
        loss_cls=dict(type="CrossEntropyLoss", bg_cls_weight=0.1, class_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="ClassificationCost", weight=1.0),
                dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=10),
)


def write_weights(folder: Path) -> None:
    """Random weights of every backbone, once: all runs load the same file."""
    for number, (name, body) in enumerate(BACKBONES.items()):
        torch.manual_seed(number)
        torch.save(FrozenBackbone(body=dict(body), weights="random").body.state_dict(), folder / f"{name}.pth")


def write_config(folder: Path, name: str, body: str, batch_size: int, detector: dict | None) -> Path:
    """6 updates of 4 images by SGD; `detector` None keeps the quickstart's Faster R-CNN, with BatchNorms in its FPN."""
    cfg = tiny_config(
        folder / "scenes",
        folder / name,
        train_dataloader__batch_size=batch_size,
        auto_scale_lr__base_batch_size=4,
        train_cfg__max_epochs=3,
        train_cfg__val_begin=99,
    )
    backbone = dict(type="frozen_det.FrozenBackbone", body=BACKBONES[body], weights=str(folder / f"{body}.pth"))
    if detector is not None:
        cfg.model = dict(type="frozen_det.Detector", num_classes=10, detector=copy.deepcopy(detector))
    cfg.model.detector.backbone = backbone
    if not body.startswith("timm"):
        cfg.model.detector.data_preprocessor = MMDET_INPUT
    cfg.optim_wrapper = dict(
        type="OptimWrapper",
        clip_grad=dict(max_norm=10.0),
        optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4),
    )
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint = dict(type="frozen_det.LeanCheckpointHook", interval=3)
    cfg.custom_hooks = [
        *cfg.custom_hooks,
        dict(type="frozen_det.NormStatisticsHook"),
        dict(type="frozen_det.RankStateHook"),
    ]
    cfg.experiment_name = name
    cfg.dump(folder / f"{name}.py")
    return folder / f"{name}.py"
