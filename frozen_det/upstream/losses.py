"""Losses on soft targets, each with the builder of its targets from a mixed batch; refuses values out of range.

Targets are built from both labels and their weight. What differs between recipes is made of them here: rows that sum
to 1 for cross entropy, or one independent yes or no per class ("ResNet strikes back", arXiv 2110.00476, section 3).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..ops.mixing import soft_targets
from ..registry import MODELS


@MODELS.register_module()
class SoftTargetCrossEntropy(nn.Module):
    """Cross entropy against distributions, mean over the batch.

    Args:
        label_smoothing: eps in [0, 1): targets are ``(1 - eps) * targets + eps / C``, as in PyTorch.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = _smoothing(label_smoothing)

    def targets(self, labels_a: Tensor, labels_b: Tensor, lam: float, num_classes: int) -> Tensor:
        """(N, num_classes) float32, rows summing to 1, from (N,) int64 labels and the weight of the first."""
        return soft_targets(labels_a, labels_b, lam, num_classes, self.label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of (N, C) logits and (N, C) targets; under autocast computed in float32."""
        return F.cross_entropy(logits, targets)


@MODELS.register_module()
class BinaryCrossEntropy(nn.Module):
    """Every class is a yes or no of its own: sigmoid cross entropy, by timm's ``BinaryCrossEntropy``.

    Targets are thresholded first and smoothed afterwards. timm smooths first (in its Mixup), and a threshold then
    erases the smoothing: A1's 0.1 with A2's 0.2 is A2's loss there. `smooth_first` has it so.

    Args:
        label_smoothing: eps in [0, 1): a class that is present has target ``1 - eps + eps / C``, others ``eps / C``.
        target_threshold: a class is present if its weight in the mixed image is above this; None or 0: any weight
            above 0 will do. The paper's A2 and A3 have 0.2.
        sum_classes: sum over classes and take the mean over the batch, C times the default (mean over both). LAMB's
            step hardly depends on it, weight decay's share of it does.
        sum_to_one: the paper's ablation: targets are the weights themselves, not thresholded.
        smooth_first: timm's order.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        target_threshold: float | None = None,
        sum_classes: bool = False,
        sum_to_one: bool = False,
        smooth_first: bool = False,
    ):
        super().__init__()
        if target_threshold is not None and not 0 <= target_threshold < 1:
            raise InputError(f"expected None or a weight in [0, 1), got {target_threshold!r} at loss.target_threshold.")
        from timm.loss import BinaryCrossEntropy as TimmBinaryCrossEntropy

        self.label_smoothing = _smoothing(label_smoothing)
        self.target_threshold, self.sum_to_one = target_threshold or 0.0, sum_to_one
        self.smooth_first = smooth_first
        self.loss = TimmBinaryCrossEntropy(smoothing=0.0, target_threshold=None, sum_classes=sum_classes)

    def targets(self, labels_a: Tensor, labels_b: Tensor, lam: float, num_classes: int) -> Tensor:
        """(N, num_classes) float32 in [0, 1] from (N,) int64 labels and the weight of the first."""
        smoothed = self.label_smoothing if self.smooth_first else 0.0
        targets = soft_targets(labels_a, labels_b, lam, num_classes, smoothed)
        if not self.sum_to_one:
            targets = targets.gt(self.target_threshold).to(targets.dtype)
        if self.label_smoothing and not self.smooth_first:
            targets = targets.mul_(1 - self.label_smoothing).add_(self.label_smoothing / num_classes)
        return targets

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of (N, C) logits and (N, C) targets; under autocast computed in float32."""
        return self.loss(logits, targets)


def spread_targets(classes: Tensor, shares: Tensor, rest: Tensor, num_classes: int) -> Tensor:
    """(N, num_classes) targets for either loss out of top-k soft labels; what is left is spread evenly over the others.

    Made where the logits are, so a batch that travels there holds k classes an image, not all. With k = num_classes
    they are the whole vectors, and loss and gradient the same bit for bit.

    Args:
        classes: (N, k) int64, distinct in each row.
        shares: (N, k) float32, their probabilities.
        rest: (N,) float32, probability of all other classes together.
        num_classes: C.
    """
    others = max(num_classes - classes.shape[1], 1)
    spread = (rest / others)[:, None].expand(-1, num_classes)
    return torch.scatter(spread, 1, classes.long(), shares)


def _smoothing(value: float) -> float:
    if not 0 <= value < 1:
        raise InputError(f"expected a share in [0, 1), got {value!r} at loss.label_smoothing.")
    return value
