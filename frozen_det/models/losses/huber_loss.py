"""Huber loss in the authors' scaling: no division by delta, unlike mmdet's SmoothL1Loss.

HuberLoss(delta) = delta * SmoothL1Loss(beta=delta). The authors train boxes with delta 1 (the same as smooth L1),
the RPN with 1/9 and RetinaNet with 0.1 (times a box weight of 50).
"""

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from torch import nn

from ...errors import InputError
from ...registry import MODELS


@MODELS.register_module()
class HuberLoss(nn.Module):
    """0.5 x^2 for |x| <= delta, delta (|x| - delta / 2) beyond, in mmdet's loss interface.

    Args:
        delta: where the square turns into a line, > 0.
        reduction: 'none', 'mean' or 'sum'.
        loss_weight: factor on the result.
    """

    def __init__(self, delta: float = 1.0, reduction: str = "mean", loss_weight: float = 1.0):
        super().__init__()
        if delta <= 0:
            raise InputError(f"expected delta above 0, got {delta}, in a loss of type frozen_det.HuberLoss.")
        self.delta, self.reduction, self.loss_weight = delta, reduction, loss_weight

    def forward(
        self,
        pred: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> torch.Tensor:
        """Loss of ``pred`` against ``target`` (same shape), weighted per element, a scalar unless 'none'."""
        loss = nn.functional.huber_loss(pred, target, reduction="none", delta=self.delta)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction_override or self.reduction, avg_factor)
