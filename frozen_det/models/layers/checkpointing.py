"""Activation checkpointing that updates BatchNorm statistics once, as a plain forward pass does.

``torch.utils.checkpoint`` runs a module twice, so a BatchNorm would update its running mean and variance twice with
the same batch. Here the recomputation does not update them.
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
    """Context in which BatchNorms of ``module`` use batch statistics but do not update running statistics."""
    norms = [
        m
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._NormBase) and m.training and m.track_running_stats
    ]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        # Momentum 0 updates nothing. The buffers must still be passed: checkpoint counts the saved tensors.
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def checkpointed(function: Callable, *args, owner: nn.Module | None = None, early_stop: bool = False):
    """``function(*args)`` with activation checkpointing: inner activations are recomputed in backward.

    Outputs, gradients, random numbers and running statistics equal those of a plain call. With gradients disabled it
    is a plain call.

    Args:
        function: a module, or a function that runs submodules of ``owner``.
        args: input tensors; stored for backward.
        owner: module with the BatchNorms that ``function`` runs; ``function`` itself by default.
        early_stop: stop the recomputation at the last tensor that backward needs.

    Returns:
        The output of ``function``.

    Raises:
        InputError: meta tensors with torch below 2.4, which cannot recompute on them.
    """
    if not torch.is_grad_enabled():
        return function(*args)

    def contexts():
        return contextlib.nullcontext(), running_statistics_kept(owner or function)

    if TORCH < (2, 4) and any(isinstance(arg, torch.Tensor) and arg.is_meta for arg in args):
        raise InputError(
            f"expected torch 2.4 or newer for activation checkpointing on meta tensors, got {torch.__version__}. "
            "Use real tensors, or turn activation checkpointing off."
        )
    with set_checkpoint_early_stop(early_stop):  # an argument of checkpoint() in newer versions alone
        return checkpoint(function, *args, use_reentrant=False, context_fn=contexts)


def run_keeping_convolutions_only(layers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Run ``layers`` in sequence; only the outputs of convolutions are stored for backward.

    A plain run of conv -> norm -> activation stores three maps: the inputs of the norm, of the activation and of the
    next convolution. Here norms and activations, which are cheap next to a 3x3 convolution, are recomputed in
    backward; convolutions are not.

    Args:
        layers: modules with ``conv`` and ``norm_act``, such as ConvNormAct.
        x: (N, C_in, H, W).

    Returns:
        (N, C_out, H, W).
    """
    if not layers:
        return x
    x = layers[0].conv(x)
    for layer, following in zip(layers, [*layers[1:], None]):

        def rest(y, layer=layer, following=following):
            y = layer.norm_act(y)
            return y if following is None else following.conv(y)

        # The convolution's input is the last tensor needed, so stopping there skips the convolution itself.
        x = checkpointed(rest, x, owner=layer, early_stop=True)
    return x
