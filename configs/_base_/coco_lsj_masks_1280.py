"""Stands in datasets/coco_lsj_masks_1280.py now; this path works until 2027-06-30."""
_base_ = ["datasets/coco_lsj_masks_1280.py"]
