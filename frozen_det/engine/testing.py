"""Evaluation of a checkpoint by config, as `frozen-det test` does it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .console import TestConsoleHook
from .runner.processes import set_launcher
from .runs import host_scope, new_runner


def evaluate(
    config: str | Path,
    checkpoint: str | Path | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    work_dir: str | Path | None = None,
    detections: str | None = None,
    classes_file: str | Path | None = None,
    launcher: str = "none",
    tables: bool = True,
    verbose: bool = False,
) -> dict[str, float]:
    """Evaluate a checkpoint on the test data of a config; what `frozen-det test` does.

    Args:
        config: path, or name of a config that ships.
        checkpoint: file, lean or full. None for a classifier whose config has `model.weights`: those are tested.
        options: overrides of the config, ``{"data_root": "my/data"}``.
        work_dir: where the log goes; by default the config's, else ``work_dirs/NAME``.
        detections: prefix under which the detections are stored, ``PREFIX.bbox.json`` and so on
            (:func:`frozen_det.evaluate_stored` reads them); metrics of this package alone.
        classes_file: JSON file for the accuracy of every class of a classifier.
        launcher: how the processes were started: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.
        tables: show the metrics' tables on the console.
        verbose: show the whole log there, as mmengine does; it is in the log file in any case.

    Returns:
        the metrics by name, e.g. ``{"coco/bbox_mAP": 0.41}``: shares of 1; -1 where there is no such object.

    Raises:
        InputError: a config, override or checkpoint that does not fit; broken data.
    """
    from ..config import default_work_dir, load_config
    from ..config.classifiers import is_classifier

    if checkpoint and not Path(checkpoint).is_file():
        raise InputError(f"expected a checkpoint file, but {checkpoint} does not exist.")
    cfg = load_config(config, options)
    if not checkpoint and not (is_classifier(cfg.model) and cfg.model.get("weights")):
        raise InputError(
            f"expected a checkpoint file after the config: {cfg.filename} is not a classifier whose "
            "model.weights could be tested without training."
        )
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or default_work_dir(cfg))
    set_launcher(cfg, launcher)
    cfg.load_from = str(checkpoint) if checkpoint else None
    if detections:
        _store_detections(cfg, detections)
    if classes_file:
        _store_classes(cfg, str(classes_file))
    with host_scope():
        runner = new_runner(cfg, concise=not verbose)
        if tables and not verbose:
            runner.register_hook(TestConsoleHook())
        if not checkpoint:
            getattr(runner.model, "module", runner.model).init_weights()  # the host does this for training alone
        return {name: float(value) for name, value in runner.test().items()}


def _evaluators(cfg) -> Iterator[dict]:
    found = cfg.get("test_evaluator") or []
    yield from found if isinstance(found, list | tuple) else [found]


def _store_detections(cfg, prefix: str) -> None:
    """Let the test's metrics of this package store what they evaluate, unless the config says where already."""
    for one in _evaluators(cfg):
        if one.get("type") in ("frozen_det.CocoMetric", "frozen_det.LVISMetric") and not one.get("outfile_prefix"):
            one["outfile_prefix"] = prefix


def _store_classes(cfg, path: str) -> None:
    """Let a classifier's metric write the accuracy of every class, unless the config says where already.

    Of several such metrics the first does.
    """
    first = next((one for one in _evaluators(cfg) if one.get("type") == "frozen_det.ClassificationMetric"), None)
    if first is not None and not first.get("outfile"):
        first["outfile"] = path
