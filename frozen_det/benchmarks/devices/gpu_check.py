"""Losses and gradients of each kind of detector on a GPU against the CPU: float32, bfloat16, float16, stated limits.

The reference is float32 on the CPU. Weights, images and every draw are the same: proposals are those of the reference
(near ties would be ordered in another way, and the second stage would see other regions), dropout is off. The last
limits are on `loss`, the sum of the differences of all losses over their sum, and on `gradient`, the norm of the
difference over the norm, all trained parameters joined. TF32 is off. The exit code is 1 if a limit is not kept.
With --device cpu the CPU is compared with itself: float32 must be equal, bfloat16 within its limits.
"""

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import nn

from ...errors import InputError
from ...host.devices import device_of
from ..detector_batch import synthetic_batch
from ..detector_check import least_num_classes, losses_of, made_light, said
from ..measurement import add_output, machine, number, text_table

# Kind -> a shipped config whose decoder is taken. DINO is left out: it draws its noise on the device.
KINDS = {
    "two-stage": "faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd",
    "cascade-masks": "cascade-mask-rcnn_frozen-efficientnetlite0_fpn_resize-7e_coco128",
    "nas-fpn": "cascade-rcnn_frozen-resnet50tv_nasfpn_lsj-72e_coco",
    "dense": "atss_frozen-resnet50tv_fpn_lsj-24e_coco",
    "queries": "deformable-detr_frozen-resnet50tv_channelmapper_lsj-50e_coco",
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# (loss, gradient): another order of sums in float32; in half precision the rounding of features.
LIMITS = {"fp32": (1e-4, 2e-3), "bf16": (3e-2, 2e-1), "fp16": (5e-3, 5e-2)}
# The batch norms of NAS-FPN's top level see a few values of each image, in each of its repeats: rounding is magnified.
_GRADIENT_TIMES = {"nas-fpn": 3}
# What float16's gradients are multiplied by in the backward pass, as a scaler does; its smallest step is 6e-8.
_SCALE = 1024.0
_SEED = 0


@dataclass
class Row:
    """One kind in one type.

    Attributes:
        reference: sum of the losses in float32 on the CPU.
        found: the same here; None where it does not run.
        loss, gradient: differences, see above.
        fault: why there are no numbers; empty where there are.
        kept: whether both limits are.
    """

    kind: str
    dtype: str
    reference: float
    found: float | None = None
    loss: float | None = None
    gradient: float | None = None
    fault: str = ""

    @property
    def limits(self) -> tuple[float, float]:
        """At most, of `loss` and `gradient`."""
        loss, gradient = LIMITS[self.dtype]
        return loss, gradient * _GRADIENT_TIMES.get(self.kind, 1)

    @property
    def kept(self) -> bool:
        if self.loss is None or self.gradient is None:
            return False
        return self.loss <= self.limits[0] and self.gradient <= self.limits[1]


def add_arguments(parser) -> None:
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="of detectors")
    text = "default: all; on a CPU without fp16"
    parser.add_argument("--dtypes", nargs="+", default=None, choices=list(DTYPES), help=text)
    text = "backbone, frozen at random weights (default timm/resnet50)"
    parser.add_argument("--body", default="timm/resnet50", metavar="LIBRARY/NAME", help=text)
    parser.add_argument("--size", type=int, default=320, help="side of the images in px (default 320)")
    add_output(parser, "print one JSON object instead of a table")


def run(args) -> int:
    if args.size < 128 or args.size % 32:
        raise InputError(f"expected --size as a multiple of 32 px from 128 on, got {args.size}.")
    device = device_of(args.device)
    on_gpu = device.type == "cuda"
    dtypes = args.dtypes or [name for name in DTYPES if on_gpu or name != "fp16"]
    rows = [row for kind in args.kinds for row in check(kind, dtypes, args.body, args.size, device)]
    kept = all(row.kept for row in rows)
    if args.json:
        told = dict(device=str(device), machine=machine(on_gpu), body=args.body, size=args.size, kept=kept)
        found = [dict(asdict(row), limits=row.limits, kept=row.kept) for row in rows]
        print(json.dumps(dict(told, rows=found), indent=1))
    else:
        print(f"{device} against the CPU, {args.body}, 2 x {args.size} px, {machine(on_gpu)}", table(rows), sep="\n")
    return 0 if kept else 1


