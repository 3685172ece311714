"""Activation checkpointing that leaves running statistics as one forward would: memory for time, nothing else.

``torch.utils.checkpoint`` runs a module twice, so a batch norm would fold the same batch into its running mean and
variance twice. Here the second run does not touch them.
"""

import contextlib

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@contextlib.contextmanager
def running_statistics_kept(module: nn.Module):
    """Inside, batch norms of ``module`` normalise as always but change neither running statistics nor counters."""
    norms = [m for m in module.modules()
             if isinstance(m, nn.modules.batchnorm._NormBase) and m.training and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        # Momentum 0 folds nothing in. The buffers must still be passed: checkpoint counts the saved tensors.
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def checkpointed(module: nn.Module, *args):
    """``module(*args)``, its inner activations dropped and recomputed in backward.

    Outputs, gradients, random draws and running statistics are those of a plain call. Without gradients it is a
    plain call.
    """
    if not torch.is_grad_enabled():
        return module(*args)

    def contexts():
        return contextlib.nullcontext(), running_statistics_kept(module)

    return checkpoint(module, *args, use_reentrant=False, context_fn=contexts)
