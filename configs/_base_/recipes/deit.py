"""DeiT's own recipe, 300 epochs: the other direction of a comparison of architectures.

Touvron et al., arXiv 2012.12877; values as in facebookresearch/deit, main.py (defaults). Without its EMA (0.99996): the
numbers of the paper are the plain weights'.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

epochs = 300
warmup_epochs = 5
model = dict(
    type="frozen_det.ImageClassifier",
    num_classes=1000,
    weights=None,
    mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=0.8, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5),
    loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1))

train_dataloader = dict(
    sampler=dict(_delete_=True, type="frozen_det.RepeatAugSampler", num_repeats=3),
    dataset=dict(transform=dict(preset="deit", size=224)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.875)))
test_dataloader = val_dataloader

accumulate = 4
# 5e-4 for 512 images, linear in the batch: 1e-3 for the 1024 of an update.
auto_scale_lr = dict(enable=True, base_batch_size=512)
optim_wrapper = dict(type="OptimWrapper", constructor="frozen_det.DecayGroups",
                     optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05))
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, warm_up=warmup_epochs, start_lr=1e-6,
         T_max=epochs, eta_min=1e-5),
]
train_cfg = dict(max_epochs=epochs)
