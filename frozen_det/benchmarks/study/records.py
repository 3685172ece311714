"""Files of records, a line of JSON each, that several processes add to."""

import json
import os
from pathlib import Path


def read_records(path: Path) -> list[dict]:
    """Records in the order in which they were written; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


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
