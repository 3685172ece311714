"""Dropout and stochastic depth in networks whose library has no arguments for them; names of weights stay.

Both are hooks on modules that are there already. timm's networks have ``drop_rate`` and ``drop_path_rate`` of their
own, which are to be used instead. Refuses patterns that fit nothing.
"""

from fnmatch import fnmatch
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import stochastic_depth

from ..errors import InputError


def add_dropout(network: nn.Module, head_names, rate: float) -> None:
    """Drop inputs of the last linear layer, in training alone.

    Args:
        network: a classifier.
        head_names: state-dict keys of its head, such as ``linear.weight``.
        rate: share that is dropped, in [0, 1).

    Raises:
        InputError: a bad rate, or a head that is not one module.
    """
    _check(rate, "model.noise.dropout")
    owners = {name.rpartition(".")[0] for name in head_names}
    if len(owners) != 1:
        raise InputError(f"expected one layer to drop inputs of, got {sorted(owners)} (model.noise.dropout); use the "
                         "library's own argument in model.backbone.")
    network.get_submodule(owners.pop()).register_forward_pre_hook(partial(_dropout, rate))


def add_stochastic_depth(network: nn.Module, branches: str, rate: float) -> list[float]:
    """Leave out residual branches of some samples, in training alone (Huang et al., arXiv 1603.09382, eq. 4).

    Args:
        network: a residual network.
        branches: shell pattern of the modules whose output is added to the shortcut, e.g. ``layer*.*.bn2``.
        rate: probability to leave out the last of them; the l-th of L is left out with ``rate * l / L``. (The
            released code of Noisy Student and timm have l from 0, which makes the last one 0.1875 for 0.2 and L=16.)

    Returns:
        the rates, in order.

    Raises:
        InputError: a bad rate, or a pattern that fits nothing.
    """
    _check(rate, "model.noise.stochastic_depth")
    found = [(name, module) for name, module in network.named_modules() if fnmatch(name, branches)]
    if not found:
        names = [name for name, _ in network.named_modules()][1:6]
        raise InputError(f"model.noise.branches={branches!r} fits no module; the first are {names}.")
    rates = [rate * (place + 1) / len(found) for place in range(len(found))]
    for (_, module), own in zip(found, rates):
        module.register_forward_hook(partial(_depth, own))
    return rates


def _dropout(rate: float, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.dropout(inputs[0], rate, module.training), *inputs[1:])


def _depth(rate: float, module: nn.Module, inputs, output: Tensor) -> Tensor:
    return stochastic_depth(output, rate, "row", module.training)


def _check(rate: float, key: str) -> None:
    if not 0 <= rate < 1:
        raise InputError(f"expected a share in [0, 1) at {key}, got {rate!r}.")
