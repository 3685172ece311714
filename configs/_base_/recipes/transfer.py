"""Fine-tuning as DeiT does it, from RSB's ResNet-50 A1: 1000 epochs, SGD, ImageNet's augmentation without erasing.

Touvron in facebookresearch/deit, issue 45 (CIFAR-10, Cars): 224 px, batch 768, SGD at 0.01, weight decay 1e-4, no random
erasing, no stochastic depth, the rest as in DeiT's training. "ResNet strikes back" (arXiv 2110.00476, Table 5) tunes rate
and length for each set; the values found are not known to us. Folders: `data_root/{train,val}/CLASS/*`.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

epochs = 1000
warmup_epochs = 5
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="timm", name="resnet50"),
    num_classes=10,
    weights=dict(path="timm:a1_in1k", head="new"),
    mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=0.8, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

train_dataloader = dict(
    batch_size=96,
    sampler=dict(_delete_=True, type="frozen_det.RepeatAugSampler", num_repeats=3),
    dataset=dict(transform=dict(preset="deit", size=224, erase_prob=0.0)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.875)))
test_dataloader = val_dataloader

accumulate = 8
auto_scale_lr = dict(enable=True, base_batch_size=768)
optim_wrapper = dict(type="OptimWrapper", constructor="frozen_det.DecayGroups",
                     optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, warm_up=warmup_epochs, start_lr=1e-6,
         T_max=epochs, eta_min=1e-5),
]
train_cfg = dict(max_epochs=epochs, val_interval=10)
