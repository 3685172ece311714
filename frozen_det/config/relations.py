"""Refuses parts of a config that contradict each other, or of which one would leave another without effect."""

import os
from collections.abc import Mapping

from ..errors import InputError
from .finding import is_shipped, is_stock


def check_relations(
    cfg, where: str, options: Mapping[str, object], interval_setter: str | None = None, of_host: bool = False
) -> None:
    """Refuse contradictions between a config's parts.

    Args:
        cfg: the config with its overrides; where: its file, for messages; options: the overrides.
        interval_setter: the file that sets the validation's interval.
        of_host: whether mmengine alone read it, which does not stretch a schedule with the run.

    Raises:
        InputError: naming both keys.
    """
    if not any(cfg.get(name) for name in ("model", "train_dataloader", "val_dataloader", "test_dataloader")):
        return
    _check_parts(cfg, where)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        _check_workers(cfg.get(name), name, where)
    _check_schedule(cfg, where, of_host)
    _check_interval(cfg, where, options, interval_setter)
    _check_classes(cfg, where, options)
    for split in ("val", "test"):
        _check_same_annotations(cfg, split, where)


def _check_parts(cfg, where: str) -> None:
    """The Runner takes the parts of training, validation and testing whole or not at all."""
    for parts in (
        ("train_dataloader", "train_cfg", "optim_wrapper"),
        ("val_dataloader", "val_cfg", "val_evaluator"),
        ("test_dataloader", "test_cfg", "test_evaluator"),
    ):
        given = [part for part in parts if cfg.get(part) is not None]
        missing = [part for part in parts if part not in given]
        # Data alone are no training: `browse` and `describe` look at them.
        if len(given) == 2 and "model" in cfg and not is_stock(where):
            raise InputError(
                f"{where}: {' and '.join(given)} without {' and '.join(missing)}. Give all three, or set "
                f"{' and '.join(given)} to None, too."
            )


def _check_workers(loader, name: str, where: str) -> None:
    if not hasattr(loader, "get"):
        return
    workers = loader.get("num_workers", 0)
    if workers == 0 and loader.get("persistent_workers"):
        raise InputError(
            f"{where}: {name}.persistent_workers is true, but num_workers is 0: there is none to persist. "
            f"Set {name}.persistent_workers=False."
        )
    if workers == 0 and loader.get("prefetch_factor") is not None:
        raise InputError(
            f"{where}: {name}.prefetch_factor is {loader['prefetch_factor']}, but num_workers is 0. Take it out."
        )


def _check_schedule(cfg, where: str, of_host: bool) -> None:
    loop, schedulers = cfg.get("train_cfg") or {}, cfg.get("param_scheduler") or []
    length = loop.get("max_epochs")
    for number, one in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        place = f"param_scheduler.{number}" if isinstance(schedulers, list | tuple) else "param_scheduler"
        if not hasattr(one, "get"):
            continue
        begin, end = one.get("begin", 0), one.get("end")
        if end is not None and begin >= end:
            raise InputError(f"{where}: {place} begins at {begin} and ends at {end}. Let it end after it begins.")
        if one.get("T_max", 1) is not None and one.get("T_max", 1) < 1:
            raise InputError(f"{where}: expected {place}.T_max as a number of steps from 1 on, got {one['T_max']}.")
        if not length or not one.get("by_epoch", True) or of_host or is_stock(where):
            continue
        first = min(one.get("milestones") or [begin])
        if begin >= length or first > length:
            raise InputError(
                f"{where}: {place} begins to act at epoch {max(begin, first)}, but the run has {length} "
                "epochs (train_cfg.max_epochs): it would have no effect."
            )


def _check_interval(cfg, where: str, options: Mapping[str, object], setter: str | None) -> None:
    """An interval beyond the end is mmengine's idiom for 'at the end only'; given by hand it is a mistake. A
    `val_begin` beyond the end is how stock configs say that nothing is validated."""
    loop = cfg.get("train_cfg") or {}
    interval, length = loop.get("val_interval"), loop.get("max_epochs") or loop.get("max_iters")
    if "train_cfg.val_interval" not in options and (setter is None or is_stock(setter) or is_shipped(setter)):
        return
    if interval and length and interval > length:
        raise InputError(
            f"{where}: train_cfg.val_interval is {interval}, but the run ends at {length}. Validation at "
            f"the end alone is train_cfg.val_interval={length}."
        )


def _check_classes(cfg, where: str, options: Mapping[str, object]) -> None:
    """`frozen_det.Detector` gives its number of classes to every head."""
    model = cfg.get("model") or {}
    if model.get("type") != "frozen_det.Detector":
        return
    source = next((name for name in ("num_classes", "classes_from") if model.get(name) is not None), None)
    for key, value in options.items():
        if source and key.startswith("model.detector.") and key.endswith(".num_classes") and value != model[source]:
            raise InputError(
                f"--cfg-options {key}={value} has no effect: model.{source} gives every head its number "
                f"of classes. Set model.num_classes"
                + ("." if source == "num_classes" else " and model.classes_from=None.")
            )


def _check_same_annotations(cfg, split: str, where: str) -> None:
    """Results are compared with the annotations of the very images that were shown."""
    loader, evaluator = cfg.get(f"{split}_dataloader"), cfg.get(f"{split}_evaluator")
    dataset = (loader.get("dataset") if hasattr(loader, "get") else None) or {}
    if not hasattr(evaluator, "get") or not hasattr(dataset, "get") or is_stock(where):
        return
    shown, judged, root = dataset.get("ann_file"), evaluator.get("ann_file"), dataset.get("data_root") or ""
    if not isinstance(judged, str) or not judged or "://" in judged:
        return
    if not shown and dataset.get("split") and root:
        if os.path.realpath(judged).startswith(os.path.realpath(root) + os.sep):
            return
        shown = root
    elif isinstance(shown, str) and shown:
        shown = shown if os.path.isabs(shown) else os.path.join(root, shown)
        if os.path.realpath(shown) == os.path.realpath(judged):
            return
    else:
        return
    raise InputError(
        f"{where}: {split}_dataloader.dataset shows the images of {shown}, but {split}_evaluator.ann_file "
        f"is {judged}. Name the same file in both."
    )
