"""Files that are whole or absent: written under another name in the same folder, synchronised, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it becomes `path`, on any error it is removed.

    The temporary name keeps the suffix of `path`, so that a reader which goes by suffix can check it before it counts.

    Args:
        path: the file to make or replace; its folder is made.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        # Some writers make private files (safetensors does); the result gets the usual rights of a new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
