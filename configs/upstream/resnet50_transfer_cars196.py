"""RSB's ResNet-50 (A1) fine-tuned on Stanford Cars, as in DeiT.

Wightman et al., "ResNet strikes back", arXiv 2110.00476, Table 5, one of its sets; other beginnings:
--cfg-options model.weights.path=timm:a2_in1k, timm:a3_in1k, or timm:tv_in1k for PyTorch's own.
expected: not read. Not run here.
    frozen-det train CONFIG --amp --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/transfer.py"]

data_root = "data/cars196"
model = dict(num_classes=196)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
