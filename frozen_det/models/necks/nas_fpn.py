"""NAS-FPN of the authors of the frozen-backbone paper (arXiv 2204.00484; graph of arXiv 1904.07392).

mmdet's neck of this name has the same graph with other operations (average gate, roles of the gate reversed, fixed
ReLU, convolutions before levels 6 and 7); it is available as ``type='mmdet.NASFPN'``.

Every node combines two maps at its level, by sum or by attention (coarse + fine * sigmoid(global max of coarse),
the coarse input being the one of the higher level), then activation -> 3x3 convolution with bias -> norm. An output
node also adds earlier maps of its level that no other node uses. Levels 6 and 7 start as max-pools of the
projected level below. Cells do not share weights. Input sizes whose maps cannot be combined are refused.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import nn
from torchvision.ops import StochasticDepth

from ...errors import InputError
from ...ops.pyramid import doubled_strides, halve, maximum_gate, resample
from ...registry import MODELS
from ..layers.checkpointing import checkpointed
from ..layers.conv_norm_act import (
    AUTHORS_NORM,
    SWISH,
    ConvNormAct,
    apply_norm,
    build_activation,
    build_conv,
    build_norm,
    keras_default_init_,
)

MIN_LEVEL, MAX_LEVEL = 3, 7


class Node(NamedTuple):
    """One row of the searched graph: maps 0-4 are levels 3-7 on entry, every node appends one."""

    level: int
    combine: str
    inputs: tuple[int, int]
    is_output: bool


GRAPH = (
    Node(4, "attention", (1, 3), False),
    Node(4, "sum", (1, 5), False),
    Node(3, "sum", (0, 6), True),
    Node(4, "sum", (6, 7), True),
    Node(5, "attention", (7, 8), True),
    Node(7, "attention", (6, 9), True),
    Node(6, "attention", (9, 10), True),
)
"""The graph found by architecture search (arXiv 1904.07392), in the authors' order."""


class Step(NamedTuple):
    """A node prepared for execution: the gating map, the gated map, and further maps of its level that are added."""

    level: int
    attention: bool
    coarse: int
    fine: int
    extras: tuple[int, ...]

    @property
    def sources(self) -> tuple[int, ...]:
        return (self.coarse, self.fine, *self.extras)


def plan_steps(graph: Sequence[Node], combine: str = "attention") -> tuple[tuple[Step, ...], tuple[int, ...]]:
    """The steps of one cell, and the level of every map (entry maps first).

    Args:
        graph: rows as in :data:`GRAPH`.
        combine: 'attention' follows the rows, 'sum' turns every node into a sum (the EfficientNet-B7 system).
    """
    levels = list(range(MIN_LEVEL, MAX_LEVEL + 1))
    read = [False] * len(levels)
    steps = []
    for node in graph:
        first, second = node.inputs
        read[first] = read[second] = True
        coarse, fine = (first, second) if levels[first] >= levels[second] else (second, first)
        extras = ()
        if node.is_output:
            extras = tuple(i for i, level in enumerate(levels) if level == node.level and not read[i])
            for i in extras:
                read[i] = True
        steps.append(Step(node.level, combine == "attention" and node.combine == "attention", coarse, fine, extras))
        levels.append(node.level)
        read.append(False)
    return tuple(steps), tuple(levels)


class ConvBlock(nn.Module):
    """The block after a combination in the authors' YAML files: 3x3 convolution (bias) -> norm."""

    def __init__(self, channels: int, norm_cfg: dict | None, separable: bool):
        super().__init__()
        self.conv = build_conv(channels, channels, 3, separable=separable)
        self.norm = build_norm(norm_cfg, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, H, W)
        return apply_norm(self.norm, self.conv(x))  # (N, C, H, W)


class BottleneckBlock(nn.Module):
    """The block in the EfficientNet-B7 system: a residual bottleneck, C -> 4C channels, drop-connect.

    1x1 (C -> C), 3x3 (C -> C), 1x1 (C -> 4C), each with a norm and without bias, activation after the first two;
    the shortcut is a 1x1 convolution with norm; activation after the sum. First weights are TensorFlow's
    ``variance_scaling_initializer()`` (fan-in, scale 1). Source: the detection code of tensorflow/tpu,
    ``nn_blocks.bottleneck_block`` as ``nasfpn`` calls it.
    """

    def __init__(self, channels: int, norm_cfg: dict | None, act_cfg: dict, drop_connect: float):
        super().__init__()
        layers = dict(norm_cfg=norm_cfg, bias=False)
        self.shortcut = ConvNormAct(channels, 4 * channels, 1, **layers)
        self.reduce = ConvNormAct(channels, channels, 1, act_cfg=act_cfg, **layers)
        self.conv = ConvNormAct(channels, channels, 3, act_cfg=act_cfg, **layers)
        self.expand = ConvNormAct(channels, 4 * channels, 1, **layers)
        self.drop = StochasticDepth(drop_connect, "row")
        self.act = build_activation(act_cfg)
        for layer in (self.shortcut, self.reduce, self.conv, self.expand):
            keras_default_init_(layer.conv)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, H, W)
        branch = self.drop(self.expand(self.conv(self.reduce(x))))
        return self.act(branch + self.shortcut(x))  # (N, 4C, H, W)


