"""Stretches a schedule that counts epochs, so that a share of the data gets as many updates as all of it.

Everything counted in epochs is multiplied: the run's length, the learning rate's schedule, the intervals of
validation and checkpoints, the epoch of an UnfreezeHook. What counts iterations stays. It refuses nothing.
"""

_PLACES_IN_TIME = ("begin", "end", "T_max", "milestones", "step_size", "total_iters", "periods", "total_steps",
                   "warm_up")
_EPOCHS_OF_HOOKS = {"UnfreezeHook": "epoch", "PipelineSwitchHook": "switch_epoch",
                    "YOLOXModeSwitchHook": None}  # counts from the end: nothing to stretch


def stretch_schedule(cfg, factor: float) -> list[str]:
    """Multiply all that a config counts in epochs by ``factor``, rounded, at least 1.

    Args:
        cfg: mmengine's Config with ``train_cfg``; changed in place.
        factor: Above 0; 1 / share of the data.

    Returns:
        What was changed, in words, e.g. ``["max_epochs 8 -> 80", ...]``; empty for a schedule in iterations.
    """
    loop = cfg.get("train_cfg") or {}
    if not (loop.get("by_epoch") or loop.get("type", "") == "EpochBasedTrainLoop"):
        return []
    notes: list[str] = []
    for key in ("max_epochs", "val_interval", "val_begin"):
        _stretch(loop, key, factor, notes)
    if loop.get("dynamic_intervals"):
        loop["dynamic_intervals"] = [(_times(at, factor), _times(every, factor))
                                     for at, every in loop["dynamic_intervals"]]
        notes.append("dynamic_intervals")
    schedulers = cfg.get("param_scheduler") or []
    for number, scheduler in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        if scheduler.get("by_epoch", True):
            _stretch_scheduler(scheduler, factor, notes, f"param_scheduler.{number}.")
    checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if checkpoint.get("by_epoch", True):
        _stretch(checkpoint, "interval", factor, notes, "checkpoint.")
    for hook in cfg.get("custom_hooks") or []:
        key = _EPOCHS_OF_HOOKS.get(str(hook.get("type", "")).rpartition(".")[2])
        if key:
            _stretch(hook, key, factor, notes, f"{hook['type']}.")
    return notes


def _stretch_scheduler(scheduler, factor: float, notes: list[str], where: str) -> None:
    for key in _PLACES_IN_TIME:
        _stretch(scheduler, key, factor, notes, where)
    if scheduler.get("type") in ("ExponentialLR", "ExponentialParamScheduler") and "gamma" in scheduler:
        scheduler["gamma"] = scheduler["gamma"] ** (1 / factor)  # per epoch, and there are more of them
        notes.append(f"{where}gamma")


def _stretch(node, key: str, factor: float, notes: list[str], where: str = "") -> None:
    old = node.get(key)
    if isinstance(old, bool) or not isinstance(old, int | float | list | tuple):
        return
    if isinstance(old, float):  # fractions of an epoch stay fractions
        new = old * factor
    else:
        new = _times(old, factor) if isinstance(old, int) else [_times(one, factor) for one in old]
    if new != old:
        node[key] = new
        notes.append(f"{where}{key} {old} -> {new}")


def _times(count: int, factor: float) -> int:
    return max(1, round(count * factor)) if count > 0 else count
