"""A training as a pipeline stage: run once, resumed, or reused while its settings and inputs are unchanged."""

from pathlib import Path

from ..errors import InputError
from ..weights.kept_checkpoints import best_checkpoint, latest_checkpoint
from .runner.processes import by_first
from .runner.stages import Stages, set_aside
from .runs import train


def train_stage(name: str, cfg, inputs, stages: Stages, which: str | None) -> Path:
    """Train by config, or go on; returns the checkpoint to take."""
    work_dir = Path(cfg.work_dir)
    with stages(name, settings_of(cfg), inputs) as stage:
        if stage.todo:
            if not stage.goes_on:
                by_first(lambda: _set_aside(work_dir, stages))
            train(cfg, f"{name}-{stages.work_dir.name}", stage.goes_on, stages.log)
            stage.outputs = [_checkpoint(work_dir, which)]
    return stage.outputs[0]


def _set_aside(work_dir: Path, stages: Stages) -> None:
    kept = [path for path in work_dir.glob("*") if path.name != stages.times.name]
    set_aside([path for path in kept if not path.name.startswith("previous-")], work_dir, stages.log)


def settings_of(cfg) -> dict:
    """What decides about a training: its config, but for where it runs."""
    return {key: value for key, value in cfg.to_dict().items() if key != "work_dir"}


def data_files(cfg) -> list[Path]:
    """Annotation files named by a training config or in its data sets' folders; images are not read."""
    found = set()
    for split in ("train", "val", "test"):
        dataset = (cfg.get(f"{split}_dataloader") or {}).get("dataset") or {}
        root = Path(dataset.get("data_root") or ".")
        annotations = dataset.get("ann_file")
        if annotations and (root / annotations).is_file():
            found.add(root / annotations)
        if dataset.get("data_root"):
            found.update((root / "annotations").glob("*.json"))
    return sorted(found)


def _checkpoint(work_dir: Path, which: str | None) -> Path:
    """The best checkpoint of a training, or its last; by default the best where one was kept."""
    best = best_checkpoint(work_dir)
    if which == "best" and not best:
        raise InputError(
            f"expected a best checkpoint in {work_dir} (checkpoint='best'), but the training kept none. "
            "Set default_hooks.checkpoint.save_best in its config, or checkpoint='last'."
        )
    found = best if best and which != "last" else latest_checkpoint(work_dir)
    if found is None:
        raise InputError(
            f"expected a checkpoint in {work_dir} after training, found none. Set "
            "default_hooks.checkpoint in the config."
        )
    return found
