"""Refuses a `save_best`, and a `monitor` of early stopping or of a schedule, that no metric of the validation reports.

mmengine would find out after the first validation, or warn at every one and never stop.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from ..errors import InputError, closest
from .finding import is_stock
from .registered import registered

_OF_COCO = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


def check_monitored(cfg, where: str, options: Mapping[str, object]) -> None:
    """Compare the names that hooks watch with those that the validation's metrics give.

    Raises:
        InputError: with the nearest names.
    """
    known = reported_names(cfg.val_evaluator) if cfg.get("val_evaluator") else None
    for place, name in _watched(cfg):
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}: expected a metric's name for {place}, got {name!r}.")
        if not cfg.get("val_evaluator"):  # a `save_best` of a base is taken for off together with the validation
            if place in options or place.endswith("monitor") and not is_stock(where):
                raise InputError(
                    f"{where}: {place} is {name!r}, but this run validates nothing (val_evaluator is None "
                    "or missing). Set it to None."
                )
            continue
        if (
            known is None
            or name == "auto"
            and place.endswith("save_best")
            or any(fnmatchcase(name, one) for one in known)
        ):
            continue
        raise InputError(
            f"{where}: {place} is {name!r}, which the validation does not report; "
            f"{closest(name, known)} It reports {', '.join(sorted(known))}."
        )


def reported_names(evaluator) -> set[str] | None:
    """Names of the numbers that an evaluator gives, `*` matches any text; None where they cannot be known.

    Of a metric that does not list its names, its prefix is known.
    """
    found: set[str] = set()
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        built = registered(str(metric.get("type"))) if hasattr(metric, "get") else None
        if hasattr(built, "reported_names"):
            names = built.reported_names(metric)
        elif getattr(built, "__name__", "") == "CocoMetric" and not metric.get("metric_items"):
            names = _of_mmdets_coco(metric)
        elif hasattr(built, "default_prefix") and (metric.get("prefix") or built.default_prefix):
            names = {"*"}
        else:
            return None
        prefix = metric.get("prefix") or built.default_prefix
        found |= {f"{prefix}/{name}" if prefix else name for name in names}
    return found


def _of_mmdets_coco(metric) -> set[str]:
    kinds = metric.get("metric", "bbox")
    names: set[str] = {"*_precision"} if metric.get("classwise") else set()
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        names |= {"AR@*", "AR_*"} if kind.startswith("proposal") else {f"{kind}_{one}" for one in _OF_COCO}
    return names


def _watched(cfg) -> Iterator[tuple[str, object]]:
    hooks = [(f"default_hooks.{name}", hook) for name, hook in (cfg.get("default_hooks") or {}).items()]
    hooks += [(f"custom_hooks.{index}", hook) for index, hook in enumerate(cfg.get("custom_hooks") or [])]
    for place, hook in hooks:
        kind = str(hook.get("type", "")) if hasattr(hook, "get") else ""
        key = (
            "save_best"
            if kind.endswith("CheckpointHook")
            else "monitor"
            if kind.endswith("EarlyStoppingHook")
            else None
        )
        if key and hook.get(key) is not None:
            names = hook[key] if isinstance(hook[key], list | tuple) else [hook[key]]
            yield from ((f"{place}.{key}", name) for name in names)
    schedulers = cfg.get("param_scheduler") or []
    for index, one in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        if hasattr(one, "get") and "ReduceOnPlateau" in str(one.get("type", "")):
            yield f"param_scheduler.{index}.monitor", one.get("monitor", "loss")  # mmengine's default
