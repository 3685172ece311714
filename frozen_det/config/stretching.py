"""Multiplies what a config counts in epochs towards the run's end: its length, the learning rate's schedule, hooks.

What counts iterations stays, and so does what recurs (validation, checkpoints). It refuses nothing.
"""

_PLACES_IN_TIME = (
    "begin",
    "end",
    "T_max",
    "milestones",
    "step_size",
    "total_iters",
    "periods",
    "total_steps",
    "warm_up",
)
_EPOCHS_OF_HOOKS = {
    "UnfreezeHook": "epoch",
    "PipelineSwitchHook": "switch_epoch",
    "YOLOXModeSwitchHook": None,
}  # counts from the end: nothing to stretch


def counts_epochs(cfg) -> bool:
    """Whether the training loop's length is a number of epochs."""
    loop = cfg.get("train_cfg") or {}
    return bool(loop.get("by_epoch") or type_name(loop) == "EpochBasedTrainLoop")


def type_name(node) -> str:
    """The name of a dict's type without its scope; configs of mmengine's lazy style hold the class itself."""
    kind = node.get("type", "")
    return getattr(kind, "__name__", str(kind)).rpartition(".")[2]


def stretch_length(cfg, factor: float) -> list[str]:
    """Multiply the epochs of a run, of its schedule and of its hooks by ``factor``, rounded, at least 1.

    Args:
        cfg: mmengine's Config with ``train_cfg``; changed in place.
        factor: above 0.

    Returns:
        What was changed, as text, e.g. ``["max_epochs 8 -> 80", ...]``; empty for a run in iterations.
    """
    notes: list[str] = []
    if not counts_epochs(cfg):
        return notes
    stretch(cfg.train_cfg, "max_epochs", factor, notes)
    schedulers = cfg.get("param_scheduler") or []
    for number, scheduler in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        if scheduler.get("by_epoch", True):
            _stretch_scheduler(scheduler, factor, notes, f"param_scheduler.{number}.")
    if isinstance(schedulers, list | tuple):
        left_out = [
            one
            for one in schedulers
            if one.get("by_epoch", True) and one.get("end") is not None and one["end"] <= one.get("begin", 0)
        ]
        if left_out:  # a run cut down to its warm-up; mmengine builds no scheduler without a step
            notes.append(f"without {', '.join(map(type_name, left_out))}")
            cfg.param_scheduler = [one for one in schedulers if one not in left_out]
    for hook in cfg.get("custom_hooks") or []:
        key = _EPOCHS_OF_HOOKS.get(type_name(hook))
        if key:
            stretch(hook, key, factor, notes, f"{hook['type']}.")
    return notes


def stretch(node, key: str, factor: float, notes: list[str], where: str = "") -> None:
    """Multiply one number, or a list of them, in place and note it."""
    old = node.get(key)
    if isinstance(old, bool) or not isinstance(old, int | float | list | tuple):
        return
    if isinstance(old, float):  # fractions of an epoch stay fractions
        new = old * factor
    else:
        new = times(old, factor) if isinstance(old, int) else [times(one, factor) for one in old]
    if new != old:
        node[key] = new
        shown = f"{new:.4g}" if isinstance(new, float) else new  # 1.04, not 1.0399999999999998
        notes.append(f"{where}{key} {old} -> {shown}")


def times(count: int, factor: float) -> int:
    """A number of epochs, multiplied; 0 and below (from the start, never) stay."""
    return max(1, round(count * factor)) if count > 0 else count


def _stretch_scheduler(scheduler, factor: float, notes: list[str], where: str) -> None:
    spanned = _spans_its_range(scheduler)
    for key in _PLACES_IN_TIME:
        if key != "T_max" or not spanned:
            stretch(scheduler, key, factor, notes, where)
    if spanned:  # rounded alone, the range's two ends and its length would come apart
        old, scheduler["T_max"] = scheduler["T_max"], scheduler["end"] - scheduler.get("begin", 0)
        if scheduler["T_max"] != old:
            notes.append(f"{where}T_max {old} -> {scheduler['T_max']}")
    if type_name(scheduler) in ("ExponentialLR", "ExponentialParamScheduler") and "gamma" in scheduler:
        scheduler["gamma"] = scheduler["gamma"] ** (1 / factor)  # per epoch, and there are more of them
        notes.append(f"{where}gamma")


def _spans_its_range(scheduler) -> bool:
    end, length = scheduler.get("end"), scheduler.get("T_max")
    return end is not None and length is not None and length == end - scheduler.get("begin", 0)
