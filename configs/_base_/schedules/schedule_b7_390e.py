"""180 000 steps of 256 images (390 epochs of COCO), otherwise as schedule_b7_195e.py: arXiv 2012.07177."""
_base_ = "schedule_b7_195e.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=390, milestones=[351, 370, 380], gamma=0.1),
]
train_cfg = dict(max_epochs=390, val_interval=15)
