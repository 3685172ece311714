"""Toy scenes: real digits pasted on real photographs, written by the package on first use."""
data_root = "data/toy_scenes"

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(224, 224), keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(224, 224), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=8, num_workers=1, persistent_workers=True,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.ToyScenes", data_root=data_root, split="train", pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8, num_workers=1, persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="frozen_det.ToyScenes", data_root=data_root, split="val", test_mode=True,
                 pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.CocoMetric", ann_file=f"{data_root}/annotations/val.json", metric="bbox",
                     classwise=True)
test_evaluator = val_evaluator
