"""Switches of the frozen forward against plain eager: time, memory and difference of the features, body by body.

Arms of a body share weights and images and take their turns, so that other load on the machine falls on all of them
alike. Weights are random, norms get made statistics (so that folding is no identity): neither time nor memory depends
on them. An arm that cannot run on this machine says why.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError, closest
from ..host.devices import device_of

BODIES = ("timm/resnet50", "timm/efficientnet_b0", "timm/swin_tiny_patch4_window7_224", "timm/vit_small_patch16_224")
EAGER = "eager"
_CHANNELS_LAST, _FOLD = dict(memory_format="channels_last"), dict(fold_norms=True)
_BF16, _FP16, _COMPILE = dict(autocast="bfloat16"), dict(autocast="float16"), dict(compile=True)
# Arm -> model.backbone.forward.
ARMS = {
    EAGER: None,
    "channels_last": _CHANNELS_LAST,
    "fold": _FOLD,
    "bf16": _BF16,
    "fp16": _FP16,
    "fold + channels_last": _FOLD | _CHANNELS_LAST,
    "fold + channels_last + bf16": _FOLD | _CHANNELS_LAST | _BF16,
    "compile": _COMPILE,
    "fold + compile": _FOLD | _COMPILE,
    "all with bf16": _FOLD | _CHANNELS_LAST | _BF16 | _COMPILE,
}
# The pyramid's strides; a body gives those of them that it has.
_STRIDES = (4, 8, 16, 32)


@dataclass
class Row:
    """One arm on one body.

    Attributes:
        ms, spread_ms, cpu_ms: median wall time of a forward, its quartile range, median time of the process's work.
        x_eager, x_eager_cpu: wall and process time over those of plain eager.
        peak_mib: most that PyTorch's allocator holds during a forward beyond what it held before.
        twin_mib: what the switches hold beside the body.
        num_folded: norms folded.
        first_ms: wall time of the first forward (building and compiling included).
        difference: largest of the features, relative to the largest magnitude of eager's.
        unavailable: why there are no numbers; None where there are.
    """

    body: str
    arm: str
    ms: float | None = None
    spread_ms: float | None = None
    cpu_ms: float | None = None
    x_eager: float | None = None
    x_eager_cpu: float | None = None
    peak_mib: float | None = None
    twin_mib: float | None = None
    num_folded: int = 0
    first_ms: float | None = None
    difference: float | None = None
    unavailable: str | None = None


def add_arguments(parser) -> None:
    parser.add_argument(
        "--bodies",
        nargs="+",
        default=list(BODIES),
        metavar="LIBRARY/NAME",
        help=f"of timm or torchvision (default: {' '.join(BODIES)})",
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        default=None,
        metavar="ARM",
        help=f"beside eager, among {', '.join(repr(arm) for arm in ARMS)} (default: all; on a CPU without fp16)",
    )
    parser.add_argument("--size", type=int, default=512, help="side of the square images in pixels (default 512)")
    parser.add_argument("--batch", type=int, default=2, help="images a forward (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of every arm, after one to warm up")
    parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args) -> int:
    if min(args.size, args.batch, args.rounds) < 1:
        raise InputError(
            f"expected --size, --batch and --rounds from 1 on, got {args.size}, {args.batch} and {args.rounds}."
        )
    device = str(device_of(args.device))
    on_gpu = device.startswith("cuda")
    arms = args.arms or [arm for arm in ARMS if on_gpu or arm != "fp16"]
    for arm in arms:
        if arm not in ARMS:
            raise InputError(f"expected --arms among {', '.join(map(repr, ARMS))}, got {arm!r}; {closest(arm, ARMS)}")
    bodies = [_body(name) for name in args.bodies]  # all of them are looked at before the first is measured
    rows = []
    for body in bodies:
        rows += measure(body, arms, args.size, args.batch, args.rounds, device)
    where = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    if args.json:
        print(
            json.dumps(
                dict(
                    size=args.size,
                    batch=args.batch,
                    rounds=args.rounds,
                    device=where,
                    torch=torch.__version__,
                    rows=[asdict(row) for row in rows],
                ),
                indent=1,
            )
        )
    else:
        print(
            f"{args.batch} x {args.size} x {args.size} px, {args.rounds} rounds, {where}, torch "
            f"{torch.__version__}, random weights"
        )
        print(table(rows))
    return 0


def measure(body: dict, arms, size: int, batch: int, rounds: int, device: str) -> list[Row]:
    """Every arm on one body, eager first; see :class:`Row`.

    Args:
        body: ``dict(type=..., name=...)``.
        arms: names among :data:`ARMS`.
        size, batch: images (batch, 3, size, size), noise.
        rounds: measured forwards of every arm, in turns.
        device: cpu or cuda.

    Raises:
        InputError: an unknown body, or one that does not run at this size.
    """
    from tqdm import tqdm

    from .measured_step import _quiet_host

    name = f"{body['type']}/{body['name']}"
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    rows = {arm: Row(name, arm) for arm in dict.fromkeys((EAGER, *arms))}
    backbones, wanted, times = {}, None, {}
    with tqdm(total=len(rows) * (rounds + 2), desc=name, unit="forward", file=sys.stderr) as bar:
        for arm, row in rows.items():
            try:
                with _quiet_host():
                    backbone = _backbone(body, ARMS[arm], device)
                    first, features = _timed(backbone, images)
            except InputError as error:
                if arm == EAGER:
                    raise
                row.unavailable = str(error)
                bar.update(rounds + 2)
                continue
            wanted = features if wanted is None else wanted
            _describe(row, backbone, first, _difference(wanted, features))
            del features
            row.peak_mib = peak_bytes(lambda backbone=backbone: backbone(images), device) / 2**20
            backbones[arm], times[arm] = backbone, []
            bar.update(2)
        for _ in range(rounds):
            for arm, backbone in backbones.items():
                times[arm].append(_timed(backbone, images)[0])
                bar.update()
    _fill_times(rows, times)
    return list(rows.values())


def peak_bytes(call, device: str) -> int:
    """Most bytes that PyTorch's allocator holds during ``call()`` beyond what it held before.

    Exact on both devices: on a CPU from the profiler's record of allocations (what oneDNN keeps for itself is not in
    it), on a GPU from the allocator's own counter.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one cycle's events are kept, which is what is wanted
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (event["ts"], number, event["args"]["Bytes"])
        for number, event in enumerate(events)
        if event.get("name") == "[memory]"
    )
    held = most = 0
    for _, _, change in changes:
        held += change
        most = max(most, held)
    return most


