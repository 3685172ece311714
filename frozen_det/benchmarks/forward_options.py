"""Options of the frozen forward against plain eager: time, memory, difference of the features.

Variants of a backbone share weights and images and take their turns. Weights are random, norms get drawn statistics (so
that folding is no identity): neither time nor memory depends on them. A variant that cannot run on this machine says
why.
"""

import json
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError, closest
from ..host.devices import device_of
from .measurement import Times, add_output, in_turns, machine, processor, require_from_one, text_table

BODIES = ("timm/resnet50", "timm/efficientnet_b0", "timm/swin_tiny_patch4_window7_224", "timm/vit_small_patch16_224")
EAGER = "eager"
_CHANNELS_LAST, _FOLD = dict(memory_format="channels_last"), dict(fold_norms=True)
_BF16, _FP16, _COMPILE = dict(autocast="bfloat16"), dict(autocast="float16"), dict(compile=True)
# Variant -> model.backbone.forward.
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
# The pyramid's strides; a backbone gives those of them that it has.
_STRIDES = (4, 8, 16, 32)


@dataclass
class Row:
    """One variant of one backbone.

    Attributes:
        ms, spread_ms, cpu_ms: median wall time of a forward, its quartile range, median time of the process's work.
        x_eager, x_eager_cpu: wall and process time over those of plain eager.
        peak_mib: most that PyTorch's allocator holds during a forward beyond what it held before.
        twin_mib: what the switches hold beside the backbone.
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
    text = f"of timm or torchvision (default: {' '.join(BODIES)})"
    parser.add_argument("--bodies", nargs="+", default=list(BODIES), metavar="LIBRARY/NAME", help=text)
    text = f"beside eager, among {', '.join(repr(arm) for arm in ARMS)} (default: all; on a CPU without fp16)"
    parser.add_argument("--arms", nargs="+", default=None, metavar="ARM", help=text)
    parser.add_argument("--size", type=int, default=512, help="side of the square images in pixels (default 512)")
    parser.add_argument("--batch", type=int, default=2, help="images a forward (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of every variant, after one to warm up")
    add_output(parser, "print one JSON object instead of a table")


def run(args) -> int:
    require_from_one(args, "size", "batch", "rounds")
    device = str(device_of(args.device))
    on_gpu = device.startswith("cuda")
    arms = args.arms or [arm for arm in ARMS if on_gpu or arm != "fp16"]
    for arm in arms:
        if arm not in ARMS:
            raise InputError(f"expected --arms among {', '.join(map(repr, ARMS))}, got {arm!r}; {closest(arm, ARMS)}")
    bodies = [body_of_name(name) for name in args.bodies]  # all are checked before the first is measured
    rows = []
    for body in bodies:
        rows += measure(body, arms, args.size, args.batch, args.rounds, device)
    if args.json:
        told = {key: getattr(args, key) for key in ("size", "batch", "rounds")}
        told.update(device=processor(on_gpu), torch=torch.__version__, rows=[asdict(row) for row in rows])
        print(json.dumps(told, indent=1))
    else:
        side = f"{args.batch} x {args.size} x {args.size} px, {args.rounds} rounds"
        print(f"{side}, {machine(on_gpu)}, random weights", table(rows), sep="\n")
    return 0


def measure(body: dict, arms, size: int, batch: int, rounds: int, device: str) -> list[Row]:
    """Every variant of one backbone, eager first; see :class:`Row`.

    Args:
        body: the backbone, ``dict(type=..., name=...)``.
        arms: names of variants, of :data:`ARMS`.
        size, batch: images (batch, 3, size, size), noise.
        rounds: measured forwards of every variant, in turns.
        device: cpu or cuda.

    Raises:
        InputError: an unknown backbone, or one that does not run at this size.
    """
    from tqdm import tqdm

    from .measured_step import quiet_host

    name, gpu = f"{body['type']}/{body['name']}", device if device.startswith("cuda") else None
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    rows = {arm: Row(name, arm) for arm in dict.fromkeys((EAGER, *arms))}
    calls, wanted = {}, None
    with tqdm(total=len(rows) * (rounds + 2), desc=name, unit="forward", file=sys.stderr) as bar:
        for arm, row in rows.items():
            first = Times()
            try:
                with quiet_host():
                    backbone = _backbone(body, ARMS[arm], device)
                    features = first.add(lambda backbone=backbone: backbone(images), gpu)
            except InputError as error:
                if arm == EAGER:
                    raise
                row.unavailable = str(error)
                bar.update(rounds + 2)
                continue
            wanted = features if wanted is None else wanted
            _describe(row, backbone, first, _difference(wanted, features))
            del features
            calls[arm] = lambda backbone=backbone: backbone(images)
            row.peak_mib = peak_bytes(calls[arm], device) / 2**20
            bar.update(2)
        times = in_turns(calls, rounds, warm_up=0, gpu=gpu, after=lambda _: bar.update())
    for arm, took in times.items():
        row = rows[arm]
        row.ms, row.spread_ms, row.cpu_ms = took.wall_ms, took.spread_ms, took.cpu_ms
        row.x_eager = row.ms / times[EAGER].wall_ms
        row.x_eager_cpu = row.cpu_ms / max(times[EAGER].cpu_ms, 1e-9)
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
    cells = []
    for row in rows:
        if row.unavailable:
            cells.append([row.body, row.arm, f"not available: {row.unavailable}"])
            continue
        cells.append(
            f"{row.body}|{row.arm}|{row.ms:.0f}|{row.spread_ms / 2:.0f}|{row.x_eager:.2f}|{row.cpu_ms:.0f}|"
            f"{row.x_eager_cpu:.2f}|{row.peak_mib:.1f}|{row.twin_mib:.1f}|{row.num_folded}|"
            f"{row.first_ms / 1e3:.1f}|{row.difference:.0e}".split("|")
        )
    header = "backbone|variant|ms|± ms|x eager|CPU ms|x eager|peak MiB|copy MiB|folded|first s|differs"
    return text_table(header, cells, left=2)


def body_of_name(name: str) -> dict:
    from ..models.backbone_sources.build import body_strides
    from ..models.backbone_sources.source import body_types, source_of_architecture

    source, model = source_of_architecture(name)
    if source is None or not source.names_body or not model:
        forms = " or ".join(f"{one}/NAME" for one in body_types())
        raise InputError(f"expected --bodies as {forms}, got {name!r}.")
    body = source.body_of(model)
    if not set(body_strides(body)) & set(_STRIDES):
        raise InputError(f"expected a backbone with a feature at one of the strides {_STRIDES}, {name} has none.")
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


def _difference(wanted, found) -> float:
    from ..models.backbones.inference_copy import relative_difference

    return max(relative_difference(a, b) for a, b in zip(wanted, found, strict=True))


def _describe(row: Row, backbone, first: Times, difference: float) -> None:
    copied = backbone._frozen_forward.copy
    row.first_ms, row.difference = first.wall_ms, difference
    row.twin_mib = copied.bytes / 2**20 if copied is not None else 0.0
    row.num_folded = copied.num_folded if copied is not None else 0
