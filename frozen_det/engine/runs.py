"""A Runner that shares nothing with the runs before it in the same process."""

import time
from pathlib import Path


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
    return Runner.from_cfg(cfg)


def _forget_visualizer(name: str | None) -> None:
    from mmengine.visualization import Visualizer

    kinds = [Visualizer]
    for kind in kinds:  # grows: subclasses of subclasses
        kinds += kind.__subclasses__()
        old = kind._instance_dict.pop(name, None)
        if old is not None:
            old.close()
