"""A tiny backbone for tests of checkpoint loading: two levels of names, a norm that counts steps."""

import torch
from torch import nn


class Net(nn.Module):
    """Nine entries: a stem, a stage with a convolution and a norm."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.stages = nn.Sequential(nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)))


def state_of(net: nn.Module) -> dict:
    """A copy of a network's state."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_equal(net: nn.Module, state: dict) -> None:
    """Every entry of the network is the state's."""
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


def behind(prefix: str, state: dict) -> dict:
    """The state under a prefix."""
    return {prefix + name: value for name, value in state.items()}
