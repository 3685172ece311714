"""Cost of mixing one batch: CutMix, Mixup and Cutout here against timm's Mixup and torchvision's CutMix and MixUp.

Every arm mixes the images and builds the targets (N, classes). Arms take turns, so that other load on the machine
falls on all alike, and each draws its own ratios and boxes: repeat often enough. timm writes into its batch, as
`in place` does here; torchvision makes a new one, as `copy` does. To reach: `in place` no slower than the faster
library on a CPU (process time, which other load does not touch). On a GPU times are wall times, and every arm is run
once more with waits of the host made errors.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..host.devices import device_of

DTYPES = {"float32": torch.float32, "uint8": torch.uint8}
KINDS = ("cutmix", "mixup", "cutout")
IN_PLACE, COPY, TIMM, TORCHVISION = "in place", "copy", "timm", "torchvision"

Arm = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Row:
    """One arm.

    Attributes:
        wall_ms, spread_ms, cpu_ms: median wall time, its quartile range, median process time of one batch; None
            where the library refuses the type.
        of_library: time as a share of the faster library's (process time on a CPU, wall time on a GPU); None where
            there is none.
        host_waits: whether the host waits for the device; None on a CPU.
    """

    dtype: str
    kind: str
    by: str
    wall_ms: float | None = None
    spread_ms: float | None = None
    cpu_ms: float | None = None
    of_library: float | None = None
    host_waits: bool | None = None


def add_arguments(parser) -> None:
    parser.add_argument("--batch-size", type=int, default=256, help="images in a batch (default 256)")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels (default 224)")
    parser.add_argument("--num-classes", type=int, default=1000, help="columns of the targets (default 1000)")
    parser.add_argument("--alpha", type=float, default=1.0, help="of the Beta distribution (default 1.0)")
    parser.add_argument(
        "--dtypes",
        nargs="+",
        default=list(DTYPES),
        choices=list(DTYPES),
        metavar="DTYPE",
        help=f"types of the images (default: {' '.join(DTYPES)})",
    )
    parser.add_argument("--repeats", type=int, default=21, help="measured batches of every arm, after one to warm up")
    parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args) -> int:
    for option in ("batch_size", "size", "num_classes", "repeats"):
        if getattr(args, option) < 1:
            raise InputError(f"expected --{option.replace('_', '-')} from 1 on, got {getattr(args, option)}.")
    if args.batch_size % 2:
        raise InputError(f"expected an even --batch-size (timm's Mixup takes no other), got {args.batch_size}.")
    if args.alpha <= 0:
        raise InputError(f"expected --alpha above 0, got {args.alpha}.")
    device = device_of(args.device)
    rows = []
    for name in args.dtypes:
        rows += measure(name, args.batch_size, args.size, args.num_classes, args.alpha, args.repeats, device)
    if args.json:
        print(
            json.dumps(
                dict(
                    batch_size=args.batch_size,
                    size=args.size,
                    num_classes=args.num_classes,
                    alpha=args.alpha,
                    repeats=args.repeats,
                    device=str(device),
                    threads=torch.get_num_threads(),
                    rows=[asdict(row) for row in rows],
                ),
                indent=1,
            )
        )
    else:
        where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        print(
            f"{args.batch_size} x 3 x {args.size} x {args.size}, {args.repeats} batches an arm, {where}, torch "
            f"{torch.__version__}"
        )
        print(table(rows))
    return 0


def arms(kind: str, num_classes: int, alpha: float) -> dict[str, Arm]:
    """What a kind of mixing can be had from: name -> (images, labels) to (mixed images, targets)."""
    from timm.data import Mixup as TimmMixup
    from torchvision.transforms import v2

    from ..ops import mixing

    generator = torch.Generator().manual_seed(0)

    def ours(in_place: bool) -> Arm:
        def mix(images, labels):
            if kind == "cutout":
                images = mixing.cutout(images, images.shape[-1] // 2, generator, in_place=in_place)
                return images, mixing.soft_targets(labels, labels, 1.0, num_classes)
            mixed = getattr(mixing, kind)(images, labels, alpha, generator, in_place)
            return mixed.images, mixing.soft_targets(labels, mixed.labels_b, mixed.lam, num_classes)

        return mix

    found = {IN_PLACE: ours(True), COPY: ours(False)}
    if kind != "cutout":  # neither library cuts a hole per image out of a batch
        found[TIMM] = TimmMixup(
            **{f"{kind}_alpha": alpha},
            **({} if kind == "mixup" else dict(mixup_alpha=0.0)),
            label_smoothing=0.0,
            num_classes=num_classes,
        )
        found[TORCHVISION] = {"cutmix": v2.CutMix, "mixup": v2.MixUp}[kind](alpha=alpha, num_classes=num_classes)
    return found


def measure(
    dtype: str, batch_size: int, size: int, num_classes: int, alpha: float, repeats: int, device: torch.device
) -> list[Row]:
    """All arms on random images of one type; see :class:`Row`."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (batch_size, 3, size, size), generator=generator, dtype=torch.uint8)
    images = images.to(device, DTYPES[dtype])
    labels = torch.randint(0, num_classes, (batch_size,), generator=generator).to(device)
    mixes = {(kind, by): mix for kind in KINDS for by, mix in arms(kind, num_classes, alpha).items()}
    rows = {key: Row(dtype, *key) for key in mixes}
    for key in list(mixes):
        if not _accepts(mixes[key], images, labels):
            del mixes[key]
    times = {key: [] for key in mixes}
    for _ in range(repeats):
        for key, mix in mixes.items():
            times[key].append(_timed(mix, images, labels))
    for key, row in rows.items():
        if key in times:
            walls, cpus = zip(*times[key])
            quartiles = statistics.quantiles(walls, n=4) if repeats > 1 else [walls[0]] * 3
            row.wall_ms, row.cpu_ms = 1e3 * statistics.median(walls), 1e3 * statistics.median(cpus)
            row.spread_ms = 1e3 * (quartiles[2] - quartiles[0])
            row.host_waits = _host_waits(mixes[key], images, labels)
    set_ratios(list(rows.values()), device.type == "cuda")
    return list(rows.values())


