"""COCO val2017 as in coco_eval_square_1280.py, the image fitted into 640 x 640."""
_base_ = ["coco_eval_square_1280.py"]

val_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(640, 640), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]))
test_dataloader = val_dataloader
