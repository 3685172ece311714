"""Lets the learning rate's schedule follow the run's length, where the length alone is changed.

`train_cfg.max_epochs` on the command line or in a child config would leave a schedule that was written for another
length: it is stretched with it, unless the schedule is given too. A run that counts iterations is refused instead:
which of its numbers belong to the warm-up cannot be known.
"""

import sys
from collections.abc import Mapping

from ..errors import InputError
from .finding import is_shipped, is_stock
from .reading import ConfigFile
from .stretching import stretch_length

_UNITS = ("max_epochs", "max_iters")


def follow_child(cfg, files: list[ConfigFile]) -> None:
    """Stretch a base's schedule where the user's own file changed nothing but the length.

    Raises:
        InputError: the length is counted in iterations.
    """
    author = _author(files)
    for unit in _UNITS:
        now = _length(cfg.get("train_cfg"), unit)
        setter = _last_change(files, lambda values, unit=unit: _length(values.get("train_cfg"), unit))
        if author is None or setter is None or files.index(setter) <= files.index(author):
            continue
        written_for = _length(author.values.get("train_cfg"), unit)
        if now and written_for and now != written_for and not is_stock(setter.path) and not is_shipped(setter.path):
            _follow(cfg, unit, written_for, now, f"in {setter.path}")


def follow_own_name(before, cfg, files: list[ConfigFile], by_child: bool) -> None:
    """Stretch the schedule where a name of the config's own (`epochs`) changed the length and not the schedule.

    Args:
        before: the config with the name's old value; cfg: with the new one, changed in place.
        files: the chain; by_child: whether a child set the name, whose own schedule would be meant for its length.
    """
    if by_child and _author(files) is files[-1]:
        return
    for unit in _UNITS:
        old, new = _length(before.get("train_cfg"), unit), _length(cfg.get("train_cfg"), unit)
        if old and new and old != new and before.get("param_scheduler") == cfg.get("param_scheduler"):
            _follow(cfg, unit, old, new, "by a name of the config's own")


def follow_options(cfg, options: Mapping[str, object]) -> None:
    """Stretch the schedule to the length that the overrides give (before they are merged); their own numbers win.

    Raises:
        InputError: the length is counted in iterations.
    """
    if any(key.split(".")[0] == "param_scheduler" for key in options):
        return
    for unit in _UNITS:
        old, new = _length(cfg.get("train_cfg"), unit), options.get(f"train_cfg.{unit}")
        if old and _whole(new) and new != old:
            _follow(cfg, unit, old, new, "by --cfg-options")
            interval = cfg.train_cfg.get("val_interval")
            if _whole(interval) and interval > new:
                cfg.train_cfg.val_interval = new  # the end is validated either way


def _follow(cfg, unit: str, old: int, new: int, where: str) -> None:
    if unit == "max_iters" and cfg.get("param_scheduler"):
        raise InputError(
            f"train_cfg.max_iters is changed from {old} to {new} {where}, which would leave the learning "
            "rate's schedule as it was. Set param_scheduler too."
        )
    cfg.train_cfg[unit] = old  # what the schedule was written for is stretched, never a length that is new already
    notes = stretch_length(cfg, new / old)
    cfg.train_cfg[unit] = new
    if notes[1:]:
        print(f"train_cfg.max_epochs {old} -> {new} {where}, and so {', '.join(notes[1:])}", file=sys.stderr)


def _author(files: list[ConfigFile]) -> ConfigFile | None:
    return _last_change(files, lambda values: repr(values.get("param_scheduler")))


def interval_setter(files: list[ConfigFile]) -> str | None:
    """The file of a chain that sets the validation's interval."""
    found = _last_change(files, lambda values: _length(values.get("train_cfg"), "val_interval"))
    return found.path if found else None


def _last_change(files: list[ConfigFile], of) -> ConfigFile | None:
    """The file in which a value got what it is in the end."""
    last = None
    for file in files:
        if of(file.values) not in (None, "None") and (last is None or of(file.values) != of(last.values)):
            last = file
    return last


def _length(loop, unit: str) -> int | None:
    length = loop.get(unit) if hasattr(loop, "get") else None
    return length if _whole(length) else None


def _whole(number) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0
