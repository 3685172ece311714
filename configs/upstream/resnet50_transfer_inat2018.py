"""RSB's ResNet-50 (A1) fine-tuned on iNaturalist 2018, as in DeiT.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 5, one of its sets; other beginnings:
--cfg-options model.weights.path=timm:a2_in1k, timm:a3_in1k, or timm:tv_in1k for PyTorch's own.
AdamW at 7.5e-5 for 768 images, 360 epochs, erasing and stochastic depth 0.1: facebookresearch/deit, issue 105.
expected: not read. Not run here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/transfer.py"]

data_root = "data/inat2018"
model = dict(num_classes=8142, backbone=dict(drop_path_rate=0.1))
epochs = 360
train_dataloader = dict(dataset=dict(data_root=data_root, transform=dict(erase_prob=0.1)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=7.5e-5, weight_decay=0.05))
param_scheduler = [
    dict(type="frozen_det.WarmUpCosineLR", by_epoch=True, warm_up=5, start_lr=1e-6, T_max=epochs, eta_min=1e-5),
]
train_cfg = dict(max_epochs=epochs)