def set_ratios(rows: list[Row], on_gpu: bool) -> None:
    """Fill in what each arm takes as a share of the faster library's time on the same kind and type."""

    def time_of(row: Row):
        return row.wall_ms if on_gpu else row.cpu_ms

    for row in rows:
        libraries = [
            time_of(other)
            for other in rows
            if (other.dtype, other.kind) == (row.dtype, row.kind)
            and other.by in (TIMM, TORCHVISION)
            and time_of(other) is not None
        ]
        row.of_library = time_of(row) / min(libraries) if libraries and time_of(row) is not None else None


def table(rows: list[Row]) -> str:
    """The measurements as text, the mark below."""
    lines = [f"{'images':<9}{'mixing':<9}{'by':<13}{'wall ms':>9}{'± ms':>8}{'CPU ms':>9}{'x library':>11}{'waits':>7}"]
    for row in rows:
        head = f"{row.dtype:<9}{row.kind:<9}{row.by:<13}"
        if row.wall_ms is None:
            lines.append(f"{head}   refuses {row.dtype}")
            continue
        ratio = "-" if row.of_library is None else f"{row.of_library:.2f}"
        waits = {None: "-", True: "yes", False: "no"}[row.host_waits]
        lines.append(f"{head}{row.wall_ms:>9.2f}{row.spread_ms / 2:>8.2f}{row.cpu_ms:>9.2f}{ratio:>11}{waits:>7}")
    compared = [row for row in rows if row.by == IN_PLACE and row.of_library is not None]
    if compared:
        worst = max(compared, key=lambda row: row.of_library)
        lines += [
            "",
            f"in place, of the faster library: {worst.of_library:.2f} at most, at {worst.kind} of "
            f"{worst.dtype}   (to reach on a CPU: 1.00 at most)",
        ]
    return "\n".join(lines)


def _accepts(mix: Arm, images: Tensor, labels: Tensor) -> bool:
    """Whether an arm takes images of this type; also its warm-up."""
    try:
        mix(images, labels)
    except (RuntimeError, TypeError):
        if images.is_floating_point():
            raise
        return False
    return True


def _timed(mix: Arm, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Wall and process seconds of one batch."""
    _synchronize(images)
    wall, cpu = time.perf_counter(), time.process_time()
    mix(images, labels)
    _synchronize(images)
    return time.perf_counter() - wall, time.process_time() - cpu


def _synchronize(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


def _host_waits(mix: Arm, images: Tensor, labels: Tensor) -> bool | None:
    """Whether a step of this arm makes the host wait for the device, as CUDA's debug mode tells."""
    if not images.is_cuda:
        return None
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        mix(images, labels)
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return False
