"""Cascade R-CNN, 128 channels wide: the small Faster R-CNN with three box heads, from IoU 0.5, 0.6 and 0.7 on."""
_base_ = ["faster_rcnn_fpn_small.py"]

model = dict(detector=dict(
    type="CascadeRCNN",
    roi_head=dict(type="frozen_det.CascadeRoIHead", iou_thresholds=(0.5, 0.6, 0.7))))
