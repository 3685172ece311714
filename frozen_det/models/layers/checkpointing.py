"""Activation checkpointing that leaves running statistics as one forward would: memory for time, nothing else.

``torch.utils.checkpoint`` runs a module twice, so a batch norm would fold the same batch into its running mean and
variance twice. Here the second run does not touch them.
"""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from ...errors import InputError
from ...host.torch_versions import TORCH


@contextlib.contextmanager
def running_statistics_kept(module: nn.Module):
    """Inside, batch norms of ``module`` normalise as always but change neither running statistics nor counters."""
    norms = [
        m
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._NormBase) and m.training and m.track_running_stats
    ]
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


def checkpointed(function: Callable, *args, owner: nn.Module | None = None, early_stop: bool = False):
    """``function(*args)``, its inner activations dropped and recomputed in backward.

    Outputs, gradients, random draws and running statistics are those of a plain call. Without gradients it is a
    plain call.

    Args:
        function: a module, or a function of modules inside ``owner``.
        args: its tensors; these are kept.
        owner: holds the batch norms that ``function`` runs; by default ``function`` itself.
        early_stop: end the recomputation with the last tensor that backward needs.

    Raises:
        InputError: meta tensors, with a torch that cannot recompute on them.
    """
    if not torch.is_grad_enabled():
        return function(*args)

    def contexts():
        return contextlib.nullcontext(), running_statistics_kept(owner or function)

    if TORCH < (2, 4) and any(isinstance(arg, torch.Tensor) and arg.is_meta for arg in args):
        raise InputError(
            f"expected torch 2.4 or newer to count what recomputed layers keep without running them, got "
            f"{torch.__version__}. Give real tensors, or leave recomputation out."
        )
    with set_checkpoint_early_stop(early_stop):  # an argument of checkpoint() in newer versions alone
        return checkpoint(function, *args, use_reentrant=False, context_fn=contexts)


def run_keeping_convolutions_only(layers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """``layers`` one after the other on ``x`` (N, C, H, W); for backward, only outputs of convolutions are kept.

    Of conv -> norm -> activation three maps are kept in a plain run (the norm's input, the activation's, the next
    convolution's). Here norm and activation, cheap beside a 3x3 convolution, run again in backward; no convolution
    does.

    Args:
        layers: modules with ``conv`` and ``norm_act``, such as ConvNormAct.
    """
    if not layers:
        return x
    x = layers[0].conv(x)
    for layer, following in zip(layers, [*layers[1:], None]):

        def rest(y, layer=layer, following=following):
            y = layer.norm_act(y)
            return y if following is None else following.conv(y)

        # The convolution's input is the last tensor needed, so stopping there spares the convolution itself.
        x = checkpointed(rest, x, owner=layer, early_stop=True)
    return x