def table(rows: list[Row]) -> str:
    """The measurements as text."""
    lines = [
        f"{'body':<38}{'arm':<29}{'ms':>8}{'± ms':>7}{'x eager':>9}{'CPU ms':>8}{'x eager':>9}{'peak MiB':>10}"
        f"{'twin MiB':>10}{'folded':>8}{'first s':>9}{'differs':>10}"
    ]
    for row in rows:
        start = f"{row.body:<38}{row.arm:<29}"
        if row.unavailable:
            lines.append(f"{start}not available: {row.unavailable}")
            continue
        lines.append(
            f"{start}{row.ms:>8.0f}{row.spread_ms / 2:>7.0f}{row.x_eager:>9.2f}{row.cpu_ms:>8.0f}"
            f"{row.x_eager_cpu:>9.2f}{row.peak_mib:>10.1f}{row.twin_mib:>10.1f}{row.num_folded:>8}"
            f"{row.first_ms / 1e3:>9.1f}{row.difference:>10.0e}"
        )
    return "\n".join(lines)


def _body(name: str) -> dict:
    from ..models.backbone_sources.build import body_strides
    from ..models.backbone_sources.source import body_types, source_of_architecture

    source, model = source_of_architecture(name)
    if source is None or not source.names_body or not model:
        forms = " or ".join(f"{one}/NAME" for one in body_types())
        raise InputError(f"expected --bodies as {forms}, got {name!r}.")
    body = source.body_of(model)
    if not set(body_strides(body)) & set(_STRIDES):
        raise InputError(f"expected a body with a feature at one of the strides {_STRIDES}, {name} has none.")
    return body


def _backbone(body: dict, switches: dict | None, device: str):
    from ..models import FrozenBackbone
    from ..models.backbone_sources.build import body_strides

    torch.manual_seed(0)
    strides = [stride for stride in body_strides(body) if stride in _STRIDES]
    torch.manual_seed(0)
    backbone = FrozenBackbone(body, "random", strides, forward=switches)
    with torch.no_grad():
        for norm in backbone.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                for tensor, low, high in (
                    (norm.running_mean, -0.1, 0.1),
                    (norm.running_var, 0.8, 1.2),
                    (norm.weight, 0.5, 1.0),
                    (norm.bias, -0.1, 0.1),
                ):
                    tensor.uniform_(low, high)
    return backbone.to(device).train()


def _timed(backbone, images):
    """((wall seconds, process seconds), features) of one forward."""
    if images.is_cuda:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    features = backbone(images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - wall, time.process_time() - cpu), features


def _difference(wanted, found) -> float:
    from ..models.backbones.inference_copy import relative_difference

    return max(relative_difference(a, b) for a, b in zip(wanted, found, strict=True))


def _describe(row: Row, backbone, first, difference: float) -> None:
    twin = backbone._frozen_forward.twin
    row.first_ms, row.difference = 1e3 * first[0], difference
    row.twin_mib = twin.bytes / 2**20 if twin is not None else 0.0
    row.num_folded = twin.num_folded if twin is not None else 0


def _fill_times(rows: dict[str, Row], times: dict[str, list]) -> None:
    for arm, taken in times.items():
        row, (walls, cpus) = rows[arm], zip(*taken)
        quartiles = statistics.quantiles(walls, n=4) if len(walls) > 1 else [walls[0]] * 3
        row.ms, row.cpu_ms = 1e3 * statistics.median(walls), 1e3 * statistics.median(cpus)
        row.spread_ms = 1e3 * (quartiles[2] - quartiles[0])
        row.x_eager, row.x_eager_cpu = row.ms / rows[EAGER].ms, row.cpu_ms / max(rows[EAGER].cpu_ms, 1e-9)
