"""Stretches a schedule that counts epochs, so that a share of the data gets as many updates as all of it.

Everything counted in epochs is multiplied: the run's length, the learning rate's schedule, the intervals of
validation and checkpoints, the epoch of an UnfreezeHook. What counts iterations stays. It refuses nothing.
"""

from ...config.stretching import counts_epochs, stretch, stretch_length, times


def stretch_schedule(cfg, factor: float) -> list[str]:
    """Multiply all that a config counts in epochs by ``factor``, rounded, at least 1.

    Args:
        cfg: mmengine's Config with ``train_cfg``; changed in place.
        factor: Above 0; 1 / share of the data.

    Returns:
        What was changed, as text, e.g. ``["max_epochs 8 -> 80", ...]``; empty for a schedule in iterations.
    """
    if not counts_epochs(cfg):
        return []
    loop, notes = cfg.train_cfg, stretch_length(cfg, factor)
    for key in ("val_interval", "val_begin"):
        stretch(loop, key, factor, notes)
    if loop.get("dynamic_intervals"):
        loop["dynamic_intervals"] = [
            (times(at, factor), times(every, factor)) for at, every in loop["dynamic_intervals"]
        ]
        notes.append("dynamic_intervals")
    checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if checkpoint.get("by_epoch", True):
        stretch(checkpoint, "interval", factor, notes, "checkpoint.")
    return notes
