"""CutMix's localisation on CUB-200-2011: ResNet-50 whose last stage does not stride, a new head, from ImageNet's weights.

Yun et al., "CutMix", arXiv 1905.04899, appendix B and B.1: 256 x 256, a random 224 x 224; 600 epochs of 32 images, SGD, a
tenth every 150. Whether its momentum is Nesterov's, and which weights each variant starts from, is not published: here plain, all
torchvision's. Then: frozen-det analyze wsol CONFIG CHECKPOINT --wsol-data DIR --wsol-protocol cutmix
"""
_base_ = ["../classifier_runtime.py"]

data_root = "data/CUB_200_2011"
_collate = dict(type="frozen_det.collate_images")
model = dict(
    type="frozen_det.ImageClassifier", num_classes=200, last_stride=1,
    backbone=dict(type="torchvision", name="resnet50"),
    weights=dict(path="torchvision:IMAGENET1K_V1", head="new"),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))
train_dataloader = dict(
    batch_size=32, num_workers=4, persistent_workers=True, drop_last=True, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.CubBirds", data_root=data_root, split="train",
                 transform=dict(type="frozen_det.SquareTrain", size=224, resize=256)))
val_dataloader = dict(
    batch_size=100, num_workers=4, persistent_workers=True, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.CubBirds", data_root=data_root, split="test", test_mode=True,
                 transform=dict(type="frozen_det.SquareEval", size=224, resize=256)))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric")
test_evaluator = val_evaluator

auto_scale_lr = dict(enable=True, base_batch_size=32)
# Ten times the rate in the last linear layer.
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.001, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"network.fc": dict(lr_mult=10)}))
param_scheduler = [dict(type="StepLR", by_epoch=True, step_size=150, gamma=0.1)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=600, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
