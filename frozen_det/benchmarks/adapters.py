"""Adapters of every kind against plain frozen and fine-tuned backbones: size, memory kept for backward, step time.

All variants of a backbone share weights, images and decoder (mmdet's FPN, 256 channels, loss: mean square of its
outputs) and take their steps in turns. Weights are random: neither time nor memory depends on them.
"""

import json
from dataclasses import asdict, dataclass

import torch
from torch import nn

from ..errors import InputError
from ..host.devices import device_of
from ..registry import ADAPTERS
from .measured_step import MeasuredStep
from .measurement import add_output, add_timm_backbones, in_turns, machine, number, require_from_one, text_table

BODIES = {"resnet50": dict(type="timm", name="resnet50"), "efficientnet_b0": dict(type="timm", name="efficientnet_b0")}
STRIDES = (4, 8, 16, 32)


@dataclass
class Row:
    """One variant of one backbone.

    Attributes:
        added_params: parameters of the adapters.
        trainable_params: of backbone and adapters; trainable_share is of their total. The decoder is left out.
        kept_mib: what autograd holds between forward and backward, backbone and decoder, parameters left out.
        step_ms, cpu_ms: median wall and process time of a step (forward, backward, optimiser).
        spread_ms: from the lower to the upper quartile of the wall time.
        peak_mib: largest memory allocated on a GPU during a step; None on a CPU.
    """

    body: str
    arm: str
    added_params: int
    trainable_params: int
    trainable_share: float
    kept_mib: float
    step_ms: float
    spread_ms: float
    cpu_ms: float
    peak_mib: float | None = None


def add_arguments(parser) -> None:
    add_timm_backbones(parser, BODIES)
    parser.add_argument("--kinds", nargs="+", default=None, metavar="KIND", help="kinds of adapters (default: all)")
    parser.add_argument("--batch", type=int, default=1, help="images a step (default 1)")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of every variant, after one to warm up")
    add_output(parser)


def run(args) -> int:
    kinds = sorted(_kinds()) if args.kinds is None else args.kinds
    for kind in kinds:
        if kind not in _kinds():
            raise InputError(f"expected kinds among {sorted(_kinds())} after --kinds, got {kind!r}.")
    require_from_one(args, "steps", "batch")
    device = str(device_of(args.device))
    rows = []
    for name in args.bodies:
        body = BODIES.get(name, dict(type="timm", name=name))
        rows += measure(name, body, kinds, tuple(args.size), args.batch, args.steps, device)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        where = machine(device.startswith("cuda"))
        print(
            f"{args.batch} x {args.size[0]} x {args.size[1]} pixels, {args.steps} steps, {where}", table(rows), sep="\n"
        )
    return 0


def variants(kinds) -> dict[str, dict]:
    """Variant -> options of FrozenBackbone. Adapters come everywhere, and in the coarser stages alone."""
    found = {"fine-tuned": dict(freeze=False), "frozen": dict()}
    for kind in kinds:
        found[kind] = dict(adapters=dict(type=kind))
        found[f"{kind} from stage 3"] = dict(adapters=dict(type=kind, start_stage=3))
    return found


def measure(name: str, body: dict, kinds, size_hw, batch: int, steps: int, device: str) -> list[Row]:
    """Every variant of one backbone; see :class:`Row`."""
    images = torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(0)).to(device)
    models = {variant: _Step(body, options, images) for variant, options in variants(kinds).items()}
    kept = {variant: model.kept_bytes() for variant, model in models.items()}
    on_gpu = device.startswith("cuda")
    calls = {variant: model.step for variant, model in models.items()}
    times = in_turns(
        calls, steps, gpu=device if on_gpu else None, after=lambda variant: models[variant].drop_gradients()
    )
    rows = []
    for variant, model in models.items():
        parameters, adapters, took = list(model.backbone.parameters()), model.backbone.adapters, times[variant]
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        rows.append(
            Row(
                body=name,
                arm=variant,
                added_params=0 if adapters is None else sum(p.numel() for p in adapters.parameters()),
                trainable_params=trained,
                trainable_share=trained / sum(p.numel() for p in parameters),
                kept_mib=kept[variant] / 2**20,
                step_ms=took.wall_ms,
                spread_ms=took.spread_ms,
                cpu_ms=took.cpu_ms,
                peak_mib=max(took.peaks) / 2**20 if on_gpu else None,
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """The measurements as text; `x frozen` compares process time on a CPU, wall time on a GPU."""
    frozen = {row.body: row for row in rows if row.arm == "frozen"}
    cells = []
    for row in rows:
        clock = "cpu_ms" if row.peak_mib is None else "step_ms"
        times = getattr(row, clock) / getattr(frozen[row.body], clock)
        cells.append(
            f"{row.body}|{row.arm}|{row.added_params / 1e6:.3f}|{row.trainable_params / 1e6:.3f}|"
            f"{100 * row.trainable_share:.2f}|{row.kept_mib:.1f}|{row.step_ms:.1f}|{row.spread_ms / 2:.1f}|"
            f"{row.cpu_ms:.1f}|{times:.2f}|{number(row.peak_mib, '.0f')}".split("|")
        )
    header = "backbone|variant|added M|trains M|share %|kept MiB|step ms|± ms|CPU ms|x frozen|peak MiB"
    return text_table(header, cells, left=2)


class _Step(MeasuredStep):
    """A backbone with a decoder on fixed images."""

    def __init__(self, body: dict, options: dict, images: torch.Tensor):
        from mmdet.models.necks import FPN

        from ..models import FrozenBackbone

        torch.manual_seed(0)
        self.backbone = FrozenBackbone(body, "random", STRIDES, **options)
        torch.manual_seed(0)
        neck = FPN(in_channels=list(self.backbone.channels), out_channels=256, num_outs=5)
        super().__init__(nn.Sequential(self.backbone, neck).to(images.device), images, lr=1e-4, momentum=0.9)

    def loss(self) -> torch.Tensor:
        return sum(level.square().mean() for level in self.model(self.images))


def _kinds() -> list[str]:
    from ..models import adapters  # noqa: F401  registers the kinds

    return list(ADAPTERS.module_dict)
