"""Cascade Mask R-CNN as ViTDet (arXiv 2203.16527, appendix A.2) builds it, for a frozen plain ViT; a config adds the backbone.

Simple feature pyramid, two convolutions in the RPN, four convolutions and one linear layer in the box heads, LayerNorm
over channels after every convolution of necks and RoI heads, IoU 0.5, 0.6, 0.7, every stage's loss at full weight
(`cascade_mask_rcnn_vitdet_b_100ep.py` of detectron2). Differences: the backbone is frozen and runs with its own global
attention, without ViTDet's windows and relative positions; one mask head, on the last stage's regions.
"""
_base_ = ["cascade_rcnn.py"]

_norm = dict(type="frozen_det.LN2d", eps=1e-6)
_align = dict(type="RoIAlign", sampling_ratio=0, aligned=True)
model = dict(detector=dict(
    data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad", size=(1280, 1280), pad_mask=True)]),
    neck=dict(type="frozen_det.SimpleFeaturePyramid"),
    rpn_head=dict(num_convs=2, norm_cfg=None, act_cfg=dict(type="ReLU"), score_anchors_per_image=None),
    roi_head=dict(
        iou_thresholds=(0.5, 0.6, 0.7), stage_loss_weights=(1.0, 1.0, 1.0), mask_stages="last", max_mask_rois=128,
        bbox_roi_extractor=dict(roi_layer=dict(output_size=7, **_align), featmap_strides=[4, 8, 16, 32]),
        bbox_head=dict(
            _delete_=True, type="Shared4Conv1FCBBoxHead", norm_cfg=_norm, reg_class_agnostic=True,
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0)),
        mask_roi_extractor=dict(
            type="SingleRoIExtractor", roi_layer=dict(output_size=14, **_align), featmap_strides=[4, 8, 16, 32]),
        mask_head=dict(type="FCNMaskHead", num_convs=4, norm_cfg=_norm,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5))))
