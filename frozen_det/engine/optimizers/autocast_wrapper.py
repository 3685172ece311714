"""`frozen_det.AutocastOptimWrapper`: mixed precision in bfloat16, on a GPU or a CPU, without a loss scale."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ...registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with the forward pass under torch's autocast to bfloat16, on the model's own device.

    bfloat16 has the range of float32, so no gradient vanishes or overflows for want of a loss scale: no step is
    skipped, and none has to be asked, back from the GPU, whether it overflowed. mmengine's AmpOptimWrapper scales
    losses and refuses to run on a CPU.

    Args:
        kwargs: those of mmengine's OptimWrapper: ``optimizer``, ``clip_grad``, ``accumulative_counts``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a step's forward pass.

        Args:
            model: on the device whose autocast is switched on.
        """
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
