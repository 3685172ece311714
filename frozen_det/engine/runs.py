"""A Runner that shares nothing with the runs before it in the same process."""

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .joined_data import JoinedDataHook
from .lean_checkpoint import latest_checkpoint


@contextmanager
def host_scope() -> Iterator[None]:
    """Types without a scope are mmdet's; torch and mmengine keep what no user could act on to themselves."""
    from mmengine.registry import DefaultScope

    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope("mmdet"):
        warnings.filterwarnings("ignore", message=".*torch.meshgrid.*")
        yield


def train(cfg, experiment_name: str, resume: bool, say: Callable[[str], None] = lambda line: None) -> Path | None:
    """Train by a config in its own `work_dir`; the config is left as it is.

    Args:
        cfg: of a training.
        experiment_name: of the run's log.
        resume: go on from the newest checkpoint of the work directory, if it has one.
        say: prints a line.

    Returns:
        the newest checkpoint at the end, None if the config keeps none.
    """
    run = copy.deepcopy(cfg)
    run.experiment_name = experiment_name
    latest = latest_checkpoint(run.work_dir) if resume else None
    if latest is not None:
        run.resume, run.load_from = True, str(latest)
        say(f"resuming from {latest}")
    with host_scope():
        new_runner(run).train()
    return latest_checkpoint(run.work_dir)


def new_runner(cfg):
    """mmengine's Runner for a config.

    mmengine keeps one visualizer for each name, and configs give all theirs the same name: a second run in one
    process (training, then its evaluation; the stages of a chain) would write its log, curves and config into the
    folder of the first. The old one is let go of. It also names a run's folder by the second in which it starts: a
    test that follows a training of less than that would write into the training's folder, so it waits for the next.
    """
    from mmengine.runner import Runner

    visualizer = cfg.get("visualizer")
    if isinstance(visualizer, dict):
        _forget_visualizer(visualizer.get("name") or cfg.get("experiment_name"))
    while Path(cfg.get("work_dir") or "work_dirs", time.strftime("%Y%m%d_%H%M%S")).exists():
        time.sleep(0.05)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(JoinedDataHook(), priority="VERY_HIGH")
    return runner


def _forget_visualizer(name: str | None) -> None:
    from mmengine.visualization import Visualizer

    kinds = [Visualizer]
    for kind in kinds:  # grows: subclasses of subclasses
        kinds += kind.__subclasses__()
        old = kind._instance_dict.pop(name, None)
        if old is not None:
            old.close()
