"""CutMix's localisation on ImageNet: ResNet-50 whose last stage does not stride, a new head, from ImageNet's weights.

Yun et al., "CutMix", arXiv 1905.04899, appendix B and B.2: 256 x 256, a random 224 x 224; 20 epochs of 256 images, SGD, a
tenth every 6. Then: frozen-det analyze wsol CONFIG CHECKPOINT --wsol-data DIR --wsol-protocol cutmix, with ImageNet's boxes
as COCO's json.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

model = dict(
    type="frozen_det.ImageClassifier", num_classes=1000, last_stride=1,
    backbone=dict(type="torchvision", name="resnet50"),
    weights=dict(path="torchvision:IMAGENET1K_V1", head="new"),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))
train_dataloader = dict(dataset=dict(
    transform=dict(_delete_=True, type="frozen_det.SquareTrain", size=224, resize=256)))
val_dataloader = dict(dataset=dict(
    transform=dict(_delete_=True, type="frozen_det.SquareEval", size=224, resize=256)))
test_dataloader = val_dataloader

auto_scale_lr = dict(enable=True, base_batch_size=256)
# Ten times the rate in the last linear layer.
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"network.fc": dict(lr_mult=10)}))
param_scheduler = [dict(type="StepLR", by_epoch=True, step_size=6, gamma=0.1)]
train_cfg = dict(max_epochs=20)