class CellNode(nn.Module):
    """One step of a cell: project if widths differ, resample, combine, activation, block."""

    def __init__(
        self,
        step: Step,
        source_channels: Sequence[int],
        source_levels: Sequence[int],
        channels: int,
        block: nn.Module,
        act_cfg: dict,
        norm_cfg: dict | None,
        separable: bool,
    ):
        super().__init__()
        self.step = step
        self.source_levels = tuple(source_levels)
        self.projections = nn.ModuleList(
            nn.Identity()
            if width == channels
            else ConvNormAct(width, channels, 1, norm_cfg=norm_cfg, separable=separable)
            for width in source_channels
        )
        self.act = build_activation(act_cfg)
        self.block = block

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:  # each (N, C_i, H_i, W_i)
        projected = [project(maps[i]) for project, i in zip(self.projections, self.step.sources)]
        coarse, fine, *extras = (resample(x, level, self.step.level) for x, level in zip(projected, self.source_levels))
        if self.step.attention:
            # The gate of an upsampled map is the gate of the map: taken where there are fewer cells.
            small = min(projected[0], coarse, key=torch.Tensor.numel)
            merged = coarse + fine * maximum_gate(small)
        else:
            merged = coarse + fine
        for extra in extras:
            merged = merged + extra
        return self.block(self.act(merged))  # (N, C_out, H, W)


