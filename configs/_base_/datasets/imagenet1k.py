"""ImageNet-1k as an image folder, `data_root/{train,val}/WNID/*`. Recipes set transforms, sampler and batch."""
data_root = "data/imagenet"
_collate = dict(type="frozen_det.collate_images")

train_dataloader = dict(
    batch_size=256, num_workers=8, persistent_workers=True, pin_memory=True, drop_last=True, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="train",
                 transform=dict(type="frozen_det.TrainTransform", preset="basic", size=224)))
val_dataloader = dict(
    batch_size=256, num_workers=8, persistent_workers=True, pin_memory=True, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="val", test_mode=True,
                 transform=dict(type="frozen_det.EvalTransform", size=224, crop_ratio=0.875)))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric")
test_evaluator = val_evaluator

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=300, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
