"""ViTDet's simple feature pyramid: every level directly from one map of one stride. Refuses several input maps.

Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection" (arXiv 2203.16527), section 3 and
appendix A.1: finer levels by 2x2 transposed convolutions of stride 2, norm and GELU between two of them, coarser ones
by max-pooling, then on every level a 1x1 and a 3x3 convolution, each followed by LayerNorm over the channels, no
activation. Levels are not fused. Details that the paper leaves open follow the authors' code (`SimpleFeaturePyramid`
and `LastLevelMaxPool` of detectron2): every transposed convolution halves the channels and has a bias, the other
convolutions have none under a norm, LayerNorm's eps is 1e-6, levels beyond the pyramid take every second cell of the
last.

Departures: any power of two is a scale, odd maps are pooled with the last row and column kept (so that cell i of a
level stays over the same pixels), and `reduce_channels` narrows a wide input (several blocks concatenated) first.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from ...errors import InputError
from ...registry import MODELS
from ..layers.conv_norm_act import build_activation, build_norm

CHANNEL_LAYER_NORM = dict(type="frozen_det.LN2d", eps=1e-6)
"""ViTDet's norm in necks and heads."""

GELU = dict(type="GELU")


@MODELS.register_module(name="LN2d")
class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of every cell: (N, C, H, W) -> the same. Batch and image size leave it alone.

    Args:
        num_features: channels C.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, eps: float = 1e-6):
        super().__init__(num_features, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, H, W)
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (N, C, H, W)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """One map in, a pyramid out.

    Args:
        in_channels: channels of the backbone's one map, as a list of one number.
        out_channels: channels of every output map.
        scale_factors: size of each level relative to the input map, powers of two, finest first. The default gives
            strides 4, 8, 16 and 32 from a map of stride 16; ``(1, 0.5)`` from a map of stride 8 gives 8 and 16.
        num_outs: output maps; those beyond ``scale_factors`` take every second cell of the one before. None: none.
        reduce_channels: width to which a 1x1 convolution with norm brings the input first; None leaves it out. A
            transposed convolution on C channels has 2 C^2 weights: 18.9 M for four blocks of 768 concatenated.
        norm_cfg: after every convolution and between transposed ones; None leaves it out and gives biases.
        act_cfg: between transposed convolutions.
        init_cfg: mmengine's; None keeps PyTorch's own initial weights, as the authors do.

    Raises:
        InputError: several input maps, scales that are not descending powers of two, or too few num_outs.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        scale_factors: Sequence[float] = (4, 2, 1, 0.5),
        num_outs: int | None = 5,
        reduce_channels: int | None = None,
        norm_cfg: dict | None = CHANNEL_LAYER_NORM,
        act_cfg: dict = GELU,
        init_cfg=None,
    ):
        super().__init__(init_cfg=init_cfg)
        width = _only_map(in_channels)
        octaves = [_octave(scale) for scale in scale_factors]
        num_outs = len(octaves) if num_outs is None else num_outs
        if not octaves or octaves != sorted(set(octaves), reverse=True) or num_outs < len(octaves):
            raise InputError(
                f"expected scale_factors that fall, such as (4, 2, 1, 0.5), and at most num_outs of "
                f"them, got scale_factors={tuple(scale_factors)} and num_outs={num_outs}, in model.neck "
                "of type frozen_det.SimpleFeaturePyramid. Correct those keys."
            )
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.scale_factors, self.num_outs = tuple(scale_factors), num_outs
        self.reduce = nn.Sequential()
        if reduce_channels is not None:
            self.reduce = _conv_norm(width, reduce_channels, 1, norm_cfg)
            width = reduce_channels
        self.levels = nn.ModuleList(_level(width, out_channels, octave, norm_cfg, act_cfg) for octave in octaves)

    def out_strides(self, in_strides: Sequence[int]) -> list[int]:
        """Strides of the output maps for a backbone whose one map has ``in_strides[0]``.

        Raises:
            InputError: a level's stride would not be a whole number of pixels, as with patches of 14.
        """
        strides = [_only_map(in_strides) / scale for scale in self.scale_factors]
        broken = [stride for stride in strides if stride != int(stride)]
        if broken:
            raise InputError(
                f"expected an input stride that scale_factors={self.scale_factors} divide into whole pixels, got "
                f"{in_strides[0]}, which would give strides {strides}, in model.neck of type "
                "frozen_det.SimpleFeaturePyramid. With patches of 14 px set model.backbone.strides=(16,)."
            )
        strides = [int(stride) for stride in strides]
        return strides + [strides[-1] * 2 ** (i + 1) for i in range(self.num_outs - len(strides))]

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """``num_outs`` maps (N, out_channels, H_l, W_l), finest first, from the one map (N, C, H, W) of ``inputs``."""
        shared = self.reduce(_only_map(inputs))
        maps = [level(shared) for level in self.levels]
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], 1, 2))  # kernel size 1: every second cell
        # The norms return channels-last memory, which convolutions keep; mmdet's heads call view().
        return tuple(level.contiguous() for level in maps)  # num_outs x (N, C, H_l, W_l)


def _only_map(given: Sequence):
    if isinstance(given, (str, int)) or len(given) != 1:
        raise InputError(
            f"expected one map of one stride under frozen_det.SimpleFeaturePyramid (model.neck), got "
            f"{given if isinstance(given, (str, int)) else len(given)}. Ask the backbone for one stride, "
            "as strides=(16,), or take frozen_det.FPN or frozen_det.NASFPN."
        )
    return given[0]


def _octave(scale: float) -> int:
    """k of a scale 2**k."""
    octave = math.log2(scale) if scale > 0 else math.nan
    if octave != octave or octave != int(octave):
        raise InputError(
            f"expected powers of two in scale_factors, such as 4, 2, 1 and 0.5, got {scale}, in "
            "model.neck of type frozen_det.SimpleFeaturePyramid. Correct that key."
        )
    return int(octave)


def _level(width: int, out_channels: int, octave: int, norm_cfg, act_cfg) -> nn.Sequential:
    """Resampling by 2**octave, then the 1x1 and the 3x3 convolution."""
    layers = []
    if octave < 0:
        layers.append(nn.MaxPool2d(2**-octave, ceil_mode=True))
    for i in range(octave):
        if i:
            layers += [build_norm(norm_cfg, width), build_activation(act_cfg)]
        layers.append(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
        width //= 2
    return nn.Sequential(
        *layers, *_conv_norm(width, out_channels, 1, norm_cfg), *_conv_norm(out_channels, out_channels, 3, norm_cfg)
    )


def _conv_norm(in_channels: int, out_channels: int, kernel: int, norm_cfg) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=norm_cfg is None)
    return nn.Sequential(conv, *([] if norm_cfg is None else [build_norm(norm_cfg, out_channels)]))
