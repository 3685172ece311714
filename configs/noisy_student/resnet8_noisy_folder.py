"""A ResNet-8 at 12 px on any small image folder: the quick loop's teacher and students, for tests and first tries.

Xie et al., arXiv 1911.04252, with everything small. expected: nothing; it shows that a loop runs.
    frozen-det train noisy_student/resnet8_noisy_folder --cfg-options data_root=DIR
"""
_base_ = ["../_base_/classifier_runtime.py"]

data_root = "data/quick"
num_classes = 3
from_data = dict(type="frozen_det.FolderValues", names=["num_classes"])
_collate = dict(type="frozen_det.collate_images")
model = dict(
    type="frozen_det.NoisyClassifier",
    backbone=dict(type="frozen_det.CifarResNet", depth=8),
    num_classes=num_classes,
    noise=dict(dropout=0.2, stochastic_depth=0.2, branches="layer*.*.bn2"),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))
train_dataloader = dict(
    batch_size=4, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="train", val_share=0.2,
                 transform=dict(type="frozen_det.NoisyTrain", size=12, magnitude=5)))
val_dataloader = dict(
    batch_size=8, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="test", val_share=0.2, test_mode=True,
                 transform=dict(type="frozen_det.EvalTransform", size=12, crop_ratio=1.0)))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric", topk=(1,))
test_evaluator = val_evaluator
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.05, momentum=0.9))
auto_scale_lr = dict(enable=True, base_batch_size=4)
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.EMAHook", ema_type="frozen_det.WarmUpAverage", momentum=0.1, update_buffers=True),
]
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer")
log_level = "WARNING"
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=2, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
