"""`frozen_det.CifarResNet`: the small residual networks for 32 x 32 images, as a backbone and as a classifier.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), section 4.2: 6n+2 layers, three
stages of 16, 32 and 64 channels at strides 1, 2 and 4, shortcuts without parameters (option A: every second pixel, new
channels zero). timm, torchvision and mmdet have no such model. Names of parameters are those of
akamaster/pytorch_resnet_cifar10, so its checkpoints (ResNet-20 to -1202) load by name. With bottlenecks
(9n+2 layers, four times the channels, projection shortcuts) it is the ResNet-110 of CutMix's Table 6 (arXiv 1905.04899,
clovaai/CutMix-PyTorch).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...registry import MODELS
from .base import Preprocess


@MODELS.register_module()
class CifarResNet(nn.Module):
    """A residual network for small images.

    Args:
        depth: 20, 32, 44, 56, 110 or another 6n + 2; with bottlenecks 9n + 2 (110 is both).
        num_classes: for a classifier; None for a backbone.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions, the last four times as wide.

    Attributes:
        head_keys: state dict keys of the classifier, which a backbone does not need.
        depth_says_all: whether type and depth, as given in weights cards, are enough to build it.
        preprocess: what published checkpoints expect: ImageNet's mean and std, RGB, 32 pixels.

    Raises:
        InputError: a depth that does not fit.
    """

    head_keys = frozenset({"linear.weight", "linear.bias"})
    depth_says_all = True
    preprocess = Preprocess(input_size=32, crop_ratio=1.0)

    def __init__(self, depth: int = 20, num_classes: int | None = None, bottleneck: bool = False):
        super().__init__()
        layers, block = (9, _Bottleneck) if bottleneck else (6, _Block)
        if depth < layers + 2 or (depth - 2) % layers:
            raise InputError(
                f"expected a depth of {layers}n + 2 with bottleneck={bottleneck} in model.backbone.body, got {depth}."
            )
        blocks = (depth - 2) // layers
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width = block.expansion
        self.layer1 = _stage(block, 16, 16, blocks, 1)
        self.layer2 = _stage(block, 16 * width, 32, blocks, 2)
        self.layer3 = _stage(block, 32 * width, 64, blocks, 2)
        self.linear = nn.Linear(64 * width, num_classes) if num_classes else None
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | Tensor:  # (N, 3, H, W)
        """Features (N, 16, H, W), (N, 32, H/2, W/2), (N, 64, H/4, W/4); with `num_classes` logits (N, num_classes).

        With bottlenecks 64, 128 and 256 channels.
        """
        first = self.layer1(F.relu(self.bn1(self.conv1(images))))  # (N, 16, H, W)
        second = self.layer2(first)  # (N, 32, H/2, W/2)
        third = self.layer3(second)  # (N, 64, H/4, W/4)
        return (first, second, third) if self.linear is None else self.linear(third.mean((2, 3)))


def _stage(block, channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    wide = channels * block.expansion
    return nn.Sequential(block(channels_in, channels, stride), *(block(wide, channels, 1) for _ in range(blocks - 1)))


class _Block(nn.Module):
    """Two 3 x 3 convolutions with norms; the shortcut has no parameters."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, channels - channels_in

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W) -> (N, C, H / stride, W / stride)
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.added:  # half of the new, empty channels on each side
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with norms; the shortcut is a convolution with norm where widths differ."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        wide = channels * self.expansion
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = None
        if stride != 1 or channels_in != wide:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W) -> (N, 4C, H / stride, W / stride)
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + shortcut)
