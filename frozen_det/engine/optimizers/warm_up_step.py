"""`frozen_det.WarmUpStepLR`: a linear warm-up, then a staircase, both counted in epochs, as TensorFlow's codes do.

Source: google-research/noisystudent (as the EfficientNet code it grew from): during the warm-up the rate is the base
rate times the share of it that is over, without decay; after it, the base rate times gamma for every period since the
start. Counted in epochs it does not depend on the number of processes or on accumulated steps.
"""

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ...errors import InputError
from ...registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmUpStepLR(LRSchedulerMixin, _ParamScheduler):
    """Rate ``base * t / warm_up`` before ``warm_up``, then ``base * gamma ** floor(t / step_size)``.

    Args:
        optimizer: or optimizer wrapper.
        warm_up, step_size: in epochs, fractions allowed, with ``convert_to_iter_based=True`` in the config (mmengine
            hands over the length of an epoch in iterations, whatever the processes); otherwise in iterations.
        gamma: factor for each period.
        begin, end, last_step, by_epoch, verbose: of mmengine's schedulers.

    Raises:
        InputError: counted once an epoch, which a fraction of an epoch cannot be; or step_size not above 0.
    """

    def __init__(
        self,
        optimizer,
        warm_up: float,
        step_size: float,
        gamma: float = 0.97,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        if by_epoch:
            raise InputError(
                "expected convert_to_iter_based=True beside by_epoch=True in a param_scheduler of type "
                "frozen_det.WarmUpStepLR, got a schedule that moves once an epoch. Add it."
            )
        if step_size <= 0 or warm_up < 0:
            raise InputError(
                f"expected step_size above 0 and warm_up of 0 or more in a param_scheduler of type "
                f"frozen_det.WarmUpStepLR, got {step_size} and {warm_up}. Correct them."
            )
        self.warm_up, self.step_size, self.gamma = warm_up, step_size, gamma
        super().__init__(optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(
        cls, *args, warm_up: float, step_size: float, begin=0, end=INF, by_epoch=True, epoch_length: int, **kwargs
    ):
        """The same schedule in iterations, for epochs of ``epoch_length`` of them."""
        return cls(
            *args,
            warm_up=warm_up * epoch_length,
            step_size=step_size * epoch_length,
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
            **kwargs,
        )

    def _get_value(self) -> list[float]:
        step = self.last_step
        factor = step / self.warm_up if step < self.warm_up else self.gamma ** int(step / self.step_size)
        return [base * factor for base in self.base_values]
