"""The interface of an adapter, and the hook that applies it to a target layer without renaming anything.

A kind is one class: it defines which layers fit, the forward pass, and how (or why not) it folds into the layer's
weights. Base modules keep their names. The adapter is registered in the backbone as `adapters.<layer name>`, and the
layer has a :class:`SiteHook`, an object that refers to it: `copy.deepcopy` and pickling follow that reference, so that
a copy's hook points to the copy's adapter (a closure would point to the original).
"""

from torch import Tensor, nn

from ...errors import InputError
from .target_layers import Site

# Layers whose output is exactly `weight * input + bias`; subclasses may compute another weight on the fly.
_PLAIN_LAYERS = ("Conv2d", "Conv2dSame", "Linear")


class Adapter(nn.Module):
    """A trainable change of one layer's output.

    Subclasses set `default_roles`, take `(base, site, **options)`, and implement :meth:`unfit_reason`,
    :meth:`forward`, and, if they are linear, :meth:`unmergeable_reason` and :meth:`fold`.

    Attributes:
        merged: whether the layer's weights contain this adapter; if so, the hook returns the output unchanged.
    """

    default_roles: tuple[str, ...] = ()

    def __init__(self):
        super().__init__()
        self.merged = False

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        """Why this kind cannot be used at `site` (the layer `base`); None if it can."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The layer's new output, of the shape of `outputs`.

        Args:
            inputs: of the layer: (N, C_in, H, W) of a convolution, (..., C_in) of a linear layer.
            outputs: of the layer.
        """
        raise NotImplementedError

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        """Why this adapter cannot be merged into the layer `base`; None if it can (:meth:`fold`)."""
        return f"{type(self).__name__} is not linear"

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The layer's weight with the adapter merged, and the constant added to its output (or None); float64."""
        raise NotImplementedError


class SiteHook:
    """Forward hook of a target layer: passes input and output to the adapter."""

    def __init__(self, adapter: Adapter):
        self.adapter = adapter

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        if self.adapter.merged:
            return output
        return self.adapter(args[0], output)


def pointwise_layer(
    base: nn.Module, in_channels: int, out_channels: int, stride=1, groups: int = 1, bias: bool = False
) -> nn.Module:
    """A 1x1 convolution, or a linear layer if `base` is one."""
    if isinstance(base, nn.Linear):
        return nn.Linear(in_channels, out_channels, bias=bias)
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, groups=groups, bias=bias)


def initialise(layer: nn.Module, init: str) -> None:
    """Initialise a 1x1 layer: 'zero', or 'normal', the reference's N(0, sqrt(2 / (k^2 C_out))) with k = 1.

    Raises:
        InputError: an unknown name.
    """
    if init == "zero":
        nn.init.zeros_(layer.weight)
    elif init == "normal":
        nn.init.normal_(layer.weight, std=(2 / layer.weight.shape[0]) ** 0.5)
    else:
        raise InputError(f"expected 'zero' or 'normal' in model.backbone.adapters.init, got {init!r}.")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def plain_layer_reason(base: nn.Module) -> str | None:
    """Why `base` does not use its stored weight as it is; None if it does."""
    if type(base).__name__ not in _PLAIN_LAYERS:
        return f"{type(base).__name__} may compute another weight from the stored one (as weight standardisation does)"
    if hasattr(base, "parametrizations"):
        return "its weight is parametrised"
    return None
