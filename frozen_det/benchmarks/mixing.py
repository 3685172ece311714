"""Cost of mixing one batch: CutMix, Mixup and Cutout here against timm's Mixup and torchvision's CutMix and MixUp.

Every variant mixes the images and builds the targets (N, classes). Variants take turns, and each draws its own ratios
and boxes: repeat often enough. timm writes into its batch, as `in place` does here; torchvision makes a new one, as
`copy` does. To reach: `in place` no slower than the faster library on a CPU (process time, which other load does not
touch). On a GPU times are wall times, and every variant is run once more with waits of the host made errors.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..host.devices import device_of
from .measurement import add_output, in_turns, machine, number, require_from_one, text_table

DTYPES = {"float32": torch.float32, "uint8": torch.uint8}
KINDS = ("cutmix", "mixup", "cutout")
IN_PLACE, COPY, TIMM, TORCHVISION = "in place", "copy", "timm", "torchvision"

Variant = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Row:
    """One variant.

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
    text, names = f"types of the images (default: {' '.join(DTYPES)})", list(DTYPES)
    parser.add_argument("--dtypes", nargs="+", default=names, choices=names, metavar="DTYPE", help=text)
    text = "measured batches of every variant, after one to warm up"
    parser.add_argument("--repeats", type=int, default=21, help=text)
    add_output(parser, "print JSON instead of a table")


def run(args) -> int:
    for option in ("batch_size", "size", "num_classes", "repeats"):
        require_from_one(args, option)
    if args.batch_size % 2:
        raise InputError(f"expected an even --batch-size (timm's Mixup takes no other), got {args.batch_size}.")
    if args.alpha <= 0:
        raise InputError(f"expected --alpha above 0, got {args.alpha}.")
    device = device_of(args.device)
    rows = []
    for name in args.dtypes:
        rows += measure(name, args.batch_size, args.size, args.num_classes, args.alpha, args.repeats, device)
    on_gpu = device.type == "cuda"
    if args.json:
        told = {key: getattr(args, key) for key in ("batch_size", "size", "num_classes", "alpha", "repeats")}
        told.update(device=str(device), threads=torch.get_num_threads(), rows=[asdict(row) for row in rows])
        print(json.dumps(told, indent=1))
    else:
        size = f"{args.batch_size} x 3 x {args.size} x {args.size}"
        print(f"{size}, {args.repeats} batches of each, {machine(on_gpu)}", table(rows), sep="\n")
    return 0


def variants(kind: str, num_classes: int, alpha: float) -> dict[str, Variant]:
    """What a kind of mixing can be had from: name -> (images, labels) to (mixed images, targets)."""
    from timm.data import Mixup as TimmMixup
    from torchvision.transforms import v2

    from ..ops import mixing

    generator = torch.Generator().manual_seed(0)

    def ours(in_place: bool) -> Variant:
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
    """All variants on random images of one type; see :class:`Row`."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (batch_size, 3, size, size), generator=generator, dtype=torch.uint8)
    images = images.to(device, DTYPES[dtype])
    labels = torch.randint(0, num_classes, (batch_size,), generator=generator).to(device)
    mixes = {(kind, by): mix for kind in KINDS for by, mix in variants(kind, num_classes, alpha).items()}
    rows = {key: Row(dtype, *key) for key in mixes}
    taken = {key: lambda mix=mix: mix(images, labels) for key, mix in mixes.items() if _accepts(mix, images, labels)}
    for key, took in in_turns(taken, repeats, warm_up=0, gpu=device if images.is_cuda else None).items():
        row = rows[key]
        row.wall_ms, row.cpu_ms, row.spread_ms = took.wall_ms, took.cpu_ms, took.spread_ms
        row.host_waits = _host_waits(mixes[key], images, labels)
    set_ratios(list(rows.values()), device.type == "cuda")
    return list(rows.values())


def set_ratios(rows: list[Row], on_gpu: bool) -> None:
    """Fill in what each variant takes as a share of the faster library's time on the same kind and type."""

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
    cells = []
    for row in rows:
        if row.wall_ms is None:
            cells.append([row.dtype, row.kind, row.by, f"refuses {row.dtype}"])
            continue
        waits = {None: "-", True: "yes", False: "no"}[row.host_waits]
        cells.append(
            f"{row.dtype}|{row.kind}|{row.by}|{row.wall_ms:.2f}|{row.spread_ms / 2:.2f}|{row.cpu_ms:.2f}|"
            f"{number(row.of_library, '.2f')}|{waits}".split("|")
        )
    lines = [text_table("images|mixing|by|wall ms|± ms|CPU ms|x library|waits", cells, left=3)]
    compared = [row for row in rows if row.by == IN_PLACE and row.of_library is not None]
    if compared:
        worst = max(compared, key=lambda row: row.of_library)
        lines += [
            "",
            f"in place, of the faster library: {worst.of_library:.2f} at most, at {worst.kind} of "
            f"{worst.dtype}   (to reach on a CPU: 1.00 at most)",
        ]
    return "\n".join(lines)


def _accepts(mix: Variant, images: Tensor, labels: Tensor) -> bool:
    """Whether a variant takes images of this type; also its warm-up."""
    try:
        mix(images, labels)
    except (RuntimeError, TypeError):
        if images.is_floating_point():
            raise
        return False
    return True


def _host_waits(mix: Variant, images: Tensor, labels: Tensor) -> bool | None:
    """Whether a step of this variant synchronises with the device, by CUDA's sync debug mode."""
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
