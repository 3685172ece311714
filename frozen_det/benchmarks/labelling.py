"""Labelling a pool against bare decoding and bare forward passes on the same cores; selection among synthetic rows.

Throughput: a process on one thread decodes all images, runs the teacher on the same number of ready batches, and
labels the pool with nothing kept from before; in turns, with one process and with two, each on its own share of the
parts. Both together allow 1 / (1 / decoding + 1 / forward) images a second; to reach: 0.9 of it (on a GPU, where
workers decode meanwhile: 0.9 of the forward passes alone). Process time is given beside wall time: other load on the
machine does not touch it.

Selection: rows as a labelled pool would have them, soft vectors for a share of the parts only; time and the process's
peak memory of select(), in a process of its own. To reach: below 4 GiB.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from .measurement import Times, peak_resident_bytes, require_from_one, text_table

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
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB (default 2GB)")
    parser.add_argument("--work-dir", help="where files go; by default a temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args) -> int:
    for option in ("num_images", "batch_size", "repeats", "num_classes", "per_class", "rows_per_part"):
        require_from_one(args, option)
    if not args.images and not args.rows:
        raise InputError("expected --images, or --rows above 0, got neither: nothing to measure.")
    with tempfile.TemporaryDirectory(prefix="labelling-", dir=args.work_dir) as scratch:
        rates = throughput(args, Path(scratch)) if args.images else []
        cost = selection_cost(args, Path(scratch)) if args.rows else None
    if args.json:
        told = dict(device=args.device, torch=torch.__version__, throughput=[asdict(one) for one in rates])
        print(json.dumps(told | dict(selection=cost and asdict(cost)), indent=1))
    else:
        print(text(args, rates, cost))
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
    from ..upstream.noisy_student.labelling import PartImages, label_pool, logits_of
    from ..upstream.noisy_student.pool import open_pool

    torch.set_num_threads(1)
    model, transform = _teacher(settings)
    pool, size = open_pool(dict(list_file=listing)), settings["batch_size"]
    device = next(model.parameters()).device
    own = pool.parts(Path(scratch, f"plan-{rank}"), part_size)[rank::num_processes]
    shapes = [len(batch["images"]) for batch in PartImages(own, size, transform) if batch["images"] is not None]
    ready = torch.randint(0, 256, (size, *transform(_grey()).shape), dtype=torch.uint8)

    def decoding(_):
        for path in _paths_of(own):
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


def _paths_of(parts) -> list[str]:
    paths = []
    for part in parts:
        with open(part.path, "rb") as file:
            file.seek(part.offset)
            paths += [file.readline().rstrip(b"\n").decode() for _ in range(part.num_files)]
    return paths


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
    make_labels(labels, args.rows, args.num_classes, args.rows_per_part, args.vectors_share)
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    what = (str(labels), str(scratch / "manifest.parquet"), args.num_classes, args.per_class, args.memory_limit)
    worker = context.Process(target=_select, args=(*what, results))
    worker.start()
    worker.join()
    if worker.exitcode:
        raise InputError("expected the selection to end well, got an error, which is above (benchmark labelling).")
    seconds, peak, rows, copies = results.get()
    size = sum(path.stat().st_size for path in labels.glob("part-*.parquet"))
    asked = (args.rows, args.num_classes, args.per_class, args.vectors_share)
    return SelectionCost(*asked, seconds, peak / 2**30, rows, copies, size / 2**30)


def make_labels(folder: Path, num_rows: int, num_classes: int, rows_per_part: int, vectors_share: float) -> None:
    """Finished labels of `num_rows` images that do not exist: classes of unequal frequency, one image in a thousand
    broken, every `1 / vectors_share`-th part with soft vectors."""
    from ..upstream.noisy_student.label_files import PLAN, vectors_path, write_rows
    from ..upstream.noisy_student.labelling import finish_labels

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shares = 1 / (1 + np.arange(num_classes)) ** 0.7
    shares /= shares.sum()
    inputs = []
    for number, start in enumerate(range(0, num_rows, rows_per_part)):
        count = min(rows_per_part, num_rows - start)
        decodes = rng.random(count) > 0.001
        kept = decodes if int((number + 1) * vectors_share) > int(number * vectors_share) else np.zeros(count, bool)
        inputs.append(f"synthetic {number}")
        row = np.arange(start, start + count)
        words = rng.integers(0, 2**63, (count, 2))
        with open(vectors_path(folder, number), "wb") as file:
            for part in np.array_split(np.flatnonzero(kept), 20):
                noise = rng.standard_normal((len(part), num_classes), np.float32)
                file.write((-np.abs(noise)).astype(np.float16).tobytes())
        columns = dict(
            id=words[:, 0],
            path=[f"images/{one // 1000:06d}/{one:09d}.jpg" for one in row],
            key=[""] * count,
            offset=np.full(count, -1),
            size=rng.integers(10_000, 200_000, count),
            content_hash=[f"{high:016x}{low:016x}" for high, low in words.tolist()],
            label=np.where(decodes, rng.choice(num_classes, count, p=shares), -1).astype(np.int32),
            confidence=np.where(decodes, rng.beta(1.2, 1.0, count), 0).astype(np.float32),
            decodes=decodes,
            error=np.where(decodes, "", "UnidentifiedImageError"),
            part=np.full(count, number, np.int32),
            vector=np.where(kept, np.cumsum(kept) - 1, -1),
        )
        counts = dict(num_images=count, num_undecodable=int((~decodes).sum()), num_vectors=int(kept.sum()))
        write_rows(folder, number, columns, dict(inputs=inputs[-1], num_classes=num_classes, **counts))
    (folder / PLAN).write_text(json.dumps(dict(inputs=inputs)), encoding="utf-8")
    finish_labels(folder)


def _select(labels: str, out: str, num_classes: int, per_class: int, memory_limit: str, results) -> None:
    from ..upstream.noisy_student.selection import select

    begin = time.perf_counter()
    found = select(labels, out, num_classes=num_classes, per_class=per_class, memory_limit=memory_limit, log=str)
    results.put((time.perf_counter() - begin, peak_resident_bytes(), found.num_rows, found.num_copies))


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
    return "\n".join(lines)
