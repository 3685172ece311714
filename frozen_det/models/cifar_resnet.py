"""`frozen_det.CifarResNet`: the small residual networks for 32 x 32 images, as a body and as a classifier.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), section 4.2: 6n+2 layers, three
stages of 16, 32 and 64 channels at strides 1, 2 and 4, shortcuts without parameters (option A: every second pixel, new
channels zero). timm, torchvision and mmdet have no such model. Names of parameters are those of
akamaster/pytorch_resnet_cifar10, so its checkpoints (ResNet-20 to -1202) load through the one door.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..registry import MODELS
from .backbones import Preprocess


@MODELS.register_module()
class CifarResNet(nn.Module):
    """A residual network for small images.

    Args:
        depth: 20, 32, 44, 56, 110 or another 6n + 2.
        num_classes: for a classifier; None for a body.

    Attributes:
        head_keys: names of the classifier's entries, which a body does without.
        preprocess: what published checkpoints expect: ImageNet's mean and std, RGB, 32 pixels.

    Raises:
        InputError: a depth that is not 6n + 2.
    """

    head_keys = frozenset({"linear.weight", "linear.bias"})
    preprocess = Preprocess(input_size=32, crop_ratio=1.0)

    def __init__(self, depth: int = 20, num_classes: int | None = None):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise InputError(f"expected a depth of 6n + 2 (20, 32, 44, 56, 110) in model.backbone.body, got {depth}.")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes) if num_classes else None
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | Tensor:  # (N, 3, H, W)
        """Features (N, 16, H, W), (N, 32, H/2, W/2), (N, 64, H/4, W/4); with `num_classes` logits (N, num_classes)."""
        first = self.layer1(F.relu(self.bn1(self.conv1(images))))  # (N, 16, H, W)
        second = self.layer2(first)  # (N, 32, H/2, W/2)
        third = self.layer3(second)  # (N, 64, H/4, W/4)
        return (first, second, third) if self.linear is None else self.linear(third.mean((2, 3)))


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels_in if i == 0 else channels, channels, stride if i == 0 else 1)
                           for i in range(blocks)))


class _Block(nn.Module):
    """Two 3 x 3 convolutions with norms; the shortcut has no parameters."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, channels - channels_in

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W) -> (N, C, H / stride, W / stride)
        shortcut = x[:, :, ::self.stride, ::self.stride]
        if self.added:  # half of the new, empty channels on each side
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)
