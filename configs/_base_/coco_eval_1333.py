"""Stands in datasets/coco_eval_1333.py now; this path works until 2027-06-30."""
_base_ = ["datasets/coco_eval_1333.py"]