class Cell(nn.Module):
    """One repeat of the graph: five maps, levels 3-7, in and out."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        out_channels: int,
        make_block,
        act_cfg: dict,
        norm_cfg: dict | None,
        combine: str,
        separable: bool,
    ):
        super().__init__()
        steps, self.levels = plan_steps(GRAPH, combine)
        widths = [*in_channels, *([out_channels] * len(steps))]
        self.nodes = nn.ModuleList(
            CellNode(
                step,
                [widths[i] for i in step.sources],
                [self.levels[i] for i in step.sources],
                channels,
                make_block(),
                act_cfg,
                norm_cfg,
                separable,
            )
            for step in steps
        )

    def forward(self, *maps: torch.Tensor) -> tuple[torch.Tensor, ...]:  # 5 x (N, C, H_l, W_l)
        maps = list(maps)
        for node in self.nodes:
            maps.append(node(maps))
        count = MAX_LEVEL - MIN_LEVEL + 1
        by_level = dict(zip(self.levels[-count:], maps[-count:]))
        return tuple(by_level[level] for level in sorted(by_level))  # 5 x (N, C_out, H_l, W_l)


@MODELS.register_module()
class NASFPN(BaseModule):
    """The authors' NAS-FPN on any backbone: levels 3-7 out, from the levels that the backbone has.

    Args:
        in_channels: channels of every backbone map, finest first.
        out_channels: channels of every output map. With ``block='bottleneck'`` it is four times the width inside
            (the B7 system: 1024, width 256).
        num_repeats: number of cells, weights not shared.
        start_level: index of the map that becomes level 3. None takes the last three maps (a stride-4 map is
            left out). Missing levels above are max-pools of the level below.
        num_outs: 5, for the reader of a config.
        act_cfg: activation before every block (authors: Swish; ReLU in their RetinaNet).
        combine: 'attention' as searched, or 'sum' everywhere (B7 system).
        block: 'conv' or 'bottleneck' (B7 system).
        drop_connect: rate at which a bottleneck's branch is dropped per sample in training, in [0, 1).
        separable: depthwise-separable convolutions (not inside a bottleneck).
        norm_cfg: BN, SyncBN, GN, ...; default eps 1e-4 and momentum 0.003 (0.997 in TensorFlow's sense).
        with_checkpoint: keep only the cells' inputs for backward and recompute the rest.
        init_cfg: mmengine's; None keeps the authors' first weights: He fan-out, with bottlenecks fan-in and Glorot's;
            biases zero.

    Raises:
        InputError: a value that does not fit, here or (sizes) in :meth:`forward`.
    """

    size_divisor = 2**MAX_LEVEL
    """Images whose sides are multiples of it fit when level 3 has stride 8; the pad divisor that a detector needs."""

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_repeats: int = 5,
        start_level: int | None = None,
        num_outs: int = 5,
        act_cfg: dict = SWISH,
        combine: str = "attention",
        block: str = "conv",
        drop_connect: float = 0.0,
        separable: bool = False,
        norm_cfg: dict | None = AUTHORS_NORM,
        with_checkpoint: bool = False,
        init_cfg=None,
    ):
        super().__init__(init_cfg=init_cfg)
        self.num_outs = MAX_LEVEL - MIN_LEVEL + 1
        self.start_level = max(0, len(in_channels) - 3) if start_level is None else start_level
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.with_checkpoint = with_checkpoint
        self._check(num_outs, combine, block, drop_connect)
        channels = out_channels // 4 if block == "bottleneck" else out_channels

        def make_block() -> nn.Module:
            if block == "bottleneck":
                return BottleneckBlock(channels, norm_cfg, act_cfg, drop_connect)
            return ConvBlock(channels, norm_cfg, separable)

        self.projections = nn.ModuleList(
            nn.Identity()
            if width == channels
            else ConvNormAct(width, channels, 1, norm_cfg=norm_cfg, separable=separable)
            for width in self.in_channels[self.start_level :]
        )
        self.cells = nn.ModuleList(
            Cell(
                [channels if i == 0 else out_channels] * self.num_outs,
                channels,
                out_channels,
                make_block,
                act_cfg,
                norm_cfg,
                combine,
                separable,
            )
            for i in range(num_repeats)
        )
        if block == "bottleneck":
            # Source as BottleneckBlock's: its 1x1 projections are plain Keras layers, of Glorot's uniform weights.
            for layer in self.modules():
                for projection in getattr(layer, "projections", ()):
                    if isinstance(projection, ConvNormAct) and not separable:
                        nn.init.xavier_uniform_(projection.conv.weight)

    def _check(self, num_outs: int, combine: str, block: str, drop_connect: float) -> None:
        used = len(self.in_channels) - self.start_level
        rules = (
            (num_outs == self.num_outs, f"num_outs={self.num_outs} (levels 3-7)", f"num_outs={num_outs}"),
            (
                self.start_level >= 0 and 1 <= used <= self.num_outs,
                "a start_level that leaves 1 to 5 maps",
                f"start_level={self.start_level} of {len(self.in_channels)} maps",
            ),
            (combine in ("attention", "sum"), "combine 'attention' or 'sum'", f"combine={combine!r}"),
            (block in ("conv", "bottleneck"), "block 'conv' or 'bottleneck'", f"block={block!r}"),
            (
                block == "conv" or self.out_channels % 4 == 0,
                "out_channels to be a multiple of 4 with bottlenecks",
                f"out_channels={self.out_channels}",
            ),
            (0.0 <= drop_connect < 1.0, "drop_connect in [0, 1)", f"drop_connect={drop_connect}"),
            (
                drop_connect == 0.0 or block == "bottleneck",
                "drop_connect only with block='bottleneck'",
                f"drop_connect={drop_connect} with block={block!r}",
            ),
        )
        for fits, expected, got in rules:
            if not fits:
                raise InputError(
                    f"expected {expected}, got {got}, in model.neck of type frozen_det.NASFPN. Correct that key."
                )

    def out_strides(self, in_strides: Sequence[int]) -> list[int]:
        """Strides of the five output maps for a backbone whose maps have ``in_strides`` (finest first).

        Raises:
            InputError: the maps that are used do not halve from one to the next.
        """
        used = list(in_strides)[self.start_level :]
        strides = doubled_strides(used[:1], self.num_outs)
        if used != strides[: len(used)]:
            raise InputError(
                f"expected backbone strides that double from map {self.start_level} on, got "
                f"{list(in_strides)}, in model.backbone.strides. Ask the backbone for consecutive "
                "strides such as (8, 16, 32)."
            )
        return strides

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Five maps (N, out_channels, H_l, W_l), levels 3-7, from the backbone's maps, finest first.

        H and W of the map that becomes level 3 must be multiples of 16, and each further map half the size of the
        one before.

        Raises:
            InputError: other sizes, or another number of maps than ``in_channels`` names.
        """
        if len(inputs) != len(self.in_channels):
            raise InputError(
                f"expected {len(self.in_channels)} maps, got {len(inputs)}, in the call of "
                "frozen_det.NASFPN. Let model.neck.in_channels name every map of the backbone."
            )
        inputs = inputs[self.start_level :]
        self._check_sizes(inputs)
        maps = [project(x) for project, x in zip(self.projections, inputs)]
        while len(maps) < self.num_outs:
            maps.append(halve(maps[-1]))
        maps = tuple(maps)
        for cell in self.cells:
            maps = checkpointed(cell, *maps) if self.with_checkpoint else cell(*maps)
        return maps

    def _check_sizes(self, inputs: Sequence[torch.Tensor]) -> None:
        multiple = 2 ** (self.num_outs - 1)
        height, width = inputs[0].shape[-2:]
        sizes = [tuple(x.shape[-2:]) for x in inputs]
        halves = [(height // 2**i, width // 2**i) for i in range(len(inputs))]
        if height % multiple or width % multiple or sizes != halves:
            raise InputError(
                f"expected map {self.start_level} of the backbone to have a height and width that are multiples of "
                f"{multiple} and each further map half of the one before, got {sizes}, in the call of "
                f"frozen_det.NASFPN. Pad images to a multiple of {multiple} times that map's stride: at stride 8, "
                "model.data_preprocessor.pad_size_divisor=128."
            )
