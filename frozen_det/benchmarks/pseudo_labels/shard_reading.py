"""What a student reads: single files in any order against shards in sequence, from a cold cache; memory of both.

The pool is copies of a folder's images under names of their own. Each measurement empties the page cache first, and
then reads a tenth of the pool as a student would, in its sampler's order; ways of reading take turns. Memory is that of
processes that read equally many pictures, of the pool or of a tenth of it.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ...errors import InputError

FILES, SHARDS = "single files", "shards"
_CACHES = Path("/proc/sys/vm/drop_caches")
_IN_FOLDER = 1000


@dataclass
class ReadingCost:
    """Reading, cold, by one process; of each repeat.

    Attributes:
        num_images, mean_bytes: the pool.
        num_read: pictures read in each measurement.
        emptied: how the cache was emptied.
        read: pictures a second, bytes alone, by way of reading.
        decoded: the same, read and decoded.
        cpu_ms: process time of reading one picture, median.
        written: pictures a second of writing the shards, from files that were just written.
        peak_mib: the process's peak memory, of a tenth of the pool and of all of it, by way of reading.
    """

    num_images: int
    mean_bytes: float
    num_read: int
    emptied: str
    read: dict[str, list[float]]
    decoded: dict[str, list[float]]
    cpu_ms: dict[str, float]
    written: float
    peak_mib: dict[str, list[float]]


def reading_cost(
    images: str, num_images: int, repeats: int, scratch: Path, peak_bytes: Callable[[], int]
) -> ReadingCost:
    """Make a pool and its shards, and measure.

    Args:
        images: folder of pictures to copy.
        num_images: of the pool.
        repeats: of every measurement.
        scratch: folder with room for the pool twice.
        peak_bytes: peak memory of the process that calls it.
    """
    paths = _copies(images, num_images, scratch / "pool")
    num_read = max(num_images // 10, 1)
    small, _ = _sources(paths[:num_read], scratch / "tenth")
    whole, seconds = _sources(paths, scratch / "whole")
    read: dict[str, list[float]] = {FILES: [], SHARDS: []}
    decoded: dict[str, list[float]] = {FILES: [], SHARDS: []}
    cpu: dict[str, list[float]] = {FILES: [], SHARDS: []}
    peak: dict[str, list[float]] = {FILES: [], SHARDS: []}
    emptied = ""
    for repeat in range(repeats):
        turns = [(way, decode) for way in (FILES, SHARDS) for decode in (False, True)]
        found = _measured([(whole[way], decode) for way, decode in turns], num_read, repeat, peak_bytes)
        emptied = found[-1][3]
        for (way, decode), (rate, spent, _, _) in zip(turns, found):
            (decoded if decode else read)[way].append(rate)
            if not decode:
                cpu[way].append(1e3 * spent / num_read)
    for way in (FILES, SHARDS):
        peak[way] = [
            _measured([(one[way], False)], num_read, repeats, peak_bytes)[0][2] / 2**20 for one in (small, whole)
        ]
    size = sum(os.path.getsize(path) for path in paths) / num_images
    spent = {way: statistics.median(values) for way, values in cpu.items()}
    return ReadingCost(num_images, size, num_read, emptied, read, decoded, spent, num_images / seconds, peak)


def text(cost: ReadingCost) -> str:
    """The measurements as text."""
    lines = [
        f"reading {cost.num_read:,} of {cost.num_images:,} pictures of {cost.mean_bytes / 1e3:.1f} kB, cold "
        f"({cost.emptied}), one process; shards written at {cost.written:.0f} pictures/s"
    ]
    for way in (FILES, SHARDS):
        told = [
            f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            for rates in (cost.read[way], cost.decoded[way])
        ]
        lines.append(
            f"{way}: {told[0]} pictures/s, {cost.cpu_ms[way]:.3f} ms of process time each; with decoding {told[1]}; "
            f"memory {cost.peak_mib[way][0]:.0f} MiB of a tenth of the pool, {cost.peak_mib[way][1]:.0f} of all of it"
        )
    for name, rates in (("reading", cost.read), ("with decoding", cost.decoded)):
        ratios = [shards / files for files, shards in zip(rates[FILES], rates[SHARDS])]
        lines.append(f"shards / single files, {name}: {', '.join(f'{one:.2f}' for one in ratios)}")
    return "\n".join(lines)


def _copies(images: str, count: int, folder: Path) -> list[str]:
    from ...upstream.noisy_student.pool import open_pool, read_part

    parts = open_pool(dict(folder=images)).parts(folder.parent / "listing", part_size=count)
    given = [item.path for item in read_part(parts[0])]
    paths = []
    for number in range(count):
        path = folder / f"{number // _IN_FOLDER:05d}" / f"{number:09d}{Path(given[0]).suffix}"
        if number % _IN_FOLDER == 0:
            path.parent.mkdir(parents=True)
        shutil.copyfile(given[number % len(given)], path)
        paths.append(str(path))
    return paths


def _sources(paths: list[str], folder: Path) -> tuple[dict[str, str], float]:
    """Manifest and shards of the pictures, by way of reading, and the seconds of writing the shards."""
    import numpy as np

    from ...upstream.noisy_student.label_files import PLAN, write_rows
    from ...upstream.noisy_student.labelling import finish_labels
    from ...upstream.noisy_student.selection import select
    from ...upstream.noisy_student.shard_files import write_shards
    from ...weights.atomic_write import write_json

    count, labels = len(paths), folder / "labels"
    columns = dict(
        id=np.arange(count),
        path=paths,
        key=[""] * count,
        offset=np.full(count, -1),
        size=[os.path.getsize(path) for path in paths],
        content_hash=[f"{number:032x}" for number in range(count)],
        label=(np.arange(count) % 1000).astype(np.int32),
        confidence=np.ones(count, np.float32),
        decodes=np.ones(count, bool),
        error=[""] * count,
        part=np.zeros(count, np.int32),
        vector=np.full(count, -1),
    )
    labels.mkdir(parents=True)
    (labels / "part-000000.logits").touch()
    told = dict(inputs="made", num_classes=1000, num_images=count, num_undecodable=0, num_vectors=0)
    write_rows(labels, 0, columns, told)
    write_json(labels / PLAN, dict(inputs=["made"]))
    finish_labels(labels)
    manifest = select(labels, folder / "manifest.parquet", num_classes=1000, balanced="none", log=str).manifest
    begin = time.perf_counter()
    write_shards(manifest, folder / "shards", soft=False)
    return {FILES: str(manifest), SHARDS: str(folder / "shards" / "shards.json")}, time.perf_counter() - begin


def _measured(turns: list[tuple[str, bool]], count: int, seed: int, peak_bytes) -> list[tuple[float, float, int, str]]:
    """Of each turn, in a process of its own for all of them: pictures a second, process seconds, peak memory in bytes,
    how the cache was emptied."""
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    worker = context.Process(target=_read_in_turns, args=(turns, count, seed, peak_bytes, results))
    worker.start()
    worker.join()
    if worker.exitcode:
        raise InputError("expected reading to end well, got an error, which is above (benchmark labelling).")
    return results.get()


def _read_in_turns(turns, count: int, seed: int, peak_bytes, results) -> None:
    torch.set_num_threads(1)
    results.put([_read(source, decode, count, seed, peak_bytes) for source, decode in turns])


def _read(source: str, decode: bool, count: int, seed: int, peak_bytes) -> tuple[float, float, int, str]:
    from ...upstream.noisy_student.joint_batches import JointDataset, JointSampler
    from ...upstream.noisy_student.pseudo_labelled import PseudoLabelled

    pseudo = PseudoLabelled(source, labels="hard")
    emptied = _empty_cache(pseudo)
    # Of its first batch, all but the one labelled image are read.
    indices = iter(JointSampler(JointDataset(pseudo, pseudo), 1, count, seed=seed))
    next(indices)
    begin, spent = time.perf_counter(), time.process_time()
    for _ in range(count):
        index = int(next(indices)) - len(pseudo)
        if decode:
            pseudo.read_image(index)
        else:
            pseudo.records.content(index)
    took, spent = time.perf_counter() - begin, time.process_time() - spent
    return count / took, spent, peak_bytes(), emptied


def _empty_cache(pseudo) -> str:
    os.sync()
    try:
        _CACHES.write_text("3")
        return str(_CACHES)
    except OSError:
        pass
    paths = {pseudo.records.path(index) for index in range(len(pseudo))}
    for path in {path if os.path.isfile(path) else os.path.dirname(path) for path in paths}:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "posix_fadvise of each file; names stay"
