"""`frozen_det.WarmUpCosineLR`: a linear warm-up from a given rate, then a cosine, counted as timm counts.

timm, scheduler/cosine_lr.py: epoch t has ``start + t * (base - start) / warm_up`` before ``warm_up``, then the cosine
of ``t / length``, counted from epoch 0, so that it begins a little below the base rate. mmengine's LinearLR reaches the
base rate an epoch earlier (`end` is one behind the place of its last factor): a quarter more in that epoch.
"""

import math

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ..errors import InputError
from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmUpCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Rates by epoch.

    Args:
        optimizer: or optimizer wrapper.
        warm_up: epochs of the warm-up, whole.
        start_lr: rate of the first epoch, as it is, whatever the batch.
        T_max: epochs of the cosine from epoch 0 on, the run's length.
        eta_min: rate at the end.
        cosine_after: the cosine begins where the warm-up ends (torchvision's recipes, timm's ``--warmup-prefix``) and
            ends at ``T_max``.
        begin, end, last_step, by_epoch, verbose: of mmengine's schedulers; it is stepped once an epoch.

    Raises:
        InputError: counted in iterations, or a warm-up that is longer than the run.
    """

    def __init__(
        self,
        optimizer,
        warm_up: int,
        start_lr: float,
        T_max: int,  # noqa: N803
        eta_min: float = 0.0,
        cosine_after: bool = False,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        if not by_epoch or not 0 <= warm_up <= T_max:
            raise InputError(
                "expected by_epoch=True and a warm_up of T_max at most in a param_scheduler of type "
                f"frozen_det.WarmUpCosineLR, got by_epoch={by_epoch}, {warm_up} and {T_max}. Correct "
                "them."
            )
        self.warm_up, self.start_lr, self.T_max = warm_up, start_lr, T_max
        self.eta_min, self.first = eta_min, warm_up if cosine_after else 0
        super().__init__(optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    def _get_value(self) -> list[float]:
        epoch = self.last_step
        if epoch < self.warm_up:
            return [self.start_lr + epoch * (base - self.start_lr) / self.warm_up for base in self.base_values]
        share = min((epoch - self.first) / max(self.T_max - self.first, 1), 1.0)
        return [self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * share)) / 2 for base in self.base_values]
