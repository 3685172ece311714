"""COCO val2017 as in coco_eval_square_1280.py, boxes and masks."""
_base_ = ["coco_eval_square_1280.py"]

val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
