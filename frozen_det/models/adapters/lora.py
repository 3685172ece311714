"""LoRA: `y = W x + (alpha / r) B A x`, B initialised to zero, for linear layers and 1x1 convolutions.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1; A is initialised as in the
released code (Kaiming uniform with a = sqrt(5)). A fused qkv layer gets one low-rank update for all three.
"""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from ...ops.merging import fold_low_rank
from ...registry import ADAPTERS
from .base import Adapter, initialise, plain_layer_reason, pointwise_layer
from .target_layers import Site


@ADAPTERS.register_module(name="lora")
class LoRA(Adapter):
    """A low-rank branch parallel to a linear layer or a 1x1 convolution.

    Args:
        base, site: the layer and its description.
        init: 'zero' (B) or 'normal'.
        rank: r, at least 1.
        alpha: the branch is scaled by alpha / rank; None for alpha = rank.
        dropout: of the branch's input in training.
    """

    default_roles = ("attention", "mlp", "pointwise", "bottleneck")

    def __init__(
        self,
        base: nn.Module,
        site: Site,
        init: str = "zero",
        rank: int = 8,
        alpha: float | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if rank < 1:
            raise InputError(f"expected a rank of at least 1 in model.backbone.adapters.rank, got {rank}.")
        stride = getattr(base, "stride", 1)
        self.down = pointwise_layer(base, site.in_channels, rank, stride)
        self.up = pointwise_layer(base, rank, site.out_channels)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        initialise(self.up, init)
        self.scaling = 1.0 if alpha is None else alpha / rank
        self.dropout = dropout

    @classmethod
    def unfit_reason(cls, site: Site, base: nn.Module) -> str | None:
        if isinstance(base, nn.Linear):
            return None
        if max(base.kernel_size) > 1 or base.groups > 1 or base.padding not in ((0, 0), "valid", "same"):
            return f"it needs a linear layer or a dense 1x1 convolution; this is {site.layer}"
        return None

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        if self.dropout:
            inputs = F.dropout(inputs, self.dropout, self.training)
        return outputs + self.scaling * self.up(self.down(inputs))

    def unmergeable_reason(self, base: nn.Module) -> str | None:
        return plain_layer_reason(base)

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        down, up = (layer.weight.detach().to(weight) for layer in (self.down, self.up))
        return fold_low_rank(weight, down, up, self.scaling), None
