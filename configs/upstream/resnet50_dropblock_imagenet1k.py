"""ResNet-50 on ImageNet as in CutMix's comparison: DropBlock as timm has it: the last two stages, drop rate 0.1.

Yun et al., "CutMix", arXiv 1905.04899, Table 3.
The paper took DropBlock's number from its authors, whose schedule raises the drop rate over the run; here it is constant.
expected: 78.13 top-1 (21.87 error), the best epoch of one run; the last epoch's is lower. Not run on ImageNet here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-imagenet.py"]

model = dict(backbone=dict(type="timm", name="resnet50", drop_block_rate=0.1))
