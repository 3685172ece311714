"""Parallel 1x1 adapters: `y = W * x + A * x`, A initialised to zero. Kernels without a centre element do not fit.

Rebuffi, Bilen, Vedaldi, "Efficient parametrization of multi-domain deep neural networks", CVPR 2018 (released code:
models.py, `parallel_adapters`): parallel to each 3x3 convolution, no bias, no norm of its own, same stride. The
reference is initialised from N(0, sqrt(2 / C_out)) and trains the norms. Here the default is zero, so that step 0
equals the frozen model, with frozen norms; both are options.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from ...ops.merging import fold_parallel
from ...registry import ADAPTERS
from .base import Adapter, initialise, plain_layer_reason, pointwise_layer
from .geometry import Geometry
from .target_layers import Site


@ADAPTERS.register_module(name="parallel")
class ParallelAdapter(Adapter):
    """A 1x1 layer parallel to a convolution or linear layer.

    Args:
        base, site: the layer and its description.
        init: 'zero' or 'normal' (the reference's).
        groups: 'dense' (as in the paper), or 'same' to follow a grouped convolution, which then can be merged.
        dropout: probability that a channel of the adapter's input is dropped in training (reference: 0 or 0.5).
    """

    default_roles = ("conv3x3", "grouped", "pointwise")

    def __init__(self, base: nn.Module, site: Site, init: str = "zero", groups: str = "dense", dropout: float = 0.0):
        super().__init__()
        if groups not in ("dense", "same"):
            raise InputError(f"expected 'dense' or 'same' in model.backbone.adapters.groups, got {groups!r}.")
        self.geometry = None if isinstance(base, nn.Linear) else Geometry.of(base)
        count = getattr(base, "groups", 1) if groups == "same" else 1
        self.mix = pointwise_layer(base, site.in_channels, site.out_channels, groups=count)
        self.dropout = dropout
        initialise(self.mix, init)

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        if isinstance(base, nn.Conv2d) and not Geometry.of(base).has_centre:
            return f"a {site.layer} kernel has no centre element"
        return None

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        if self.geometry is not None:
            inputs = self.geometry.centres(inputs, tuple(outputs.shape[2:]))  # (N, C_in, H_out, W_out)
            if self.dropout:
                inputs = F.dropout2d(inputs, self.dropout, self.training)
        elif self.dropout:
            inputs = F.dropout(inputs, self.dropout, self.training)
        return outputs + self.mix(inputs)

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        if getattr(base, "groups", 1) != getattr(self.mix, "groups", 1):
            what = "depthwise" if base.groups == base.in_channels else f"convolution in {base.groups} groups"
            return f"a dense 1x1 does not fit into a {what} kernel"
        return plain_layer_reason(base)

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return fold_parallel(weight, self.mix.weight.detach().to(weight)), None
