"""Huber loss, not divided by delta, unlike mmdet's SmoothL1Loss.

HuberLoss(delta) = delta * SmoothL1Loss(beta=delta). The authors of arXiv 2204.00484 use delta 1 for box heads
(equal to smooth L1), 1/9 for the RPN and 0.1 for RetinaNet (with a loss weight of 50).
"""

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from torch import nn

from ...errors import InputError
from ...registry import MODELS


@MODELS.register_module()
class HuberLoss(nn.Module):
    """0.5 x^2 for |x| <= delta, else delta (|x| - delta / 2), with mmdet's loss interface.

    Args:
        delta: |x| at which the loss changes from quadratic to linear, above 0.
        reduction: 'none', 'mean' or 'sum'.
        loss_weight: factor on the result.

    Raises:
        InputError: delta of 0 or below.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean", loss_weight: float = 1.0):
        super().__init__()
        if delta <= 0:
            raise InputError(
                f"expected delta above 0, got {delta}, in a loss of type frozen_det.HuberLoss. Correct that key."
            )
        self.delta, self.reduction, self.loss_weight = delta, reduction, loss_weight

    def forward(
        self,
        pred: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> torch.Tensor:
        """Loss between ``pred`` and ``target``.

        Args:
            pred, target: tensors of one shape, usually (R, 4).
            weight: weights of the elements, same shape, or None.
            avg_factor: divisor of the sum with reduction 'mean'; None is the number of elements.
            reduction_override: instead of ``reduction``.

        Returns:
            A scalar, or the shape of ``pred`` with reduction 'none'.
        """
        loss = nn.functional.huber_loss(pred, target, reduction="none", delta=self.delta)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction_override or self.reduction, avg_factor)
