"""Labelling a pool by existing engines: this process or torchrun's, static shares, local processes, Ray.

The part is the unit of all of them: whole parts stay, and labels are equal whoever made them. Local processes
(``concurrent.futures``) and Ray hand out one part after the other; Ray gives the parts of a lost worker to another.
Ray's tasks, not its actors: an actor whose node is gone waits for room that the others of its pool never give up, and
its part with it. All machines see the pool, the checkpoint and the labels under the same paths.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import astuple, dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from mmengine.dist import all_gather_object, is_main_process

from ...engine.runner.run_lock import RunLock
from ...errors import InputError
from ...weights.feature_store import FeatureStore
from .label_files import part_record
from .label_plan import planned, to_do
from .label_stages import teacher_of
from .labelling import (
    LabelSummary,
    UnfinishedError,
    as_labelling,
    check_settings,
    finish_labels,
    label_parts,
    label_pool,
    made_by,
)
from .listings.listing import PART_SIZE, Part
from .listings.parquet import import_pyarrow
from .pool import open_pool


@dataclass(frozen=True)
class LabelJob:
    """What is labelled by whom, as values that travel to any process.

    Attributes:
        config: Path or shipped name of the classifier's training config.
        sources: See :func:`~.pool.open_pool`.
        out: Folder of the parts.
        checkpoint: File; None takes the weights that ``model.weights`` names.
        options: Overrides of the config.
        batch_size, num_workers, part_size, min_vector_confidence, noise, top_k, device: See
            :func:`~.labelling.label_pool`.
        feature_cache: Folder of a :class:`~frozen_det.weights.feature_store.FeatureStore`, or None.
        list_again: See :func:`~.listings.listing.open_listing`.
    """

    config: str
    sources: list[dict]
    out: str
    checkpoint: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    num_workers: int = 0
    part_size: int = PART_SIZE
    min_vector_confidence: float = 0.0
    noise: bool = False
    top_k: int | None = None
    device: str | None = None
    feature_cache: str | None = None
    list_again: bool = False

    def teacher(self):
        """(model, transform) on this process's device."""
        from ...config import load_config

        store = None if self.feature_cache is None else FeatureStore(self.feature_cache)
        return teacher_of(load_config(self.config, self.options), self.checkpoint, self.noise, store, self.device)


def label_here(
    job: LabelJob, rank: int | None = None, world_size: int | None = None, log: Callable[[str], None] = print
) -> tuple[LabelSummary, bool]:
    """Label this process's share: all, under torch.distributed its rank's, or a static share of processes that know
    nothing of each other (Slurm arrays). Of those, the one that ends last finishes the labels.

    Args:
        job: What.
        rank, world_size: Of the static share; None for the others.
        log: Takes each line of progress.

    Returns:
        What the processes that know of each other did, and whether the labels are finished.

    Raises:
        InputError: See :func:`~.labelling.label_pool`; or another process works in the folder.
    """
    alone = rank is None
    model, transform = job.teacher()
    lock = RunLock(job.out) if alone and is_main_process() else nullcontext()  # static shares share the folder
    with lock:
        done = label_pool(
            model,
            open_pool(job.sources),
            job.out,
            batch_size=job.batch_size,
            num_workers=job.num_workers,
            rank=rank,
            world_size=world_size,
            part_size=job.part_size,
            transform=transform,
            min_vector_confidence=job.min_vector_confidence,
            noise=job.noise,
            top_k=job.top_k,
            list_again=job.list_again,
            log=log,
        )
    if alone:
        every = all_gather_object(done)
        return LabelSummary(*map(sum, zip(*map(astuple, every)))), True
    try:
        finish_labels(job.out)
    except UnfinishedError:
        return done, False
    return done, True


