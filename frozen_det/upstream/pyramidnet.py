"""`frozen_det.CifarPyramidNet`: pyramidal residual networks for 32 x 32 images, with ShakeDrop by a switch.

Han, Kim, Kim, "Deep Pyramidal Residual Networks", CVPR 2017 (arXiv 1610.02915): every block is a little wider than the
one before, by alpha / (number of blocks) in all; shortcuts without parameters, new channels zero. CutMix (arXiv
1905.04899) measures on PyramidNet-200 with alpha 240. Names of parameters are those of clovaai/CutMix-PyTorch.
Yamada et al., "ShakeDrop Regularization for Deep Residual Learning", IEEE Access 2019 (arXiv 1802.02375).
timm, torchvision and mmdet have neither.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..models.backbone_sources.build import Preprocess
from ..registry import MODELS


@MODELS.register_module()
class CifarPyramidNet(nn.Module):
    """A pyramidal residual network for small images.

    Args:
        depth: 9n + 2 with ``bottleneck`` (200), 6n + 2 without (110).
        alpha: Channels that the blocks add to the first 16, in all.
        bottleneck: Blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions, the last four times as wide.
        shake_drop: Probability of shaking the last block, growing linearly from the first; 0 for none, the paper's
            is 0.5.
        num_classes: For a classifier; None for a backbone, which gives its three stages' maps.

    Raises:
        InputError: A depth that does not fit, a negative alpha, or a probability outside [0, 1].
    """

    head_keys = frozenset({"fc.weight", "fc.bias"})
    # CIFAR's own statistics, as in clovaai/CutMix-PyTorch, train.py.
    preprocess = Preprocess(mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7), input_size=32, crop_ratio=1.0)

    def __init__(
        self,
        depth: int = 200,
        alpha: float = 240,
        bottleneck: bool = True,
        shake_drop: float = 0.0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        layers = 9 if bottleneck else 6
        if not isinstance(depth, int) or depth < layers + 2 or (depth - 2) % layers:
            raise InputError(
                f"expected a depth of {layers}n + 2 with bottleneck={bottleneck}, got {depth!r} (model.backbone.depth)."
            )
        if alpha < 0 or not 0 <= shake_drop <= 1:
            raise InputError(
                f"expected alpha from 0 on and shake_drop in [0, 1], got {alpha!r} and {shake_drop!r} (model.backbone)."
            )
        blocks = (depth - 2) // layers
        block = _Bottleneck if bottleneck else _Basic
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels_in, width = 16, 16.0
        for stage in range(3):
            made = []
            for number in range(blocks):
                width += alpha / (3 * blocks)
                place = (stage * blocks + number + 1) / (3 * blocks)
                made.append(block(channels_in, round(width), 2 if stage and not number else 1, shake_drop * place))
                channels_in = round(width) * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))
        self.bn_final = nn.BatchNorm2d(channels_in)
        self.fc = nn.Linear(channels_in, num_classes) if num_classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels)))

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | Tensor:  # (N, 3, H, W)
        """Maps at strides 1, 2 and 4; with ``num_classes`` logits (N, num_classes)."""
        first = self.layer1(self.bn1(self.conv1(images)))  # (N, C1, H, W)
        second = self.layer2(first)  # (N, C2, H/2, W/2)
        third = F.relu(self.bn_final(self.layer3(second)))  # (N, C3, H/4, W/4)
        return (first, second, third) if self.fc is None else self.fc(third.mean((2, 3)))


class _Residual(nn.Module):
    """What both kinds of block share: the shortcut and ShakeDrop."""

    def __init__(self, stride: int, shake_prob: float) -> None:
        super().__init__()
        self.stride, self.shake_prob = stride, shake_prob

    def _added(self, images: Tensor, branch: Tensor) -> Tensor:  # (N, C, H, W), (N, C', H', W')
        branch = shake_drop(branch, self.shake_prob, self.training)
        if self.stride > 1:
            images = F.avg_pool2d(images, 2, 2, ceil_mode=True)
        # New channels of the shortcut are zero: only the old ones get something added.
        return branch + F.pad(images, (0, 0, 0, 0, 0, branch.shape[1] - images.shape[1]))


class _Basic(_Residual):
    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, shake_prob: float) -> None:
        super().__init__(stride, shake_prob)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> Tensor:  # (N, C, H, W)
        branch = self.conv1(self.bn1(images))
        branch = self.bn3(self.conv2(F.relu(self.bn2(branch))))
        return self._added(images, branch)


class _Bottleneck(_Residual):
    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, shake_prob: float) -> None:
        super().__init__(stride, shake_prob)
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(4 * width)

    def forward(self, images: Tensor) -> Tensor:  # (N, C, H, W)
        branch = self.conv1(self.bn1(images))
        branch = self.conv2(F.relu(self.bn2(branch)))
        branch = self.bn4(self.conv3(F.relu(self.bn3(branch))))
        return self._added(images, branch)


def shake_drop(branch: Tensor, prob: float, training: bool) -> Tensor:
    """Scale a residual branch at random, otherwise on the way back (arXiv 1802.02375, equation 6).

    Args:
        branch: (N, C, H, W).
        prob: Probability in [0, 1] that the block is shaken, drawn once for the batch. A shaken branch is multiplied
            by one number from [-1, 1] for each image, and its gradient by another from [0, 1].
        training: False multiplies by the expected factor, ``1 - prob``.

    Returns:
        (N, C, H, W).
    """
    if not training:
        return branch * (1 - prob) if prob else branch
    # From the CPU's generator, which every step seeds; the draw does not wait for an accelerator.
    if prob == 0 or torch.rand(()).item() >= prob:
        return branch
    shape = (len(branch), 1, 1, 1)
    forward = torch.rand(shape).mul_(2).sub_(1).to(branch)
    backward = torch.rand(shape).to(branch)
    return _Shaken.apply(branch, forward, backward)


class _Shaken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, branch: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
        ctx.save_for_backward(backward)
        return branch * forward

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.saved_tensors[0], None, None
