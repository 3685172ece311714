"""Large-scale jitter and Copy-Paste against mmdet's: samples per second, memory, bytes, data loader.

Both see the same images, size and allocator settings, in fresh processes with one thread; times of the two are taken
in turns, sample by sample. `--allocator default` leaves glibc's settings as they are, `kept` puts
MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ at 4 GiB, so that freed buffers stay with the process.

    frozen-det benchmark copy-paste --data FOLDER/coco128
    frozen-det benchmark copy-paste --parts loader --workers 1 2 4     on toy scenes
"""

import json
import os
import pickle
import sys
import tempfile
import time

from ..errors import InputError
from .measurement import Times, add_output, in_fresh_process, in_turns, number, peak_resident_bytes, text_table

ALLOCATORS = {"default": {}, "kept": {"MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_MMAP_THRESHOLD_": str(2**32)}}
PARTS = ("samples", "jitter", "paste", "memory", "loader")


def add_arguments(parser) -> None:
    parser.add_argument("--data", metavar="FOLDER", help="images/ and annotations/*.json (default: toy scenes)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--allocator", nargs="+", choices=list(ALLOCATORS), default=list(ALLOCATORS))
    parser.add_argument("--size", type=int, default=1024, help="side of the samples in px (default: %(default)s)")
    parser.add_argument("--num", type=int, default=128, help="samples of each measurement (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=12, help="of the paste alone (default: %(default)s)")
    parser.add_argument("--objects", type=int, nargs="+", default=[7, 20, 50, 100], help="of the paste alone")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="of the data loader")
    parser.add_argument("--batch-size", type=int, default=4, help="of the data loader (default: %(default)s)")
    parser.add_argument("--donor-cache-mb", type=float, default=256, help="of the third variant, ours with a cache")
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser, device=False)


