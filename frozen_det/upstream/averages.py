"""`frozen_det.WarmUpAverage`: averaged weights that follow closely at first, as TensorFlow's do.

With a plain average of decay 0.9999 a run of a few thousand steps would hand over mostly its random initialisation.
"""

from mmengine.model import ExponentialMovingAverage
from torch import Tensor

from ..registry import MODELS


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