def label_by_processes(job: LabelJob, count: int, log: Callable[[str], None] = print) -> LabelSummary:
    """Label by processes of this machine; the first error ends it, whole parts stay.

    Args:
        job: What.
        count: Of processes, from 1 on.
        log: Takes each line of progress.

    Raises:
        InputError: As :func:`label_here`, or a process was lost.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    if count < 1:
        raise InputError(f"expected a number of processes from 1 on, got {count} (--processes).")

    def work(todo: list[Part], inputs: dict[int, str], made: str) -> Iterator[tuple[int, int] | str]:
        # Spawned: a fork of a process that has used a GPU or threads cannot use them.
        threads = max(1, torch.get_num_threads() // count)
        with ProcessPoolExecutor(count, get_context("spawn"), _begin_worker, (threads,)) as processes:
            futures = [processes.submit(label_one, job, part, inputs[part.number], made) for part in todo]
            try:
                yield from (future.result() for future in as_completed(futures))
            except BrokenProcessPool as error:
                raise InputError(
                    f"expected {count} processes to label to the end, but one was lost ({error}); memory may have "
                    "been short. Whole parts stay: the same command goes on."
                ) from error
            finally:
                processes.shutdown(cancel_futures=True)

    return _label_by(job, work, log)


def _begin_worker(threads: int) -> None:
    """In a local process: its threads, and an end with the process that hands out parts, however that ends."""
    torch.set_num_threads(threads)
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (parent.join(), os._exit(1)), name="end with parent", daemon=True).start()


def label_by_ray(
    job: LabelJob, address: str | None = None, cpus: float = 1, gpus: float = 0, log: Callable[[str], None] = print
) -> LabelSummary:
    """Label by tasks of a Ray cluster, a part each. A part whose worker or node is lost is done by another, as often as
    need be; a worker keeps its teacher. With `gpus` Ray begins a process for each part, which loads it anew.

    Args:
        job: What; paths that all nodes see.
        address: Of a running cluster, ``auto`` for the one that this machine belongs to; None starts one here. A
            connection that this process has is used.
        cpus, gpus: That a part takes.
        log: Takes each line of progress.

    Raises:
        InputError: Ray is not installed or no cluster is there, a number below 0; see :func:`label_here`.
    """
    if not all(math.isfinite(count) and count >= 0 for count in (cpus, gpus)):
        raise InputError(
            f"expected numbers of CPUs and GPUs from 0 on, got {cpus} and {gpus} (--cpus-per-part, --gpus-per-part)."
        )
    ray = _import_ray()
    connected, asked = ray.is_initialized(), dict(CPU=cpus, GPU=gpus)
    if not connected:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"expected a Ray cluster at {address!r}, got none: {error} (--ray).") from error

    def work(todo: list[Part], inputs: dict[int, str], made: str) -> Iterator[tuple[int, int] | str]:
        if todo and not any(
            node["Alive"] and all(node["Resources"].get(kind, 0) >= count for kind, count in asked.items())
            for node in ray.nodes()
        ):
            log(f"no node of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a part: waits until one joins")
        # Not by options(): only here Ray sees that a GPU is used, and ends a worker with its part. Another part may get
        # another GPU, which a process cannot change to.
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=-1)(label_one)
        waiting = [task.remote(job, part, inputs[part.number], made) for part in todo]
        try:
            while waiting:
                ended, waiting = ray.wait(waiting)
                yield from ray.get(ended)
        finally:
            for one in waiting:
                ray.cancel(one)

    try:
        return _label_by(job, work, log)
    finally:
        if not connected:
            ray.shutdown()


def label_one(job: LabelJob, part: Part, inputs: str, made: str) -> tuple[int, int] | str:
    """Label one part in a worker; one that is whole already, by a worker that was lost after it, stays.

    Args:
        job: What.
        part: Which.
        inputs: Hash of what it is made from.
        made: What :func:`~.labelling.made_by` says where the job was begun.

    Returns:
        (images, undecodable images); or what is wrong, in words.
    """
    try:
        out = Path(job.out)
        known = part_record(out, part.number)
        if known is not None and known["inputs"] == inputs:
            return known["num_images"], known["num_undecodable"]
        model, transform, found = _teacher_here(job)
        if found != made:
            raise InputError(
                f"expected the weights and settings that the labelling began with, got others from {job.config} and "
                f"{job.checkpoint} in process {os.getpid()}: they changed meanwhile, or another machine has others."
            )
        device = next(model.parameters()).device
        to_do([part], {part.number: inputs}, out)
        return label_parts(
            model,
            [part],
            out,
            {part.number: inputs},
            job.batch_size,
            job.num_workers,
            transform,
            device,
            job.min_vector_confidence,
            job.noise,
            job.top_k,
        )
    except InputError as error:
        return str(error)


_kept: dict[str, tuple] = {}  # one entry: the teacher that this worker labels with


def _teacher_here(job: LabelJob) -> tuple:
    key = repr(job)
    if key not in _kept:
        _kept.clear()
        model, transform = job.teacher()
        model = as_labelling(model, job.noise)
        batch = job.batch_size if job.noise else None
        _kept[key] = model, transform, made_by(model, transform, job.min_vector_confidence, None, batch, job.top_k)
    return _kept[key]


def _label_by(job: LabelJob, work: Callable[..., Iterator], log: Callable[[str], None]) -> LabelSummary:
    """Plan here, have `work` label the parts that are missing, finish here."""
    import_pyarrow()
    out = Path(job.out)
    with RunLock(out):
        made = _checked(job)
        parts, inputs = planned(open_pool(job.sources), out, job.part_size, made, job.list_again, log)
        todo = to_do(parts, inputs, out)
        log(f"{len(todo)} of {len(parts)} parts are to be labelled")
        images = undecodable = 0
        for number, found in enumerate(work(todo, inputs, made), 1):
            if isinstance(found, str):
                raise InputError(found)
            images, undecodable = images + found[0], undecodable + found[1]
            log(f"{number} of {len(todo)} parts, {images} images")
        finish_labels(out)
    return LabelSummary(len(parts), len(parts) - len(todo), images, undecodable)


def _checked(job: LabelJob) -> str:
    """What :func:`~.labelling.made_by` says here; the teacher is not kept, whose memory the workers may need."""
    model, _, made = _teacher_here(job)
    _kept.clear()
    check_settings(model, job.batch_size, job.num_workers, job.min_vector_confidence, job.top_k)
    return made


def static_share(environment: Mapping[str, str]) -> tuple[int, int]:
    """(rank, number of tasks) of a Slurm array's task.

    Args:
        environment: The process's variables.

    Raises:
        InputError: It is no task of an array, or the array's numbers are no range with one step.
    """
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX", "STEP")]
    given = [environment.get(name, "1" if name.endswith("STEP") else "") for name in names]
    if not all(re.fullmatch(r"\d+", value) for value in given):
        raise InputError(
            f"expected a task of a Slurm array ({', '.join(names[:4])}), got {given[:4]}: start it by sbatch "
            "--array=0-N, or give --rank and --world-size."
        )
    number, count, least, most, step = map(int, given)
    if step < 1 or (most - least) // step + 1 != count or (number - least) % step or not least <= number <= most:
        raise InputError(
            f"expected the tasks of a Slurm array in one range, got task {number} of {count} from {least} to {most}: "
            "some are left out, whose parts nobody would label. Give --rank $SLURM_ARRAY_TASK_ID --world-size N."
        )
    return (number - least) // step, count


def _import_ray():
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "expected the package ray for --ray, got none: pip install 'frozen-det[noisy-student,ray]'."
        ) from error
    return ray
