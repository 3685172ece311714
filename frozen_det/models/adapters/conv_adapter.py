"""Conv-Adapter: `y = W * x + s (P * act(D * x))`, D depthwise with the layer's kernel size. Cannot be merged.

Chen et al., "Conv-Adapter: Exploring Parameter Efficient Transfer Learning for ConvNets", arXiv 2208.07463; released
code: models/tuning_modules/conv_adapter.py, `ConvAdapter` with `adapt_size` 8, ReLU in ResNets, GELU in ConvNeXt. It
is parallel to each k x k convolution, before the norm ("convolution parallel"); the released bottleneck adds it one
norm and ReLU later. P is initialised to zero here, so that step 0 equals the frozen model; the reference's is random.
"""

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...registry import ADAPTERS
from .base import Adapter
from .geometry import Geometry
from .target_layers import Site

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


@ADAPTERS.register_module(name="conv_adapter")
class ConvAdapter(Adapter):
    """A narrow depthwise-separable branch parallel to a convolution with a spatial kernel.

    Args:
        base, site: the layer and its description.
        init: 'zero' or 'normal' (torch's default initialisation, as in the reference).
        reduction: width is the largest divisor of C_in up to C_in / reduction.
        activation: 'relu', 'gelu' or 'silu'.
    """

    default_roles = ("conv3x3", "grouped", "depthwise")

    def __init__(self, base: nn.Module, site: Site, init: str = "zero", reduction: float = 8, activation: str = "relu"):
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise InputError(
                f"expected one of {sorted(_ACTIVATIONS)} in model.backbone.adapters.activation, got {activation!r}."
            )
        if init not in ("zero", "normal"):
            raise InputError(f"expected 'zero' or 'normal' in model.backbone.adapters.init, got {init!r}.")
        self.geometry = Geometry.of(base)
        width = _width(site.in_channels, reduction)
        self.reduce = nn.Conv2d(site.in_channels, width, base.kernel_size, base.stride, 0, base.dilation, groups=width)
        self.activation = _ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(width, site.out_channels, 1)
        self.scale = nn.Parameter(torch.ones(1, site.out_channels, 1, 1))
        if init == "zero":
            nn.init.zeros_(self.expand.weight)
            nn.init.zeros_(self.expand.bias)

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        if isinstance(base, nn.Linear) or max(base.kernel_size) == 1:
            return f"it needs a k x k convolution; this is {site.layer}"
        return None

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        narrow = self.activation(self.reduce(self.geometry.padded(inputs)))  # (N, width, H_out, W_out)
        return outputs + self.scale * self.expand(narrow)

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        return "it contains an activation, so it is not linear"


def _width(channels: int, reduction: float) -> int:
    """The largest divisor of `channels` that is at most `channels / reduction`, and at least 1."""
    wanted = max(1, int(channels / reduction))
    return next(width for width in range(wanted, 0, -1) if channels % width == 0)
