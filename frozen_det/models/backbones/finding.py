"""The frozen backbones of a model, for whatever serves all of them alike."""

from torch import nn

from .frozen_backbone import FrozenBackbone


def frozen_backbones(model: nn.Module) -> dict[str, FrozenBackbone]:
    """Every ``FrozenBackbone`` in a model by its module name, whether it freezes all, part or nothing."""
    return {name: part for name, part in model.named_modules() if isinstance(part, FrozenBackbone)}
