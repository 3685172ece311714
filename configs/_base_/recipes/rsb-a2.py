"""RSB A2: 300 epochs; a class is a target above 0.2, repeated augmentation, stochastic depth.

Wightman, Touvron, Jegou, "ResNet strikes back", arXiv 2110.00476, Table 2. Losses, targets: frozen_det.BinaryCrossEntropy.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

epochs = 300
warmup_epochs = 5
model = dict(
    type="frozen_det.ImageClassifier",
    num_classes=1000,
    weights=None,
    # One of the two for each batch, half and half; every batch is mixed.
    mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=0.1, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5),
    loss=dict(type="frozen_det.BinaryCrossEntropy", target_threshold=0.2))

train_dataloader = dict(
    sampler=dict(_delete_=True, type="frozen_det.RepeatAugSampler", num_repeats=3),
    dataset=dict(transform=dict(preset="rsb", size=224)))
val_dataloader = dict(dataset=dict(transform=dict(size=224, crop_ratio=0.95)))
test_dataloader = val_dataloader

# 2048 images for an update: 8 steps of 256 in one process; accumulate=1 with eight. For another batch the rate follows
# its square root, as the authors' library has it for LAMB.
accumulate = 8
auto_scale_lr = dict(enable=True, base_batch_size=2048, scaling="sqrt")
# Lamb clips the gradients' norm to 1 itself. No decay on norms and biases.
optim_wrapper = dict(type="OptimWrapper", constructor="frozen_det.DecayGroups",
                     optimizer=dict(type="frozen_det.Lamb", lr=5e-3, weight_decay=0.02))
# From 1e-4; the authors' library counts the cosine from epoch 0.
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, warm_up=warmup_epochs, start_lr=1e-4,
         T_max=epochs, eta_min=1e-6),
]
train_cfg = dict(max_epochs=epochs)
