"""RSB's ResNet-50 (A1) fine-tuned on CIFAR-10, enlarged to 224 px, as in DeiT.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 5, one of its sets; other beginnings:
--cfg-options model.weights.path=timm:a2_in1k, timm:a3_in1k, or timm:tv_in1k for PyTorch's own.
Another set is `data_root`, `model.num_classes` and, where it has no such folders, its dataset.
expected: 98.3 top-1 (Papers with Code's list of the paper's results). Not run here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/transfer.py"]

data_root = "data/cifar10"
model = dict(num_classes=10)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
