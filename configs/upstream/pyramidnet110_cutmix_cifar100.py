"""PyramidNet-110 (bottlenecks, alpha 64) with CutMix on CIFAR-100, CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Tables 5 to 7.
The data are torchvision's download, `cifar-100-python` in data_root.
Bottlenecks give the 1.7 M parameters that the paper prints beside alpha 64; basic blocks would have 2.6 M.
expected: 82.03 top-1 (17.97 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/upstream_cutmix-cifar.py"]

data_root = "data/cifar100"
train_dataloader = dict(dataset=dict(
    _delete_=True, type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="train",
    transform=dict(type="frozen_det.CifarTrain", padding=4, flip=0.5)))
val_dataloader = dict(dataset=dict(
    _delete_=True, type="frozen_det.Cifar", data_root=data_root, name="cifar100", split="test", test_mode=True,
    transform=dict(type="frozen_det.CifarEval")))
test_dataloader = val_dataloader
model = dict(num_classes=100, backbone=dict(depth=110, alpha=64, bottleneck=True), mixing=dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, prob=0.5))
