"""The interface of an adapter, and the hook that puts it beside a site without renaming anything.

A kind is one class: it says where it fits, computes, and says how it folds into its site's weights or why it cannot.
Base modules keep their places and names. The adapter stands in the backbone under `adapters.<site>`, and the site
carries a :class:`SiteHook`, an object that refers to it: `copy.deepcopy` and pickling follow that reference, so that
a copy's hook points at the copy's adapter (a closure would point at the old one).
"""

from torch import Tensor, nn

from ...errors import InputError
from .target_layers import Site

# Layers whose output is exactly `weight * input + bias`; subclasses may compute another weight on the fly.
_PLAIN_LAYERS = ("Conv2d", "Conv2dSame", "Linear")


class Adapter(nn.Module):
    """A trainable change of one site's output.

    Subclasses set `default_roles`, take `(base, site, **options)`, and implement :meth:`unfit_reason`,
    :meth:`forward`, and, if they are linear, :meth:`unmergeable_reason` and :meth:`fold`.

    Attributes:
        merged: the site's weights already contain this adapter; the hook leaves the output alone.
    """

    default_roles: tuple[str, ...] = ()

    def __init__(self):
        super().__init__()
        self.merged = False

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        """Why this kind cannot stand at `site` (the layer `base`); None if it can."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The site's new output, of the shape of `outputs`.

        Args:
            inputs: (N, C_in, H, W) of a convolution, (..., C_in) of a linear layer.
            outputs: what the site gave for them.
        """
        raise NotImplementedError

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        """Why this adapter cannot become part of the layer `base`; None if :meth:`fold` can do it."""
        return f"{type(self).__name__} is not linear"

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The site's weight with the adapter in it, and the constant its output gains (None for none); float64."""
        raise NotImplementedError


class SiteHook:
    """Forward hook of a site: hands input and output to the adapter."""

    def __init__(self, adapter: Adapter):
        self.adapter = adapter

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        if self.adapter.merged:
            return output
        return self.adapter(args[0], output)


def pointwise_layer(
    base: nn.Module, in_channels: int, out_channels: int, stride=1, groups: int = 1, bias: bool = False
) -> nn.Module:
    """A 1x1 convolution, or a linear layer where the site is one."""
    if isinstance(base, nn.Linear):
        return nn.Linear(in_channels, out_channels, bias=bias)
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, groups=groups, bias=bias)


def initialise(layer: nn.Module, init: str) -> None:
    """Start of a 1x1 layer: 'zero', or 'normal', the reference's N(0, sqrt(2 / (k^2 C_out))) with k = 1.

    Raises:
        InputError: another name.
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
    """Why `base` does not multiply its input by its stored weight; None if it does."""
    if type(base).__name__ not in _PLAIN_LAYERS:
        return f"{type(base).__name__} may compute another weight from the stored one (as weight standardisation does)"
    if hasattr(base, "parametrizations"):
        return "its weight is parametrised"
    return None
