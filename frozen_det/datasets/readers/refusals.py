"""The errors of annotation files: which file, which entry, what was expected, what came, how many more like it."""

from collections.abc import Callable
from typing import NoReturn

from ...errors import InputError


def refuse(path, expected: str, got: str, remedy: str) -> NoReturn:
    """Refuse a file as a whole."""
    raise InputError(f"{path}: {expected}, {got}; {remedy.rstrip('?.')}{'?' if remedy.endswith('?') else '.'}")


def refuse_entry(path, group: str, number: int, entry, expected: str, got: str, count: int, remedy: str) -> NoReturn:
    """Refuse a file for one entry, the first of ``count`` alike: number ``number`` of the list ``group``."""
    name = f" (id {entry['id']!r})" if isinstance(entry, dict) and "id" in entry else ""
    others = f"; {count} entries in all are like that" if count > 1 else ""
    raise InputError(f"{path}: {group}[{number}]{name}: expected {expected}, got {got}{others}; {remedy}.")


def check_each(entries: list, group: str, path, is_good: Callable, expected: str, got: Callable, remedy: str) -> None:
    """Refuse the file for the first entry that is not good, with the number of such entries.

    Args:
        entries: the list ``group`` of the json.
        is_good: entry -> bool.
        got: entry -> what it holds, in words.
    """
    bad = [number for number, entry in enumerate(entries) if not is_good(entry)]
    if bad:
        refuse_entry(path, group, bad[0], entries[bad[0]], expected, got(entries[bad[0]]), len(bad), remedy)


def shown(entry) -> str:
    """An entry in a few words: its keys, or what it is instead of a dict."""
    return f"the keys {few(list(entry))}" if isinstance(entry, dict) else repr(entry)[:80]


def few(values: list, count: int = 12) -> str:
    """The first values, and how many there are if there are more."""
    return ", ".join(map(str, values[:count])) + (f", ... ({len(values)})" if len(values) > count else "")
