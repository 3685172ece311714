"""Files of records, a line of JSON each, that several processes add to, and what is checked of a record when read."""

import base64
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from .arms import BACKBONES
from .sets import NUM_FOLDS, SETS

_REMEDY = "Remove the line: what is missing is measured again."
_RESAMPLES = 200  # of two bytes each, as base64


class Check(NamedTuple):
    """What a value of a record must be.

    Attributes:
        what: in words, after "as".
        holds: whether a value is that.
    """

    what: str
    holds: Callable[[Any], bool]


#: Names to check; a dot stands before a name within another's value.
Fields = Mapping[str, Check]


def one_of(known: Collection) -> Check:
    """One of some names or numbers."""
    return Check(f"one of {', '.join(map(str, known))}", lambda value: type(value) in (str, int) and value in known)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(type(one) is int and one >= 0 for one in value.values())


def _is_resampled(value: Any) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 2 * _RESAMPLES
    except (TypeError, ValueError):
        return False


TEXT = Check("a text", lambda value: isinstance(value, str))
NUMBER = Check("a finite number", _is_number)
NUMBERS = Check("finite numbers by name", _is_numbers)
COUNTS = Check("counts by name, at least one", _is_counts)
RESAMPLED = Check(f"base64 of {_RESAMPLES} numbers of two bytes", _is_resampled)


_ANY: Fields = {"key": TEXT}
#: Of :func:`.running.measured`.
RUNS: Fields = {
    **_ANY,
    "set": one_of(SETS),
    "backbone": one_of(BACKBONES),
    "fold": one_of(range(NUM_FOLDS)),
    "numbers": NUMBERS,
    "numbers.mAP": NUMBER,
    "classes": NUMBERS,
    "val_AP": NUMBER,
    "resampled": RESAMPLED,
    "cpu_s": NUMBER,
}
#: Of :func:`.costs.cost`.
COSTS: Fields = {
    **_ANY,
    **dict.fromkeys(("cpu_ms", "peak_bytes", "base_bytes", "forward_flops", "lean_bytes", "trained_params"), NUMBER),
}
#: Of :func:`.set_facts.facts`.
FACTS: Fields = {
    "key": one_of(SETS),
    **dict.fromkeys(("images", "objects", "relative_side", "distance"), NUMBER),
    "classes": COUNTS,
}


def read_records(path: Path, fields: Fields = _ANY) -> list[dict]:
    """Records in the order in which they were written; none where there is no file.

    Args:
        path: a file, a record each line.
        fields: that every record must have, :data:`RUNS` or another; others may be there.

    Raises:
        InputError: a folder; a line that is no record, lacks a field or has another value than it must; a number
            anywhere that is not finite; two different records of one key.
    """
    must_be_file(path)
    if not path.is_file():
        return []
    found: list[dict] = []
    lines: dict[str, int] = {}
    by_key: dict[str, dict] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"expected a record as JSON in line {number} of {path}, got {line[:60]!r} ({error}). {_REMEDY}"
            ) from error
        wrong = _wrong(record, fields)
        if wrong:
            raise InputError(f"expected {wrong}, in line {number} of {path}. {_REMEDY}")
        key = record["key"]
        if key in by_key and by_key[key] != record:
            raise InputError(
                f"expected one record of {key}, got two that differ, in lines {lines[key]} and {number} of {path}. "
                "Remove one of them, or both: what is missing is measured again."
            )
        by_key[key], lines[key] = record, number
        found.append(record)
    return found


def append_record(path: Path, record: dict) -> None:
    """Add one line.

    Raises:
        InputError: a number is not finite: no reader would take it.
    """
    wrong = next(_not_finite(record), None)
    if wrong:
        raise InputError(
            f"expected finite numbers in the record of {record.get('key')}, got {wrong}; it is not written to {path}. "
            "Measure it again; if that comes again, its data or its training are at fault."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record) + "\n").encode()
    # One call on a file opened to append: lines of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def must_be_file(path: Path, option: str = "") -> None:
    """Refuse a path that cannot be a file, since it is a folder or lies below a file.

    Args:
        path: that is read or written.
        option: of the command that names it.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"expected a file, got the folder {path}{_of(option)}. Name a file, in it or elsewhere.")
    must_be_folder(path.parent, option)


def must_be_folder(path: Path, option: str = "") -> None:
    """Refuse a path that cannot be a folder, since it is a file or lies below one; arguments as above.

    Raises:
        InputError: it cannot.
    """
    there = next((one for one in (path, *path.parents) if one.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"expected a folder, got the file {there}{_of(option)}. Name a folder; it need not be there.")


def _of(option: str) -> str:
    return f" ({option})" if option else ""


def _wrong(record: Any, fields: Fields) -> str:
    """What is wrong with a record, after "expected"; empty for nothing."""
    if not isinstance(record, dict):
        return f"a record with names and values, got {_short(record)}"
    for name, check in fields.items():
        value: Any = record
        for word in name.split("."):
            if not isinstance(value, dict) or word not in value:
                return f"{name!r} as {check.what}, got a record without it"
            value = value[word]
        if not check.holds(value):
            return f"{name!r} as {check.what}, got {_short(value)}"
    wrong = next(_not_finite(record), None)
    return f"finite numbers, got {wrong}" if wrong else ""


def _not_finite(value: Any, name: str = "") -> Iterator[str]:
    """Names of the numbers that are not finite, with these."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{name} {value}"
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _not_finite(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _not_finite(one, f"{name}[{place}]")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
