"""ResNet-110 (bottlenecks) without mixing on CIFAR-100, CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Tables 5 to 7.
The data are torchvision's download, `cifar-100-python` in data_root.
Bottlenecks give 1.17 M parameters (the paper prints 1.1 M); basic blocks have 1.7 M.
expected: 76.86 top-1 (23.14 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/upstream_cutmix-cifar.py"]

num_classes = 100
data_root = "data/cifar100"
train_dataloader = dict(dataset=dict(
    _delete_=True, type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="train",
    transform=dict(type="frozen_det.CifarTrain", padding=4, flip=0.5)))
val_dataloader = dict(dataset=dict(
    _delete_=True, type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="test", test_mode=True,
    transform=dict(type="frozen_det.CifarEval")))
test_dataloader = val_dataloader
model = dict(
    num_classes=100, backbone=dict(_delete_=True, type="frozen_det.CifarResNet", depth=110, bottleneck=True))
