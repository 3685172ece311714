"""PyramidNet-200 (alpha 240) with DropBlock, 0.1, blocks of 4, and label smoothing, 0.1, on CIFAR-100 by CutMix's recipe.

Yun et al., "CutMix", arXiv 1905.04899, Table 5.
Where it drops is not published: here the branches of stages 2 and 3, as DropBlock's authors drop in the last two.
expected: 84.84 top-1 (15.16 error), the mean of the best epochs of three runs; the last epoch's is lower. Not run here.
    frozen-det train CONFIG --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/cutmix-cifar100.py"]

model = dict(
    type="frozen_det.NoisyClassifier",
    noise=dict(drop_block=0.1, block_size=4, branches="layer[23].*.bn4"),
    loss=dict(label_smoothing=0.1))
