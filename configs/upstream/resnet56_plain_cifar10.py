"""CIFAR ResNet-56 as in its paper: no mixing, SGD, 164 epochs. All but the depth as in resnet20_plain_cifar10.

He et al., arXiv 1512.03385, section 4.2 and Table 6.
expected: 93.03 (Table 6) on the original pixels; JPEG copies of the images give less. Not run in full here.
    frozen-det train CONFIG --cfg-options data_root=DIR
    frozen-det test CONFIG resnet56-4bfd9763.th --cfg-options data_root=DIR     (akamaster's checkpoint: 93.62)
"""
_base_ = ["./resnet20_plain_cifar10.py"]

model = dict(backbone=dict(depth=56))
