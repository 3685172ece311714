"""Files of records, a line of JSON each, that several processes add to."""

import json
import os
from pathlib import Path

from ...errors import InputError


def read_records(path: Path) -> list[dict]:
    """Records in the order in which they were written; none where there is no file.

    Raises:
        InputError: a line that is no record.
    """
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found += [json.loads(line)] if line else []
        except ValueError as error:
            raise InputError(
                f"expected a record as JSON in line {number} of {path}, got {line[:60]!r} ({error}). Remove the line: "
                "what it told is measured again."
            ) from error
    return found


def append_record(path: Path, record: dict) -> None:
    """Add one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record) + "\n").encode()
    # One call on a file opened to append: lines of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)
