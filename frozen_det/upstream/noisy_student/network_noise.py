"""Dropout, stochastic depth and DropBlock in networks whose library has no arguments for them; names of weights stay.

All are hooks on modules that are there already. timm's networks have ``drop_rate`` and ``drop_path_rate`` of their
own, which are to be used instead. Refuses patterns that fit nothing.
"""

from fnmatch import fnmatch
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import stochastic_depth

from ...errors import InputError


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
        raise InputError(
            f"expected one layer to drop inputs of, got {sorted(owners)} (model.noise.dropout); use the "
            "library's own argument in model.backbone."
        )
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
    found = _branches(network, branches)
    rates = [rate * (place + 1) / len(found) for place in range(len(found))]
    for module, own in zip(found, rates):
        module.register_forward_hook(partial(_depth, own))
    return rates


def add_drop_block(network: nn.Module, branches: str, rate: float, block_size: int) -> None:
    """Blank squares of feature maps, in training alone (Ghiasi et al., arXiv 1810.12890, algorithm 1).

    torchvision's function takes odd sides only; CutMix's comparison has 4.

    Args:
        network: a residual network.
        branches: shell pattern of the modules whose output loses squares, drawn for each image and channel.
        rate: share of a map that is blanked, in expectation; 0.1 is the paper's ``keep_prob`` 0.9.
        block_size: side of a square in cells of the map.

    Raises:
        InputError: a bad rate or size, or a pattern that fits nothing.
    """
    _check(rate, "model.noise.drop_block")
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise InputError(f"expected a whole number of cells from 1 on at model.noise.block_size, got {block_size!r}.")
    for module in _branches(network, branches):
        module.register_forward_hook(partial(_drop_block, rate, block_size))


def _branches(network: nn.Module, pattern: str) -> list[nn.Module]:
    found = [module for name, module in network.named_modules() if fnmatch(name, pattern)]
    if not found:
        names = [name for name, _ in network.named_modules()][1:6]
        raise InputError(f"model.noise.branches={pattern!r} fits no module; the first are {names}.")
    return found


def _dropout(rate: float, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.dropout(inputs[0], rate, module.training), *inputs[1:])


def _depth(rate: float, module: nn.Module, inputs, output: Tensor) -> Tensor:
    return stochastic_depth(output, rate, "row", module.training)


def _drop_block(rate: float, block_size: int, module: nn.Module, inputs, output: Tensor) -> Tensor:
    return drop_block(output, rate, block_size) if module.training else output


def drop_block(maps: Tensor, rate: float, block_size: int) -> Tensor:
    """Maps (N, C, H, W) without squares, the rest scaled up so that the share that is left makes no difference.

    Args:
        rate, block_size: as in :func:`add_drop_block`; a square is at most as large as the map.
    """
    height, width = maps.shape[-2:]
    side = min(block_size, height, width)
    places = (height - side + 1, width - side + 1)  # of a square's first cell
    share = rate * height * width / (side**2 * places[0] * places[1])
    first = torch.empty((*maps.shape[:2], *places), dtype=maps.dtype, device=maps.device).bernoulli_(min(share, 1.0))
    blank = F.max_pool2d(F.pad(first, [side - 1] * 4), side, stride=1)  # (N, C, H, W)
    kept = 1 - blank
    return maps * kept * (kept.numel() / kept.sum().clamp_min(1))


def _check(rate: float, key: str) -> None:
    if not 0 <= rate < 1:
        raise InputError(f"expected a share in [0, 1) at {key}, got {rate!r}.")
