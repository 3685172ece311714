"""A classifier as built by a source, and the head for backbones that have none: pooling and one linear layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError
from .base import Preprocess, on_meta


@dataclass
class Network:
    """A classifier and its description.

    Attributes:
        module: images (N, 3, H, W) -> logits (N, C); its state-dict keys are the library's.
        architecture: library and name, e.g. ``timm/resnet50``.
        head_names: state dict keys that depend on the number of classes or are initialised with the head.
        preprocess: the input that the library's weights expect; None if unknown.
    """

    module: nn.Module
    architecture: str
    head_names: frozenset[str]
    preprocess: Preprocess | None


def changing_names(build: Callable[[int], nn.Module], num_classes: int) -> frozenset[str]:
    """State dict keys whose shape depends on the number of classes, found by building twice on meta tensors."""
    shapes = [
        {name: value.shape for name, value in on_meta(lambda count=count: build(count))[0].state_dict().items()}
        for count in (num_classes, num_classes + 1)
    ]
    return frozenset(name for name, shape in shapes[0].items() if shapes[1].get(name) != shape)


def built(build: Callable[[], nn.Module], where: str, options: dict) -> nn.Module:
    """`build()`, with an error for unknown options.

    Args:
        build: calls the library's constructor with `options`.
        where: the architecture, for the message.
        options: of the config.

    Raises:
        InputError: the library does not accept the options.
    """
    try:
        return build()
    except TypeError as error:
        raise InputError(f"{where} does not take the options {options} of model.backbone: {error}.") from error


class PooledClassifier(nn.Module):
    """A backbone, the mean of its last feature over all positions, one linear layer.

    Args:
        body: images (N, 3, H, W) -> features, one or several (N, C, h, w), the deepest last.
        num_classes: number of logits.
    """

    def __init__(self, body: nn.Module, num_classes: int):
        super().__init__()
        if hasattr(body, "init_weights"):
            body.init_weights()  # mmdet's random initialisation; the config has no checkpoint
        self.body = body
        probe, device = body, next(body.parameters()).device
        training = probe.training
        probe.eval()
        with torch.no_grad():
            channels = self._last(probe(torch.zeros(1, 3, 64, 64, device=device))).shape[1]
        probe.train(training)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, H, W)
        """Logits (N, num_classes)."""
        return self.head(self._last(self.body(images)).mean((2, 3)))  # (N, num_classes)

    @staticmethod
    def _last(features) -> Tensor:
        return features if isinstance(features, Tensor) else features[-1]
