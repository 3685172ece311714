"""`frozen_det.NormStatisticsHook`: BatchNorms that several processes train end with one set of statistics.

Gradients are averaged over processes, running means and variances are not: without `sync_bn` every process keeps its
own, each validates its share of the images with other ones, and the checkpoint holds those of the first process.
Here they are averaged before each validation, each end of an epoch and each checkpoint between, those of averaged
weights (EMA) with them. Training itself never reads them, so no step changes. The average of the variances leaves out
how the means differ between processes; `sync_bn='torch'` (GPU only) has no such gap. Frozen norms, and norms that are
synchronised in every step, are left alone. Every run that this package starts has the hook, whatever `custom_hooks`
says (:func:`frozen_det.engine.runs.new_runner`).
"""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ...registry import HOOKS
from ...weights.whole_checkpoint import unwrapped


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

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Where checkpoints count iterations, before the one that is written now."""
        if any(_saves_now(hook, runner) for hook in runner.hooks if isinstance(hook, CheckpointHook)):
            self._average(runner)

    @staticmethod
    def _average(runner) -> None:
        if get_world_size() == 1:
            return
        model = unwrapped(runner.model)
        names = [name for name, norm in model.named_modules() if is_trained_norm(norm)]
        # An EMA hook holds its average beside the model; each process averaged its own statistics.
        models = [model, *(hook.ema_model.module for hook in runner.hooks if hasattr(hook, "ema_model"))]
        norms = [one.get_submodule(name) for one in models for name in names]
        average_over_processes([value for norm in norms for value in (norm.running_mean, norm.running_var)])


def _saves_now(hook: CheckpointHook, runner) -> bool:
    if hook.by_epoch:
        return False
    due = hook.every_n_train_iters(runner, hook.interval, getattr(hook, "save_begin", 0))
    return due or (hook.save_last and hook.is_last_train_iter(runner))


def is_trained_norm(module: nn.Module) -> bool:
    """Whether a module is a norm in training mode with running statistics of its own process."""
    return (
        isinstance(module, _NormBase)
        and module.training
        and not isinstance(module, nn.SyncBatchNorm)
        and module.running_mean is not None
    )


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
