"""Series 1x1 adapters: `y = z + A * norm(z)` on a layer's output z, A initialised to zero.

Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual adapters", NIPS 2017, equation (4), is
`z + A * z` (`norm=False`); the code released with the 2018 paper puts a BatchNorm of its own before A (`norm=True`,
the default here, live statistics). The authors report series adapters far below parallel ones on a pretrained
network (70.7 against 80.6 on CIFAR-100 from ImageNet), so start with `parallel`.
"""

from torch import Tensor, nn

from ...ops.merging import fold_series, norm_scale_shift
from ...registry import ADAPTERS
from .base import Adapter, initialise, plain_layer_reason, pointwise_layer
from .target_layers import Site


@ADAPTERS.register_module(name="series")
class SeriesAdapter(Adapter):
    """A residual 1x1 layer after a convolution or linear layer.

    Args:
        base, site: the layer and its description.
        init: 'zero' or 'normal' (the reference's).
        norm: whether a BatchNorm precedes the 1x1 layer; after a linear layer there is never one.
    """

    default_roles = ("conv3x3", "grouped", "pointwise")

    def __init__(self, base: nn.Module, site: Site, init: str = "zero", norm: bool = True):
        super().__init__()
        self.norm = nn.BatchNorm2d(site.out_channels) if norm and isinstance(base, nn.Conv2d) else nn.Identity()
        self.mix = pointwise_layer(base, site.out_channels, site.out_channels)
        initialise(self.mix, init)

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        return None

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        return outputs + self.mix(self.norm(outputs))

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        if getattr(base, "groups", 1) > 1:
            return "a dense 1x1 after a convolution in groups is not a convolution in groups"
        return plain_layer_reason(base)

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        scale = shift = None
        if isinstance(self.norm, nn.BatchNorm2d):
            norm = self.norm
            scale, shift = norm_scale_shift(
                norm.running_mean.to(weight),
                norm.running_var.to(weight),
                norm.eps,
                norm.weight.detach().to(weight),
                norm.bias.detach().to(weight),
            )
        mix = self.mix.weight.detach().to(weight).flatten(1)  # (C, C)
        return fold_series(weight, bias, mix, scale, shift)
