"""Averaged weights: `frozen_det.WarmUpAverage` follows closely at first, `frozen_det.EMAHook` counts updates.

With a plain average of decay 0.9999 a run of a few thousand steps would consist mostly of its random initialisation.
"""

from mmengine.hooks import EMAHook as HostEMAHook
from mmengine.model import ExponentialMovingAverage
from torch import Tensor

from ...registry import HOOKS, MODELS


@MODELS.register_module()
class WarmUpAverage(ExponentialMovingAverage):
    """Decay ``min(1 - momentum, (1 + n) / (10 + n))`` at update n, that of ``tf.train.ExponentialMovingAverage``.

    Noisy Student averages with 0.9999 (``momentum=1e-4``), statistics of batch norms included
    (``update_buffers=True``); ``EMAHook(ema_type='frozen_det.WarmUpAverage', ...)`` stores the average as the
    checkpoint's ``state_dict``, so it is what a teacher labels with and what is handed over.

    Args:
        momentum: one minus the final decay, in (0, 1).
        others: of mmengine's ``ExponentialMovingAverage``.
    """

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        """Move the average towards `source_param`, in place."""
        averaged_param.lerp_(source_param, max(self.momentum, 1 - (1 + steps) / (10 + steps)))


@HOOKS.register_module()
class EMAHook(HostEMAHook):
    """mmengine's EMAHook over updates of the weights, not over iterations.

    Where gradients are accumulated, most iterations move nothing: mmengine averages after each of them, so that a decay
    of 0.9999 forgets as many times faster as steps are accumulated. Arguments as in mmengine; `interval` counts
    updates.
    """

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not self._ema_started(runner) or runner.optim_wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
