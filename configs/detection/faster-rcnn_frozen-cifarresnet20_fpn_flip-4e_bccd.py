"""Blood cells (BCCD), 320 x 240 px, on a frozen ResNet-20 that was trained on CIFAR-10: the end of a chain, in small.

Body: 0.27 M parameters, one feature at stride 4; the levels above it are the neck's own convolutions. Weights: any
checkpoint with the names of akamaster/pytorch_resnet_cifar10. expected: not published; not measured yet.
    frozen-det train CONFIG --seed 0 --cfg-options data_root=DIR model.detector.backbone.weights=FILE
"""
_base_ = ["./faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd.py"]

epochs = 4
model = dict(detector=dict(
    backbone=dict(
        _delete_=True, type="frozen_det.FrozenBackbone", body=dict(type="frozen_det.CifarResNet", depth=20),
        weights="data/cifar10_resnets/resnet20-12fca82f.th", strides=(4,), freeze=True),
    neck=dict(out_channels=64, num_outs=4, add_extra_convs="on_output"),
    rpn_head=dict(feat_channels=64),
    roi_head=dict(bbox_head=dict(fc_out_channels=256))))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True,
         eta_min=5e-6),
]
train_cfg = dict(max_epochs=epochs, val_interval=2)