def check(kind: str, dtypes, body: str, size: int, device: torch.device) -> list[Row]:
    """One kind in several types against float32 on the CPU.

    Args:
        kind: of :data:`KINDS`.
        dtypes: names of :data:`DTYPES`.
        body: ``LIBRARY/NAME`` of the backbone.
        size: side of the images in px.
        device: to compare with the CPU; the CPU itself is a check of the half types.
    """
    model, num_classes = detector_of(kind, body)
    batch = synthetic_batch(size, num_classes)
    replay = _Proposals(model)
    losses, gradients = step(model, batch, torch.float32)
    reference = sum(losses.values())
    model.to(device)
    rows = []
    for name in dtypes:
        row = Row(kind, name, reference)
        try:
            with replay, _exact():
                own_losses, own_gradients = step(model, batch, DTYPES[name])
        except Exception as error:  # whatever it is, it is this row
            row.fault = said(error)
        else:
            row.found = sum(own_losses.values())
            off = sum(abs(own_losses[key] - losses[key]) for key in losses)
            row.loss, row.gradient = off / reference, _distance(own_gradients, gradients)
        rows.append(row)
    return rows


def detector_of(kind: str, body: str) -> tuple[nn.Module, int]:
    """A shipped detector on another frozen backbone, on the CPU, without dropout; and its number of classes.

    Raises:
        InputError: no such backbone.
    """
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    from ...config import load_config
    from ...models import fill_blanks
    from ..forward_options import body_of_name
    from ..measured_step import quiet_host

    given = load_config(KINDS[kind]).model.detector.to_dict()
    strides = given["backbone"].get("strides", (4, 8, 16, 32))
    given["backbone"] = dict(
        type="frozen_det.FrozenBackbone", body=body_of_name(body), weights="random", strides=strides
    )
    torch.manual_seed(_SEED)
    with DefaultScope.overwrite_default_scope("mmdet"), quiet_host():
        filled = made_light(fill_blanks(given, num_classes=3))
        model = MODELS.build(ConfigDict(filled))
        model.init_weights()
    for part in model.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    return model.train(), least_num_classes(filled)


def step(model: nn.Module, batch: dict, dtype: torch.dtype) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses and gradients of a batch, where the model is.

    Args:
        model: a detector in training mode; its gradients are dropped.
        batch: of :func:`~..detector_batch.synthetic_batch`.
        dtype: of autocast; float32 is without.

    Returns:
        losses by name, those of several levels added; gradients by parameter on the CPU in float64.
    """
    device = next(model.parameters()).device
    model.zero_grad(set_to_none=True)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        given = losses_of(model, batch, _SEED)
    losses = {
        name: sum(one.float().sum() for one in (value if isinstance(value, (list, tuple)) else [value]))
        for name, value in given.items()
        if "loss" in name
    }
    scale = _SCALE if dtype == torch.float16 else 1.0
    (sum(losses.values()) * scale).backward()
    gradients = {
        name: parameter.grad.double().cpu() / scale
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    model.zero_grad(set_to_none=True)
    return {name: float(value.detach()) for name, value in losses.items()}, gradients


def table(rows: list[Row]) -> str:
    """The differences beside their limits."""
    cells = []
    for row in rows:
        if row.fault:
            cells.append([row.kind, row.dtype, f"does not run: {row.fault}"])
            continue
        (most_loss, most_gradient), verdict = row.limits, "kept" if row.kept else "NOT KEPT"
        cells.append(
            f"{row.kind}|{row.dtype}|{row.reference:.4f}|{number(row.found, '.4f')}|{number(row.loss, '.1e')}|"
            f"{most_loss:g}|{number(row.gradient, '.1e')}|{most_gradient:g}|{verdict}".split("|")
        )
    return text_table("kind|type|CPU fp32|here|loss differs|at most|gradient|at most|", cells, left=2)


class _Proposals:
    """The proposals of a model's next step; within `with` later steps get the same, on their device."""

    def __init__(self, model: nn.Module):
        self._kept: list | None = None
        self._replays = False
        if not getattr(model, "with_rpn", False):
            return
        original = model.rpn_head.loss_and_predict

        def loss_and_predict(*args, **kwargs):
            losses, found = original(*args, **kwargs)
            if not self._replays:
                self._kept = copy.deepcopy(found)
            return losses, [kept.to(got.bboxes.device) for kept, got in zip(self._kept, found)]

        model.rpn_head.loss_and_predict = loss_and_predict

    def __enter__(self):
        self._replays = True

    def __exit__(self, *error):
        self._replays = False


@contextmanager
def _exact() -> Iterator[None]:
    """Without TF32, which float32 on a GPU may be."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [one.allow_tf32 for one in flags]
    for one in flags:
        one.allow_tf32 = False
    try:
        yield
    finally:
        for one, value in zip(flags, before):
            one.allow_tf32 = value


def _distance(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Norm of the difference over the norm; infinite where other parameters have a gradient, or one is not finite."""
    if found.keys() != wanted.keys():
        return math.inf
    off = sum(float((found[name] - wanted[name]).square().sum()) for name in wanted)
    distance = math.sqrt(off / sum(float(value.square().sum()) for value in wanted.values()))
    return distance if math.isfinite(distance) else math.inf
