"""Class-balanced softmax loss (effective number of samples) for the second training stage on long-tailed data.

Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (arXiv 1901.05555), section 4; numbers as in
"Simple Copy-Paste" (arXiv 2012.07177), the system of Table 5 of arXiv 2204.00484: n counts instances, beta 0.999,
weights divided by their mean, then clipped to [0.01, 5]. Background has weight 1 and is excluded from the mean, as in
the code of Balanced Group Softmax (arXiv 2006.10408) that Copy-Paste follows. An annotation file whose classes differ
from the head's is an error.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.logging import print_log

from ...errors import InputError
from ...registry import MODELS
from .counted_loss import CountedLoss

BETA = 0.999
CLIP = (0.01, 5.0)


def effective_number_weights(
    num_instances: Sequence[int], beta: float = BETA, clip: tuple[float, float] = CLIP
) -> np.ndarray:
    """(1 - beta) / (1 - beta^n) of every class, divided by the mean over classes, clipped.

    Args:
        num_instances: (C,) instances n >= 0 of each class.
        beta: in [0, 1). 0 gives all classes the same weight; towards 1 the weights approach 1 / n.
        clip: lowest and highest weight.

    Returns:
        (C,) float64, non-increasing in n. A class without instances, for which the formula divides by zero, gets the
        weight of a class with one instance and is excluded from the mean; no region has its label.

    Raises:
        InputError: beta or clip out of range, or a negative count.
    """
    counts = np.asarray(num_instances, dtype=np.float64).reshape(-1)
    if not 0.0 <= beta < 1.0:
        raise InputError(f"expected beta from 0 to below 1, got {beta} (ClassBalancedLoss.beta). Usual: {BETA}.")
    low, high = clip
    if not 0.0 <= low <= high:
        raise InputError(
            f"expected clip as two numbers with 0 <= lowest <= highest, got {clip} (ClassBalancedLoss.clip)."
        )
    if (counts < 0).any() or not np.isfinite(counts).all():
        raise InputError(
            f"expected instance counts of 0 or more, got {counts.min()} (ClassBalancedLoss.num_instances)."
        )
    present = counts > 0
    with np.errstate(divide="ignore"):
        # expm1: at n = 1 and beta close to 1, 1 - beta^n would lose its digits.
        weights = (1.0 - beta) / -np.expm1(np.maximum(counts, 1.0) * np.log(beta))
    mean = weights[present].mean() if present.any() else 1.0
    return np.clip(weights / mean, low, high)


@MODELS.register_module()
class ClassBalancedLoss(CountedLoss):
    """Softmax cross-entropy with class weights, for any box head of mmdet or frozen_det.

    The loss of each region is multiplied by the weight of its label, and the sum is divided by the number of regions,
    as in mmdet's weighted cross-entropy.

    Args:
        ann_file, num_instances, classes, loss_weight, reduction: see
            :class:`frozen_det.models.losses.counted_loss.CountedLoss`.
        beta, clip: see :func:`effective_number_weights`.
        background_weight: weight of the last label; 1 as in the first stage.

    Raises:
        InputError: see :class:`frozen_det.models.losses.counted_loss.CountedLoss` and
            :func:`effective_number_weights`.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        num_instances: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        beta: float = BETA,
        clip: tuple[float, float] = CLIP,
        background_weight: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ):
        super().__init__(ann_file, num_instances, classes, loss_weight, reduction)
        self.beta, self.clip, self.background_weight = beta, tuple(clip), background_weight
        effective_number_weights([1], beta, self.clip)  # checks the arguments

    def values_of(self, counts: list[int]) -> torch.Tensor:
        """The weights of classes and background."""
        weights = effective_number_weights(counts, self.beta, self.clip)
        print_log(
            f"class-balanced loss: {len(weights)} classes, {min(counts)} to {max(counts)} instances, weights "
            f"{weights.max():.3g} to {weights.min():.3g}, background {self.background_weight:g}",
            "current",
        )
        return torch.tensor([*weights, self.background_weight], dtype=torch.float32)

    def applied(self, logits: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits as they are, and the weights of the loss's terms."""
        return logits, values
