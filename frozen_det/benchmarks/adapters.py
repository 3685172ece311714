"""Adapters of every kind against plain frozen and fine-tuned bodies: size, memory kept for backward, step time.

All arms of a body share weights, images and decoder (mmdet's FPN, 256 channels, loss: mean square of its outputs).
Arms take their steps in turns, so that other load on the machine falls on all of them alike. Weights are random:
neither time nor memory depends on them.
"""

import json
import statistics
import time
import weakref
from dataclasses import asdict, dataclass

import torch
from torch import nn

from ..errors import InputError
from ..host.devices import device_of
from ..registry import ADAPTERS

BODIES = {"resnet50": dict(type="timm", name="resnet50"), "efficientnet_b0": dict(type="timm", name="efficientnet_b0")}
STRIDES = (4, 8, 16, 32)


@dataclass
class Row:
    """One arm on one body.

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
    parser.add_argument(
        "--bodies",
        nargs="+",
        default=list(BODIES),
        metavar="NAME",
        help=f"names of timm models (default: {' '.join(BODIES)})",
    )
    parser.add_argument("--kinds", nargs="+", default=None, metavar="KIND", help="kinds of adapters (default: all)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 320),
        metavar=("H", "W"),
        help="image size in pixels (default 256 320)",
    )
    parser.add_argument("--batch", type=int, default=1, help="images a step (default 1)")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of every arm, after one to warm up")
    parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of a table")


def run(args) -> int:
    kinds = sorted(_kinds()) if args.kinds is None else args.kinds
    for kind in kinds:
        if kind not in _kinds():
            raise InputError(f"expected kinds among {sorted(_kinds())} after --kinds, got {kind!r}.")
    if args.steps < 1 or args.batch < 1:
        raise InputError(f"expected --steps and --batch from 1 on, got {args.steps} and {args.batch}.")
    device = str(device_of(args.device))
    rows = []
    for name in args.bodies:
        rows += measure(
            name,
            BODIES.get(name, dict(type="timm", name=name)),
            kinds,
            tuple(args.size),
            args.batch,
            args.steps,
            device,
        )
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        on_gpu = device.startswith("cuda")
        where = torch.cuda.get_device_name() if on_gpu else f"CPU with {torch.get_num_threads()} threads"
        print(
            f"{args.batch} x {args.size[0]} x {args.size[1]} pixels, {args.steps} steps, {where}, torch "
            f"{torch.__version__}"
        )
        print(table(rows))
    return 0


def arms(kinds) -> dict[str, dict]:
    """Arm -> options of FrozenBackbone. Adapters of a kind come everywhere, and in the coarser half of the stages."""
    found = {"fine-tuned": dict(freeze=False), "frozen": dict()}
    for kind in kinds:
        found[kind] = dict(adapters=dict(type=kind))
        found[f"{kind} from stage 3"] = dict(adapters=dict(type=kind, start_stage=3))
    return found


def measure(name: str, body: dict, kinds, size_hw, batch: int, steps: int, device: str) -> list[Row]:
    """Every arm on one body; see :class:`Row`."""
    images = torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(0)).to(device)
    models = {arm: _Step(body, options, images) for arm, options in arms(kinds).items()}
    kept = {arm: model.kept_bytes() for arm, model in models.items()}
    for model in models.values():
        model.step()
    walls, cpus, peaks = ({arm: [] for arm in models} for _ in range(3))
    for _ in range(steps):
        for arm, model in models.items():
            wall, cpu, peak = model.timed_step()
            walls[arm].append(wall), cpus[arm].append(cpu), peaks[arm].append(peak)
    rows = []
    for arm, model in models.items():
        parameters = list(model.backbone.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        quartiles = statistics.quantiles(walls[arm], n=4) if steps > 1 else [walls[arm][0]] * 3
        adapters = model.backbone.adapters
        rows.append(
            Row(
                name,
                arm,
                0 if adapters is None else sum(p.numel() for p in adapters.parameters()),
                trained,
                trained / sum(p.numel() for p in parameters),
                kept[arm] / 2**20,
                1e3 * statistics.median(walls[arm]),
                1e3 * (quartiles[2] - quartiles[0]),
                1e3 * statistics.median(cpus[arm]),
                max(peaks[arm]) / 2**20 if device.startswith("cuda") else None,
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """The measurements as text; `x frozen` compares process time on a CPU, wall time on a GPU."""
    frozen = {row.body: row for row in rows if row.arm == "frozen"}
    lines = [
        f"{'body':<17}{'arm':<27}{'added M':>9}{'trains M':>10}{'share %':>9}{'kept MiB':>10}{'step ms':>10}"
        f"{'± ms':>8}{'CPU ms':>9}{'x frozen':>10}{'peak MiB':>10}"
    ]
    for row in rows:
        on_gpu = row.peak_mib is not None  # there the process's own time says nothing; on a CPU it ignores other load
        times = row.step_ms / frozen[row.body].step_ms if on_gpu else row.cpu_ms / frozen[row.body].cpu_ms
        lines.append(
            f"{row.body:<17}{row.arm:<27}{row.added_params / 1e6:>9.3f}{row.trainable_params / 1e6:>10.3f}"
            f"{100 * row.trainable_share:>9.2f}{row.kept_mib:>10.1f}{row.step_ms:>10.1f}"
            f"{row.spread_ms / 2:>8.1f}{row.cpu_ms:>9.1f}"
            f"{times:>10.2f}{f'{row.peak_mib:.0f}' if on_gpu else '-':>10}"
        )
    return "\n".join(lines)


class _Step:
    """A backbone with a decoder and an optimiser on fixed images."""

    def __init__(self, body: dict, options: dict, images: torch.Tensor):
        from mmdet.models.necks import FPN

        from ..models import FrozenBackbone

        torch.manual_seed(0)
        self.backbone = FrozenBackbone(body, "random", STRIDES, **options)
        torch.manual_seed(0)
        neck = FPN(in_channels=list(self.backbone.channels), out_channels=256, num_outs=5)
        self.model = nn.Sequential(self.backbone, neck).to(images.device).train()
        self.images = images
        self.optimizer = torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9)

    def loss(self) -> torch.Tensor:
        return sum(level.square().mean() for level in self.model(self.images))

    def step(self) -> None:
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def timed_step(self) -> tuple[float, float, int]:
        """Wall seconds, process seconds, peak bytes on the GPU (0 on a CPU)."""
        on_gpu = self.images.is_cuda
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter(), time.process_time()
        self.step()
        if on_gpu:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.optimizer.zero_grad(set_to_none=True)  # the other arms' gradients do not count into a peak
        return wall, cpu, torch.cuda.max_memory_allocated() if on_gpu else 0

    def kept_bytes(self) -> int:
        """Bytes autograd keeps for the backward pass: distinct storages, without parameters, buffers and images."""
        own = {t.untyped_storage().data_ptr() for t in [*self.model.parameters(), *self.model.buffers(), self.images]}
        alive = weakref.WeakSet()

        def keep(tensor):
            alive.add(held := _Held(tensor))
            return held

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
            loss = self.loss()
        kept = {
            storage.data_ptr(): storage.nbytes()
            for storage in (held.tensor.untyped_storage() for held in alive)
            if storage.data_ptr() not in own
        }
        del loss
        return sum(kept.values())


class _Held:
    """A saved tensor that can be watched: it is gone once autograd lets go of it."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def _kinds() -> list[str]:
    from ..models import adapters  # noqa: F401  registers the kinds

    return list(ADAPTERS.module_dict)
