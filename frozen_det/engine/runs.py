"""A Runner independent of earlier runs in the same process, and the work directory of a training."""

import copy
import functools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from mmengine.dist import barrier, is_distributed

from ..errors import storage_error
from ..host.signatures import subclasses_of
from ..weights.atomic_write import make_folder
from ..weights.kept_checkpoints import checkpoint_to_resume, latest_checkpoint, require_exists
from ..weights.loading import read
from .console import ConciseRunner, ConsoleHook
from .hooks.lean_checkpoint import LeanCheckpointHook
from .hooks.norm_statistics import NormStatisticsHook
from .runner.joined_data import JoinedDataHook
from .runner.lockstep import current_member
from .runner.processes import set_launcher
from .runner.resuming import check_resumable
from .runner.run_guard import RunGuard, refuse_used_folder
from .runner.run_lock import RunLock


@contextmanager
def host_scope() -> Iterator[None]:
    """Types without a scope are mmdet's; torch and mmengine keep what no user could act on to themselves."""
    from mmengine.registry import DefaultScope

    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope("mmdet"):
        warnings.filterwarnings("ignore", message=".*torch.meshgrid.*")
        yield


AGAIN = "the same command again"


@contextmanager
def training_folder(cfg, resume: str | None, log: Callable[[str], None], how: str = AGAIN) -> Iterator[None]:
    """The work directory of a training, checked and held while it runs; `load_from` is set where it resumes.

    Args:
        cfg: of a training; `resume` and `load_from` are set if it goes on.
        resume: ``"auto"`` continues from the newest checkpoint of the work directory, if it has one; a path from that
            file or folder; None begins again.
        log: takes each line of progress.
        how: text that says what resumes it after an interruption.

    Raises:
        InputError: another process works there, it holds an earlier run and `resume` is None, or the checkpoint is
            broken or of another run.
        StorageError: the folder cannot be made or written.

    An exception that ends the training gets `on_disk`: text that says what is left there and how to resume.
    """
    work_dir = Path(cfg.work_dir)
    if resume not in (None, "auto"):
        require_exists(resume)
    with RunLock(work_dir) if is_first_process() else nullcontext():
        if resume is None:
            refuse_used_folder(work_dir, how)
        else:
            path = checkpoint_to_resume(work_dir, None if resume == "auto" else resume)
            if path is not None:
                check_resumable(read(path), cfg, str(path))
                cfg.resume, cfg.load_from = True, str(path)
            log(f"resuming from {path}" if path else f"nothing to resume in {work_dir}: starting from scratch")
        try:
            yield
        except BaseException as error:
            error.on_disk = _on_disk(work_dir, how)
            raise


def is_first_process() -> bool:
    """Whether this process is the only one or the first of a training (torchrun, Slurm and MPI number them)."""
    names = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
    return all(os.environ.get(name, "0") == "0" for name in names)


def _on_disk(work_dir: Path, how: str) -> str:
    newest = latest_checkpoint(work_dir)
    if newest is None:
        return f"No checkpoint had been written to {work_dir} yet."
    return f"On disk: {newest}; {how} resumes from it."


def train(
    cfg, experiment_name: str, resume: bool, log: Callable[[str], None] = lambda line: None, how: str = AGAIN
) -> Path | None:
    """Train by a config in its own `work_dir`; the config is left as it is.

    Args:
        cfg: of a training.
        experiment_name: of the run's log.
        resume: continue from the newest checkpoint of the work directory, if it has one.
        log: takes each line of progress.
        how: text that says what resumes it after an interruption.

    Returns:
        the newest checkpoint at the end, None if the config keeps none.

    Raises:
        InputError: see :func:`training_folder`.
    """
    run = copy.deepcopy(cfg)
    run.experiment_name = experiment_name
    if is_distributed():
        set_launcher(run, "pytorch", log)
    with training_folder(run, "auto" if resume else None, log, how), host_scope():
        new_runner(run).train()
    barrier()  # the first process writes the checkpoint
    return latest_checkpoint(run.work_dir)


def new_runner(cfg, concise: bool = False):
    """mmengine's Runner for a config.

    Args:
        cfg: of a training or test.
        concise: the console says what a person needs; otherwise all that the log file holds.

    mmengine keeps one visualizer for each name, and configs give all theirs the same name: a second run in one
    process (training, then its evaluation; the stages of a chain) would write its log, curves and config into the
    folder of the first. The cached instance is removed. It also names a run's folder by the second in which it starts:
    a test that follows a training of less than that would write into the training's folder, so it waits for the next.

    Raises:
        StorageError: the work directory cannot be made, or its disk is full; later, from the log, that it became so.
    """
    from mmengine.runner import Runner

    visualizer = cfg.get("visualizer")
    if isinstance(visualizer, dict):
        _forget_visualizer(visualizer.get("name") or cfg.get("experiment_name"))
    pin_where_a_gpu_reads(cfg)
    make_folder(cfg.get("work_dir") or "work_dirs")
    while Path(cfg.get("work_dir") or "work_dirs", time.strftime("%Y%m%d_%H%M%S")).exists():
        time.sleep(0.05)
    with _logs_that_stop():
        runner = (ConciseRunner if concise else Runner).from_cfg(cfg)
    member = current_member()
    if member is not None:
        member.adopt(runner)
    runner.register_hook(JoinedDataHook(), priority="VERY_HIGH")
    if concise:
        runner.register_hook(ConsoleHook())
    # Not left to configs: their `custom_hooks` replaces the whole list of the one below.
    if not any(isinstance(hook, NormStatisticsHook) for hook in runner.hooks):
        runner.register_hook(NormStatisticsHook())
    if not any(isinstance(hook, LeanCheckpointHook) for hook in runner.hooks):
        runner.register_hook(RunGuard())
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = functools.partial(_stop_with, handler)
    return runner


def pin_where_a_gpu_reads(cfg) -> None:
    """Batches in pinned memory, which a CUDA device copies from by itself; on the CPU alone torch would only warn.

    Args:
        cfg: `pin_memory` of its loaders is set where a device is there and the config says nothing, and False where
            none is there.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(name)
        if not isinstance(loader, dict):
            continue
        if on_gpu:
            loader.setdefault("pin_memory", True)
        elif loader.get("pin_memory"):
            loader["pin_memory"] = False


@contextmanager
def _logs_that_stop() -> Iterator[None]:
    """The same for files that are opened and written within: the Runner's own log, which it begins itself."""
    logging.FileHandler.handleError = _stop_with
    try:
        yield
    finally:
        del logging.FileHandler.handleError


def _stop_with(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    """A log that cannot be written stops the run in one line; Python's own way is a traceback for every line of it."""
    error = sys.exc_info()[1]
    if isinstance(error, OSError):
        raise storage_error(error, handler.baseFilename) from error
    logging.Handler.handleError(handler, record)


def _forget_visualizer(name: str | None) -> None:
    from mmengine.visualization import Visualizer

    for kind in subclasses_of(Visualizer):
        old = kind._instance_dict.pop(name, None)
        if old is not None:
            old.close()