def run(args) -> int:
    if args.num < 1 or args.size < 32:
        raise InputError(f"expected --num from 1 and --size from 32 on, got {args.num} and {args.size}.")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _toy_scenes(folder)
        for allocator in args.allocator:
            for part in args.parts:
                new = [dict(allocator=allocator, part=part, **row) for row in _measured(part, allocator, data, args)]
                rows += new
                # What is measured is seen at once: a whole run takes minutes.
                print(table(new), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return 0


def table(rows: list[dict]) -> str:
    """The measurements as text, one line for each."""
    cells = [
        f"{row['allocator']}|{row['part']}|{row['of']}|{row['mmdet']:.4g}|{row['frozen_det']:.4g}|"
        f"{number(row['times'], '.2f')}".split("|")
        for row in rows
    ]
    return text_table("allocator|part|of what|mmdet|ours|times", cells, left=3)


def _toy_scenes(folder: str) -> str:
    from ..datasets.toy.toy_scenes import write_toy_scenes

    scenes = os.path.join(folder, "scenes")
    return str(write_toy_scenes(scenes, num_train=128, num_val=1, size_hw=(480, 640), report=lambda _: None))


def _measured(part: str, allocator: str, data: str, args) -> list[dict]:
    """Rows of one part; memory and loader take a process for each variant, the others one for both."""
    settings = {key: getattr(args, key) for key in ("size", "num", "seed", "objects", "trials", "batch_size")}
    settings.update(data=data, cache=args.donor_cache_mb)
    if part == "memory":
        ours, theirs = (_in_process("memory", allocator, settings | dict(arm=arm)) for arm in ("frozen_det", "mmdet"))
        # Small scenes can fit into what the start had already taken: nothing beyond it, and no ratio.
        return [_row(of, theirs[of], ours[of], theirs[of] / ours[of] if ours[of] else None) for of in theirs]
    if part == "loader":
        rows = []
        for workers in args.workers:
            ours, theirs = (
                _in_process("loader", allocator, settings | dict(arm=arm, workers=workers))
                for arm in ("frozen_det", "mmdet")
            )
            rows.append(_row(f"samples/s with {workers} workers", theirs, ours, ours / theirs))
        return rows
    return _in_process(part, allocator, settings)


def _row(of: str, theirs: float, ours: float, times: float | None) -> dict:
    return {"of": of, "mmdet": theirs, "frozen_det": ours, "times": times}


def _in_process(part: str, allocator: str, settings: dict):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    environment |= {"OMP_NUM_THREADS": "1", **ALLOCATORS[allocator]}
    what = f"the part {part!r} to run"
    return in_fresh_process(__spec__.name, part, json.dumps(settings), what=what, env=environment)


def measure_samples(settings: dict) -> list[dict]:
    """Whole samples with Copy-Paste, one process, in turns."""
    from .copy_paste_pipelines import coco_data, copy_paste_samples

    data = coco_data(settings["data"])
    datasets = {arm: copy_paste_samples(arm, data, settings["size"]) for arm in ("mmdet", "frozen_det")}
    datasets["cached"] = copy_paste_samples("frozen_det", data, settings["size"], settings["cache"])
    return _compared(datasets, settings)


def measure_jitter(settings: dict) -> list[dict]:
    """Whole samples with large-scale jitter only."""
    from .copy_paste_pipelines import coco_data, jitter_samples

    data = coco_data(settings["data"])
    return _compared({arm: jitter_samples(arm, data, settings["size"]) for arm in ("mmdet", "frozen_det")}, settings)


def _compared(datasets: dict, settings: dict) -> list[dict]:
    from .copy_paste_pipelines import SeededByPlace

    num = settings["num"]
    samples = {arm: SeededByPlace(dataset, num + 8, settings["seed"]) for arm, dataset in datasets.items()}
    places = {arm: iter([*range(num, num + 8), *range(num)]) for arm in datasets}  # the first eight warm up
    calls = {arm: lambda arm=arm: samples[arm][next(places[arm])] for arm in datasets}
    times = in_turns(calls, num, warm_up=8)
    rows = []
    for arm in [name for name in datasets if name != "mmdet"]:
        name = "" if arm == "frozen_det" else f", {settings['cache']:.0f} MiB donor cache"
        for kind, clock in (("wall", "walls"), ("CPU", "cpus")):
            theirs, ours = (num / sum(getattr(times[one], clock)) for one in ("mmdet", arm))
            rows.append(_row(f"samples/s ({kind} time){name}", theirs, ours, ours / theirs))
    return rows


_PASTE_KINDS = {"boxed": "our masks", "full_in": "full bitmaps in", "full": "full bitmaps in, out"}


def measure_paste(settings: dict) -> list[dict]:
    """The paste alone, on the boxed masks that our jitter hands over and on full bitmaps as mmdet loads them."""
    import numpy as np

    from ..datasets.transforms.copy_paste_sources import choose
    from .copy_paste_pipelines import paste_inputs

    rows = []
    for num_objects in settings["objects"]:
        for selection in ("subset", "all"):
            generator = np.random.default_rng(settings["seed"])
            seconds = {kind: [] for kind in ("mmdet", *_PASTE_KINDS)}
            for trial in range(settings["trials"] + 1):  # the first one warms up
                target, donor = paste_inputs(num_objects, settings["size"], trial)
                chosen = choose(num_objects, selection, generator)
                for kind, taken in _one_paste(target, donor, chosen).items():
                    seconds[kind].append(taken)
            means = {kind: 1e3 * float(np.mean(taken[1:])) for kind, taken in seconds.items()}
            for kind, name in _PASTE_KINDS.items():
                of = f"ms, {num_objects} objects, {selection}, {name}"
                rows.append(_row(of, means["mmdet"], means[kind], means["mmdet"] / means[kind]))
    return rows


def _one_paste(target: dict, donor: dict, chosen) -> dict[str, float]:
    """CPU seconds of one and the same paste by mmdet, and by us for each of :data:`_PASTE_KINDS`."""
    import numpy as np
    from mmdet.datasets.transforms import CopyPaste as MMDetCopyPaste

    from ..datasets.transforms.copy_paste import CopyPaste
    from ..datasets.transforms.copy_paste_patches import patches_of
    from ..datasets.transforms.copy_paste_sources import Donation
    from ..datasets.transforms.cropped_masks import BoxedMasks

    def by_mmdet(target, donor):
        transform = MMDetCopyPaste()
        transform._get_selected_inds = lambda _: chosen
        return transform(target | {"mix_results": [donor]})

    def by_us(target, donor):
        return CopyPaste().apply(target, Donation(patches_of(donor, lambda _: chosen, False), donor))

    def by_us_on_bitmaps(target, donor):
        results = by_us(target, donor)
        results["gt_masks"].masks  # noqa: B018
        return results

    def boxed(sample):
        return sample | dict(gt_masks=BoxedMasks.of(sample["gt_masks"]))

    seconds, outputs = {}, {}
    for kind, function, made in (
        ("mmdet", by_mmdet, dict),
        ("boxed", by_us, boxed),
        ("full_in", by_us, dict),
        ("full", by_us_on_bitmaps, dict),
    ):
        inputs = [_untouchable(made(sample)) for sample in (target, donor)]
        took = Times()
        outputs[kind] = took.add(lambda function=function, inputs=inputs: function(*inputs))
        seconds[kind] = took.cpus[0]
    for kind in _PASTE_KINDS:
        assert np.array_equal(outputs[kind]["img"], outputs["mmdet"]["img"])
        assert np.array_equal(outputs[kind]["gt_bboxes"].tensor, outputs["mmdet"]["gt_bboxes"].tensor)
    return seconds


def _untouchable(sample: dict) -> dict:
    """A sample that both may work on: they write into the image, and put new arrays into the object of masks."""
    import copy

    return sample | dict(img=sample["img"].copy(), gt_masks=copy.copy(sample["gt_masks"]))


def measure_memory(settings: dict) -> dict:
    """Of one variant: bytes of a packed sample, and what the process took at most beyond what it held before."""
    from .copy_paste_pipelines import SeededByPlace, coco_data, copy_paste_samples

    dataset = copy_paste_samples(settings["arm"], coco_data(settings["data"]), settings["size"])
    base = peak_resident_bytes()
    samples = SeededByPlace(dataset, settings["num"], settings["seed"])
    num_bytes = [len(pickle.dumps(sample, pickle.HIGHEST_PROTOCOL)) for sample in samples]
    peak = peak_resident_bytes()
    return {
        "MiB of a sample, mean": sum(num_bytes) / len(num_bytes) / 2**20,
        "MiB of a sample, largest": max(num_bytes) / 2**20,
        "MiB of a worker at most, beyond its start": (peak - base) / 2**20,
        "MiB of a worker at most, in all": peak / 2**20,
    }


def measure_loader(settings: dict) -> float:
    """Samples per second that a data loader hands over, after its first batches."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    from .copy_paste_pipelines import SeededByPlace, coco_data, copy_paste_samples

    dataset = copy_paste_samples(settings["arm"], coco_data(settings["data"]), settings["size"])
    batch_size, workers = settings["batch_size"], settings["workers"]
    warm_up = 2 * workers + 1
    samples = SeededByPlace(dataset, settings["num"] + warm_up * batch_size, settings["seed"])
    loader = iter(
        DataLoader(samples, batch_size, num_workers=workers, collate_fn=pseudo_collate, worker_init_fn=_one_thread)
    )
    for _ in range(warm_up):
        next(loader)
    start, count = time.perf_counter(), 0
    for batch in loader:
        count += len(batch["inputs"])
    return count / (time.perf_counter() - start)


def _one_thread(_: int = 0) -> None:
    import cv2
    import torch

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


if __name__ == "__main__":
    _one_thread()
    print(json.dumps(globals()[f"measure_{sys.argv[1]}"](json.loads(sys.argv[2]))))
