"""Softmax loss with logits shifted by class frequencies: rare classes must win by a margin, for the long tail.

Menon et al., "Long-tail learning via logit adjustment" (arXiv 2007.07314), equation 10: cross-entropy of
``f_y + tau log pi_y``, where pi is the classes' distribution in the training set; predictions take f as it is.
"""

import math
from collections.abc import Sequence

import torch
from mmengine.logging import print_log

from ...errors import InputError
from ...registry import MODELS
from .counted_loss import CountedLoss


def logit_shifts(num_instances: Sequence[int], tau: float = 1.0) -> list[float]:
    """tau log pi of every class, less its mean over instances.

    Args:
        num_instances: (C,) whole numbers n >= 0; a class without instances counts as one with a single instance.
        tau: from 0 on; 0 shifts nothing, 1 is the paper's value.

    Returns:
        C numbers. An instance drawn at random has a shift of zero on average.

    Raises:
        InputError: tau below 0, a negative count, or no instance at all.
    """
    if not 0.0 <= tau < math.inf:
        raise InputError(f"expected tau from 0 on, got {tau} (LogitAdjustedLoss.tau). Usual: 1.")
    if not any(num_instances) or min(num_instances) < 0:
        raise InputError(
            f"expected counts of instances from 0 on and some instance, got {list(num_instances)[:9]} "
            "(LogitAdjustedLoss.num_instances)."
        )
    logs = [math.log(max(count, 1)) for count in num_instances]
    mean = sum(count * log for count, log in zip(num_instances, logs)) / sum(num_instances)
    return [tau * (log - mean) for log in logs]


@MODELS.register_module()
class LogitAdjustedLoss(CountedLoss):
    """Softmax cross-entropy of shifted logits, for any box head of mmdet or frozen_det.

    The background's logit is not shifted. How many regions of a batch are background is the sampler's choice, no
    frequency of the data; and the classes' shifts are zero on average over instances, so objects as a whole stand
    against background as without them (adding one number to all of them changes that and nothing else).

    Args:
        ann_file, num_instances, classes, loss_weight, reduction: see
            :class:`frozen_det.models.losses.counted_loss.CountedLoss`.
        tau: see :func:`logit_shifts`.

    Raises:
        InputError: see :class:`frozen_det.models.losses.counted_loss.CountedLoss` and :func:`logit_shifts`.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        num_instances: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        tau: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ):
        super().__init__(ann_file, num_instances, classes, loss_weight, reduction)
        self.tau = tau
        logit_shifts([1], tau)  # checks the argument

    def values_of(self, counts: list[int]) -> torch.Tensor:
        """The shifts of classes and background."""
        shifts = logit_shifts(counts, self.tau)
        print_log(
            f"logit-adjusted loss: {len(shifts)} classes, {min(counts)} to {max(counts)} instances, logits shifted by "
            f"{min(shifts):+.3g} to {max(shifts):+.3g}, background not",
            "current",
        )
        return torch.tensor([*shifts, 0.0], dtype=torch.float32)

    def applied(self, logits: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The shifted logits, no weights."""
        return logits + values, None
