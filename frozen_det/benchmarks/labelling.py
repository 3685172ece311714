"""Labelling a pool against bare decoding and bare forward passes on the same cores; selection among synthetic rows.

Throughput: a process on one thread decodes all images, runs the teacher on the same number of ready batches, and
labels the pool with nothing kept from before; in turns, with one process and with two, each on its own share of the
parts. Both together allow 1 / (1 / decoding + 1 / forward) images a second; to reach: 0.9 of it (on a GPU, where
workers decode meanwhile: 0.9 of the forward passes alone). Process time is given beside wall time: other load on the
machine does not touch it.

Selection: rows as a labelled pool would have them, soft vectors for a share of the parts only; time and the process's
peak memory of select(), in a process of its own. To reach: below 4 GiB. With top-k soft labels the same process then
draws joint batches of what was kept, each image one ready grey square, which leaves labels, order and batch.

Reading: what a student reads of a pool, see :mod:`.pseudo_labels.shard_reading`.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..errors import InputError
from ..weights.atomic_write import make_folder
from .measurement import Times, peak_resident_bytes, require_from_one, text_table
from .pseudo_labels import shard_reading
from .pseudo_labels.made_rows import make_labels

WHAT = DECODING, FORWARD, LABELLING = "decoding", "forward", "labelling"


@dataclass
class Throughput:
    """Images a second, of all processes together; medians over the repeats.

    Attributes:
        num_processes: processes, of one thread each.
        decoding, forward, labelling: by wall time.
        of_best: labelling as a share of what decoding and forward allow, by wall time.
        cpu_of_best: the same by process time.
    """

    num_processes: int
    decoding: float
    forward: float
    labelling: float
    of_best: float
    cpu_of_best: float


@dataclass
class SelectionCost:
    """Filter and balance.

    Attributes:
        num_rows, num_classes, per_class: what was selected from and for.
        vectors_share: of the parts that have soft vectors.
        seconds, peak_gib: of select(), imports and all.
        kept_rows, kept_copies: what was kept.
        narrow_gib: size of the Parquet files.
        top_k: classes of a soft label in the rows; None for whole vectors beside them.
        soft_bytes: of a row's soft label in the Parquet files, compressed; 2 for each class with whole vectors.
        mapped_seconds: of opening the manifest for the first time, which maps it.
        batch_rows: pseudo-labelled rows a second of joint batches, in one process.
        batch_mib, batch_whole_mib: soft labels of one joint batch, and what they would be with all classes.
        batch_peak_gib: the process's peak memory after them.
    """

    num_rows: int
    num_classes: int
    per_class: int
    vectors_share: float
    seconds: float
    peak_gib: float
    kept_rows: int
    kept_copies: int
    narrow_gib: float
    top_k: int | None
    soft_bytes: float
    mapped_seconds: float = 0
    batch_rows: float = 0
    batch_mib: float = 0
    batch_whole_mib: float = 0
    batch_peak_gib: float = 0


def add_arguments(parser) -> None:
    parser.add_argument("--images", help="folder of images to label; without it only selection is measured")
    parser.add_argument("--config", help="config of the teacher (default: --backbone with random weights)")
    parser.add_argument("--checkpoint", help="its weights; they do not change the time")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="timm name (default tf_efficientnet_lite0)")
    parser.add_argument("--num-images", type=int, default=512, help="the first of the folder (default 512)")
    parser.add_argument("--batch-size", type=int, default=32, help="default 32")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--num-workers", type=int, default=0, help="of each process; for a GPU (default 0)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the three measurements (default 3)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="synthetic rows; 0 leaves selection out (default 10 M)"
    )
    parser.add_argument("--num-classes", type=int, default=1000, help="classes of the synthetic rows (default 1000)")
    parser.add_argument("--per-class", type=int, default=4000, help="copies that each class shall have (default 4000)")
    parser.add_argument("--rows-per-part", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--vectors-share", type=float, default=0.01, help="of parts with soft vectors (default 0.01)")
    parser.add_argument("--top-k", type=int, help="soft labels of k classes in the rows, then joint batches of them")
    parser.add_argument(
        "--reading",
        type=int,
        help="measure reading alone: a pool of so many copies of the pictures of --images, as single files and as "
        "shards; empties the system's page cache where it may",
    )
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB (default 2GB)")
    parser.add_argument("--work-dir", help="where files go; by default a temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args) -> int:
    for option in ("num_images", "batch_size", "repeats", "num_classes", "per_class", "rows_per_part"):
        require_from_one(args, option)
    if not args.images and not args.rows:
        raise InputError("expected --images, or --rows above 0, got neither: nothing to measure.")
    if args.reading is not None:
        return _run_reading(args)
    with tempfile.TemporaryDirectory(prefix="labelling-", dir=args.work_dir and make_folder(args.work_dir)) as scratch:
        rates = throughput(args, Path(scratch)) if args.images else []
        cost = selection_cost(args, Path(scratch)) if args.rows else None
    if args.json:
        told = dict(device=args.device, torch=torch.__version__, throughput=[asdict(one) for one in rates])
        print(json.dumps(told | dict(selection=cost and asdict(cost)), indent=1))
    else:
        print(text(args, rates, cost))
    return 0


def _run_reading(args) -> int:
    require_from_one(args, "reading")
    if not args.images:
        raise InputError("expected --images with --reading, a folder of pictures to make the pool of, got none.")
    with tempfile.TemporaryDirectory(prefix="reading-", dir=args.work_dir and make_folder(args.work_dir)) as scratch:
        asked = (args.images, args.reading, args.repeats, Path(scratch))
        cost = shard_reading.reading_cost(*asked, peak_resident_bytes)
    print(json.dumps(asdict(cost), indent=1) if args.json else shard_reading.text(cost))
    return 0


def throughput(args, scratch: Path) -> list[Throughput]:
    """Measure decoding, forward passes and labelling, with each number of processes."""
    from ..upstream.noisy_student.pool import open_pool, read_part

    parts = open_pool(dict(folder=args.images)).parts(scratch / "all", part_size=args.num_images)
    names = [item.path for item in read_part(parts[0])]
    listing = scratch / "images.txt"
    listing.write_text("\n".join(str(Path(name).resolve()) for name in names) + "\n", encoding="utf-8")
    found = []
    for count in args.processes:
        measured = _measure(args, listing, len(names), count, scratch)
        rates = {what: 1e3 * len(names) / took.wall_ms for what, took in measured.items()}
        cpu = {what: took.cpu_ms for what, took in measured.items()}
        best = rates[FORWARD] if args.device != "cpu" else 1 / (1 / rates[DECODING] + 1 / rates[FORWARD])
        of_best, cpu_of_best = rates[LABELLING] / best, (cpu[DECODING] + cpu[FORWARD]) / cpu[LABELLING]
        found.append(Throughput(count, *(rates[what] for what in WHAT), of_best, cpu_of_best))
    return found


def _measure(args, listing: Path, num_images: int, num_processes: int, scratch: Path) -> dict[str, Times]:
    """Wall seconds of the slowest process, process seconds of all, of every repeat, by measurement."""
    context = torch.multiprocessing.get_context("spawn")
    gate, results = context.Barrier(num_processes), context.SimpleQueue()
    keys = ("config", "checkpoint", "backbone", "batch_size", "num_workers", "repeats", "device")
    settings = {key: getattr(args, key) for key in keys}
    part_size = -(-num_images // (2 * num_processes))
    shared = (num_processes, str(listing), part_size, str(scratch), settings, gate, results)
    workers = [context.Process(target=_worker, args=(rank, *shared)) for rank in range(num_processes)]
    for worker in workers:
        worker.start()
    taken: dict[tuple, list] = {}
    try:
        for _ in range(3 * args.repeats * num_processes):
            while results.empty():
                if any(worker.exitcode for worker in workers):
                    raise InputError(
                        "expected the measuring processes to end well, got one that did not: its error is "
                        "above (benchmark labelling)."
                    )
                time.sleep(0.05)
            what, repeat, wall, cpu = results.get()
            taken.setdefault((what, repeat), []).append((wall, cpu))
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    for worker in workers:
        worker.join()
    rounds = [(what, [list(zip(*taken[what, repeat])) for repeat in range(args.repeats)]) for what in WHAT]
    return {what: Times([max(walls) for walls, _ in own], [sum(cpus) for _, cpus in own]) for what, own in rounds}


def _worker(
    rank: int, num_processes: int, listing: str, part_size: int, scratch: str, settings: dict, gate, results
) -> None:
    """One process of a measurement: its share of the parts, three ways, in turns."""
    from ..upstream.noisy_student.labelling import label_pool, logits_of
    from ..upstream.noisy_student.listings.listing import files_of
    from ..upstream.noisy_student.part_images import PartImages
    from ..upstream.noisy_student.pool import open_pool

    torch.set_num_threads(1)
    model, transform = _teacher(settings)
    pool, size = open_pool(dict(list_file=listing)), settings["batch_size"]
    device = next(model.parameters()).device
    own = pool.parts(Path(scratch, f"plan-{rank}"), part_size)[rank::num_processes]
    shapes = [len(batch["images"]) for batch in PartImages(own, size, transform) if batch["images"] is not None]
    ready = torch.randint(0, 256, (size, *transform(_grey()).shape), dtype=torch.uint8)

    def decoding(_):
        for path, _ in (file for part in own for file in files_of(part)):
            transform(_opened(path))

    def forward(_):
        with torch.inference_mode():
            for count in shapes:
                logits_of(model, ready[:count], device)
            if device.type == "cuda":
                torch.cuda.synchronize()

    def labelling(repeat):
        label_pool(
            model,
            pool,
            Path(scratch, f"labels-{num_processes}-{repeat}"),
            batch_size=size,
            rank=rank,
            world_size=num_processes,
            part_size=part_size,
            num_workers=settings["num_workers"],
            transform=transform,
            teacher="benchmark",
        )

    with torch.inference_mode():
        logits_of(model, ready, device)  # a first pass chooses kernels
    for repeat in range(settings["repeats"]):
        for what, work in zip(WHAT, (decoding, forward, labelling)):
            gate.wait()
            took = Times()
            took.add(lambda work=work, repeat=repeat: work(repeat))
            results.put((what, repeat, took.walls[0], took.cpus[0]))


def _teacher(settings: dict):
    from ..registry import MODELS
    from ..upstream.noisy_student.labelling import load_teacher, own_transform

    if settings["config"]:
        return load_teacher(settings["config"], settings["checkpoint"], settings["device"])
    model = MODELS.build(
        dict(type="frozen_det.ImageClassifier", num_classes=1000, backbone=dict(type="timm", name=settings["backbone"]))
    )
    return model.to(settings["device"]).eval(), own_transform(model)


def _opened(path: str):
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")


def _grey():
    from PIL import Image

    return Image.new("RGB", (64, 64))


def selection_cost(args, scratch: Path) -> SelectionCost:
    """Make the rows of a labelled pool, and measure their selection in a fresh process."""
    labels = scratch / "synthetic"
    make_labels(labels, args.rows, args.num_classes, args.rows_per_part, args.vectors_share, args.top_k)
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    what = (str(labels), str(scratch / "manifest.parquet"), args.num_classes, args.per_class, args.memory_limit)
    worker = context.Process(target=_select, args=(*what, args.batch_size if args.top_k else 0, results))
    worker.start()
    worker.join()
    if worker.exitcode:
        raise InputError("expected the selection to end well, got an error, which is above (benchmark labelling).")
    seconds, peak, rows, copies, batches = results.get()
    parts = sorted(labels.glob("part-*.parquet"))
    size = sum(path.stat().st_size for path in parts)
    soft = _soft_bytes(parts) if args.top_k else 2.0 * args.num_classes
    asked = (args.rows, args.num_classes, args.per_class, 1.0 if args.top_k else args.vectors_share)
    return SelectionCost(*asked, seconds, peak / 2**30, rows, copies, size / 2**30, args.top_k, soft, **batches)


def _soft_bytes(parts: list[Path]) -> float:
    """Compressed bytes of a row's soft label, over all rows."""
    import pyarrow.parquet as pq

    size = rows = 0
    for record in map(pq.read_metadata, parts):
        for group in map(record.row_group, range(record.num_row_groups)):
            columns = map(group.column, range(group.num_columns))
            size += sum(one.total_compressed_size for one in columns if one.path_in_schema.startswith("soft_"))
        rows += record.num_rows
    return size / rows


