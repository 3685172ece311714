"""PNASNet-5-Large trained at 331, tuned and tested at 480 px: the last three cells train, as released.

Touvron et al., arXiv 1906.06423; facebookresearch/FixRes, README: 1 epoch of 8 x 64 images, 1e-4 for 64.
Its branches end side by side, so the norms are named.
expected: 83.7 top-1, 96.8 top-5 (README), from 82.7 at 331. Not run on ImageNet here.
    frozen-det fixres CONFIG CHECKPOINT --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/fixres_resnet.py"]

fixres = dict(train_size=331)
model = dict(backbone=dict(type="timm", name="pnasnet5large"),
             norm=("cell_9", "cell_10", "cell_11"), whole=("cell_9", "cell_10", "cell_11"))
train_dataloader = dict(dataset=dict(transform=dict(size=480)))
val_dataloader = dict(dataset=dict(transform=dict(size=480)))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=1, val_interval=1)
