"""`frozen_det.WarmUpCosineLR`: a linear warm-up from a given rate, then a cosine, counted as timm counts.

timm, scheduler/cosine_lr.py: epoch t has ``start + t * (base - start) / warm_up`` before ``warm_up``, then the cosine
of ``t / length``, counted from epoch 0, so that it begins a little below the base rate. mmengine's LinearLR reaches the
base rate an epoch earlier (`end` is one behind the place of its last factor): a quarter more in that epoch.

With ``convert_to_iter_based=True`` the same in iterations, for a warm-up that is a share of the run. LinearLR is not
for that: of a warm-up shorter than two iterations it makes an error, or a run at its first rate.
"""

import math

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ...errors import InputError
from ...registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmUpCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Rates by epoch, or by iteration.

    Args:
        optimizer: or optimizer wrapper.
        warm_up: epochs of the warm-up; fractions with ``convert_to_iter_based=True``, rounded down to iterations.
        start_lr: rate at the beginning, as it is, whatever the batch.
        T_max: epochs of the cosine from epoch 0 on, the run's length.
        eta_min: rate at the end.
        cosine_after: the cosine begins where the warm-up ends (torchvision's recipes, timm's ``--warmup-prefix``) and
            ends at ``T_max``.
        begin, end, last_step, by_epoch, verbose: of mmengine's schedulers; with ``by_epoch=False`` all is counted in
            iterations.

    Raises:
        InputError: a warm-up that is longer than the run, or a fraction of what is counted.
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
        if not 0 <= warm_up <= T_max or warm_up != int(warm_up):
            raise InputError(
                "expected a whole warm_up of T_max at most in a param_scheduler of type frozen_det.WarmUpCosineLR, got "
                f"{warm_up} and {T_max}. Correct them; fractions of an epoch need convert_to_iter_based=True."
            )
        self.warm_up, self.start_lr, self.T_max = warm_up, start_lr, T_max
        self.eta_min, self.first = eta_min, warm_up if cosine_after else 0
        super().__init__(optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args,
        warm_up: float,
        T_max: int,
        begin=0,
        end=INF,
        by_epoch=True,
        epoch_length: int,
        **kwargs,  # noqa: N803
    ):
        """The same schedule in iterations, for epochs of ``epoch_length`` of them."""
        return cls(
            *args,
            warm_up=int(warm_up * epoch_length),
            T_max=T_max * epoch_length,
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
            **kwargs,
        )

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step < self.warm_up:
            return [self.start_lr + step * (base - self.start_lr) / self.warm_up for base in self.base_values]
        share = min((step - self.first) / max(self.T_max - self.first, 1), 1.0)
        return [self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * share)) / 2 for base in self.base_values]
