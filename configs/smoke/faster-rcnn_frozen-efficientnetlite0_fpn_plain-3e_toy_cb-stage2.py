"""Class-balanced second stage of faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy: only fc_cls trains, 3 epochs.

In small what Table 5 of arXiv 2204.00484 reports. expected: not published; measured: docs/results.md. AP r/c/f of any
first stage comes from this config too: `frozen-det test` with its checkpoint.
    frozen-det train faster-rcnn_frozen-efficientnetlite0_fpn_plain-3e_toy_cb-stage2 \
        --cfg-options load_from=work_dirs/faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy/epoch_8.pth
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/faster_rcnn_narrow.py",
          "../_base_/schedules/schedule_cb_toy_3e.py"]

model = dict(detector=dict(
    type="frozen_det.ClassifierStage",
    neck=dict(type="frozen_det.FPN", out_channels=48, norm_cfg=dict(type="BN", momentum=0.1)),
    roi_head=dict(bbox_head=dict(loss_cls=dict(
        _delete_=True, type="frozen_det.ClassBalancedLoss", ann_file="data/toy_scenes/annotations/train.json")))))

_val = "data/toy_scenes/annotations/val.json"
val_evaluator = [
    dict(type="frozen_det.CocoMetric", ann_file=_val, metric="bbox", classwise=True),
    dict(type="frozen_det.LVISMetric", ann_file=_val, metric="bbox"),  # AP of rare, common and frequent classes
]
test_evaluator = val_evaluator
default_hooks = dict(second_stage=dict(type="frozen_det.SecondStageHook"))
