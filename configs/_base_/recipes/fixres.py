"""FixRes: classifier and last batch norm's statistics tuned at the test resolution. Recipes set model, sizes, length.

Touvron, Vedaldi, Douze, Jegou, "Fixing the train-test resolution discrepancy", NeurIPS 2019 (arXiv 1906.06423); values of
facebookresearch/FixRes: SGD 1e-3 for 64 images, momentum 0.9, weight decay 1e-4, a tenth every 30 epochs, 8 x 64 images.
`fixres.transform`: "v1" tunes with the test's transform, "v2" adds flips, slight colour changes and sideways shifts.
`fixres.pseudo_labels`: None, or a data set's config (dict(type="frozen_det.ImageList", ...)) to be mixed in.
"""
_base_ = ["../classifier_runtime.py", "../datasets/imagenet1k.py"]

fixres = dict(train_size=224, transform="v1", pseudo_labels=None)
model = dict(
    type="frozen_det.FixResClassifier",
    num_classes=1000,
    weights=None,  # the finished classifier: frozen-det fixres CONFIG CHECKPOINT
    loss=dict(type="frozen_det.SoftTargetCrossEntropy"))

train_dataloader = dict(batch_size=64)
val_dataloader = dict(batch_size=64)
test_dataloader = val_dataloader

auto_scale_lr = dict(enable=True, base_batch_size=64)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type="StepLR", by_epoch=True, step_size=30, gamma=0.1)]
custom_hooks = [
    dict(type="frozen_det.StepSeedHook"),
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.FrozenProofHook"),
]