def _select(
    labels: str, out: str, num_classes: int, per_class: int, memory_limit: str, batch_size: int, results
) -> None:
    from ..upstream.noisy_student.selection import select
    from .pseudo_labels.made_batches import joint_batches

    begin = time.perf_counter()
    found = select(labels, out, num_classes=num_classes, per_class=per_class, memory_limit=memory_limit, log=str)
    told = (time.perf_counter() - begin, peak_resident_bytes(), found.num_rows, found.num_copies)
    batches = joint_batches(out, batch_size) | dict(batch_peak_gib=peak_resident_bytes() / 2**30) if batch_size else {}
    results.put((*told, batches))


def text(args, rates: list[Throughput], cost: SelectionCost | None) -> str:
    """The measurements as text, the marks below."""
    lines = []
    if rates:
        cells = [
            f"{one.num_processes}|{one.decoding:.1f}|{one.forward:.1f}|{one.labelling:.1f}|{one.of_best:.2f}|"
            f"{one.cpu_of_best:.2f}".split("|")
            for one in rates
        ]
        lines += [
            f"{args.config or args.backbone}, batches of {args.batch_size}, {args.device}, images a second",
            text_table("processes|decoding|forward|labelling|of best|by CPU time", cells, left=0),
        ]
        lines += ["(to reach: 0.90 of the best)", ""]
    if cost:
        lines += [
            f"selection: {cost.num_rows:,} rows ({cost.narrow_gib:.2f} GiB), {cost.num_classes} classes, "
            f"{cost.per_class} copies each, vectors for {cost.vectors_share:.0%} of the parts",
            f"{cost.seconds:.1f} s, {cost.peak_gib:.2f} GiB at most (to reach: below 4); kept "
            f"{cost.kept_rows:,} images, {cost.kept_copies:,} copies",
        ]
        if cost.top_k:
            lines += [
                f"soft labels of {cost.top_k} classes: {cost.soft_bytes:.1f} bytes a row (whole vectors: "
                f"{2 * cost.num_classes:,})",
                f"joint batches: mapped in {cost.mapped_seconds:.1f} s, {cost.batch_rows:,.0f} rows/s, "
                f"{cost.batch_mib:.3f} MiB of soft labels each (whole vectors: {cost.batch_whole_mib:.1f}), "
                f"{cost.batch_peak_gib:.2f} GiB at most",
            ]
    return "\n".join(lines)
