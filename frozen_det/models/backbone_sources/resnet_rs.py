"""`frozen_det.ResNetRS`: the backbone of the authors' YAML files, with the operations of tensorflow/models.

Bello et al., "Revisiting ResNets" (arXiv 2103.07579); sources: official/vision/modeling/backbones/resnet.py and
modeling/layers/nn_blocks.py of tensorflow/models. timm's `resnetrs101` has the same tensors and names
but computes another function: ReLU instead of Swish (its weights were trained with ReLU, the authors' with Swish; both
use ReLU in squeeze-and-excitation), symmetric padding of stride-2 convolutions ('SAME' in TensorFlow pads the
right and bottom of an even map), and no pooling in the first stage's shortcut (2 x 2 at stride 1 in TensorFlow).
Converted weights are renamed by :mod:`frozen_det.weights.key_maps.tensorflow_resnet`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...registry import MODELS
from .base import Preprocess

DEPTHS = (50, 101, 152, 200, 270, 350, 420)


@MODELS.register_module()
class ResNetRS(nn.Module):
    """A ResNet-RS backbone with the authors' operations.

    Args:
        depth: one of :data:`DEPTHS`.
        norm_eps: eps of every norm. The authors' two-stage detectors use 1e-4; the classifier was trained with 1e-3,
            which their RetinaNet keeps.

    Attributes:
        preprocess: the input of the published checkpoint: ImageNet's mean and std, RGB, 192 pixels.

    Raises:
        InputError: an unknown depth.
    """

    head_keys = frozenset({"fc.weight", "fc.bias"})
    preprocess = Preprocess(input_size=192)

    def __init__(self, depth: int = 101, norm_eps: float = 1e-4):
        super().__init__()
        import timm
        from timm.layers import Conv2dSame

        if depth not in DEPTHS:
            raise InputError(
                f"expected a depth of {DEPTHS} in model.backbone.body of type frozen_det.ResNetRS, got "
                f"{depth}. Correct that key."
            )
        net = timm.create_model(f"resnetrs{depth}", act_layer="silu", num_classes=0)
        net.layer1[0].downsample[0] = _PoolInPlace()
        for name, layer in list(net.named_modules()):
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = norm_eps
            elif isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                same = Conv2dSame(layer.in_channels, layer.out_channels, layer.kernel_size, 2, bias=False)
                same.weight = layer.weight
                net.set_submodule(name, same)
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # (N, 3, H, W)
        """Features at strides 4, 8, 16 and 32: (N, 256, H/4, W/4) to (N, 2048, H/32, W/32)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(images))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return tuple(features)


class _PoolInPlace(nn.Module):
    """2 x 2 average pooling at stride 1 with 'SAME' padding as in TensorFlow: padded cells are not counted."""

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> the same
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, 1)
