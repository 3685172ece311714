"""`frozen_det.NormStatisticsHook`: BatchNorms that several processes train end with one set of statistics.

Gradients are averaged over processes, running means and variances are not: without `sync_bn` every process keeps its
own, each validates its share of the images with other ones, and the checkpoint holds those of the first process.
Here they are averaged before each validation and each end of an epoch. Training itself never reads them, so no step
changes. The average of the variances leaves out how the means differ between processes; `sync_bn='torch'` (GPU only)
has no such gap. Frozen norms, and norms that are synchronised in every step, are left alone.
"""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ...registry import HOOKS


@HOOKS.register_module()
class NormStatisticsHook(Hook):
    """Averages the running statistics of norms that train over all processes; nothing in a single one."""

    # Before the proof, the validation and the checkpoint of the same moment.
    priority = "VERY_HIGH"

    def before_val_epoch(self, runner) -> None:
        """For loops that count iterations; the model is still in training mode here."""
        self._average(runner)

    def after_train_epoch(self, runner) -> None:
        """Before the host writes its checkpoint."""
        self._average(runner)

    @staticmethod
    def _average(runner) -> None:
        if get_world_size() > 1:
            average_over_processes(
                [value for norm in trained_norms(runner.model) for value in (norm.running_mean, norm.running_var)]
            )


def trained_norms(model: nn.Module) -> list[nn.Module]:
    """Norms in training mode with running statistics of their own."""
    return [
        norm
        for norm in model.modules()
        if isinstance(norm, _NormBase)
        and norm.training
        and not isinstance(norm, nn.SyncBatchNorm)
        and norm.running_mean is not None
    ]


def average_over_processes(tensors: list[Tensor]) -> None:
    """Replace each floating tensor by its mean over all processes, in one exchange.

    Args:
        tensors: Of one dtype and device, the same shapes in every process.
    """
    if not tensors:
        return
    joined = torch.cat([tensor.reshape(-1) for tensor in tensors])
    all_reduce(joined, op="mean")
    for tensor, mean in zip(tensors, joined.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.reshape(tensor.shape))
