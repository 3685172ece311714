"""Numbers as a report prints them."""

from .blocks import MISSING


def percent(value: float | None) -> str:
    """0.4123 -> '41.2'; missing for None and for -1, the mark of a group without objects."""
    return MISSING if value is None or value == -1 else f"{100 * value:.1f}"


def millions(count: int) -> str:
    """2958848 -> '2.96'."""
    return f"{count / 1e6:.2f}"


def duration(seconds: float) -> str:
    """75 -> '1 min 15 s'; hours from 100 minutes on."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def counted(number: int, thing: str) -> str:
    """'1 object', '3 objects'."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
