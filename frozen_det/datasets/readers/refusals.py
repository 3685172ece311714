"""The errors of annotation files as a whole, and what they hold in a few words; of entries: evaluation.entries."""

import reprlib
from typing import NoReturn

from ...errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxlist, _SHORT.maxdict = 3, 80, 6, 6


def refuse(path, expected: str, got: str, remedy: str) -> NoReturn:
    """Refuse a file as a whole."""
    raise InputError(f"{path}: {expected}, {got}; {remedy.rstrip('?.')}{'?' if remedy.endswith('?') else '.'}")


def shown(entry) -> str:
    """An entry in a few words: its keys, or what it is instead of a dict."""
    return f"the keys {few(list(entry))}" if isinstance(entry, dict) else repr(entry)[:80]


def brief(value) -> str:
    """A value of any depth in at most 80 characters; yaml's anchors make some that are gigabytes as text."""
    return _SHORT.repr(value)[:80]


def few(values: list, count: int = 12) -> str:
    """The first values, and how many there are if there are more."""
    return ", ".join(map(str, values[:count])) + (f", ... ({len(values)})" if len(values) > count else "")
