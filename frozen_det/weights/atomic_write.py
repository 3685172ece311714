"""Files that are whole or absent: written under another name in the same folder, synchronised, then renamed.

A file that cannot be written, because the disk is full or the folder is not ours, is one error with its path.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError, storage_error

# Names that replacing() gives; the number is the writer's process.
PARTIAL = re.compile(r"^\..+\.(?P<pid>\d+)\.partial(\.[^.]*)?$")


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it becomes `path`, on any error it is removed.

    The temporary name keeps the suffix of `path`, so that a reader which goes by suffix can check it before it counts.

    Args:
        path: the file to make or replace; its folder is made.

    Raises:
        StorageError: the disk is full, the folder cannot be written, `path` is a folder.
    """
    path = Path(path).expanduser()
    make_folder(path.parent)
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
    except Exception as error:
        fault = _fault_of_writing(error, path, partial)
        if fault is None:
            raise
        raise fault from error
    finally:
        _remove(partial)


def make_folder(folder) -> Path:
    """The folder, made with its parents if it is not there.

    Raises:
        StorageError: it cannot be made.
    """
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error) from error
    return folder


def require_writable(path) -> Path:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Raises:
        StorageError: its folder cannot be made or written, or it is a folder itself.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise storage_error(IsADirectoryError(errno.EISDIR, "", str(path)))
    trial = make_folder(path.parent) / f".{path.stem}.{os.getpid()}.partial{path.suffix}"
    try:
        trial.write_bytes(b"-")
        trial.unlink()
    except OSError as error:
        _remove(trial)
        raise storage_error(error, path) from error
    return path


def write_text(path, text: str) -> None:
    """Write UTF-8 text so that the file is whole or absent."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, content, indent: int | None = 1) -> None:
    """Write content as JSON so that the file is whole or absent."""
    write_text(path, json.dumps(content, indent=indent))


def _fault_of_writing(error: Exception, path: Path, partial: Path) -> StorageError | None:
    """The error in our words, if it says that `path` could not be written; None for any other."""
    if isinstance(error, OSError):
        ours = error.errno is not None and error.filename in (None, str(partial), str(path))
        return storage_error(error, path) if ours else None
    # torch and safetensors put the system's words into errors of their own, or say that the file has another length.
    text = str(error)
    full = (
        "No space left" in text
        or "Disk quota" in text
        or ("file write failed" in text or "unexpected pos" in text)
        and shutil.disk_usage(path.parent).free < 1 << 20
    )
    return storage_error(OSError(errno.ENOSPC, text), path) if full else None


def _remove(partial: Path) -> None:
    # With a name too long, or a folder that cannot be written, there is nothing to remove.
    with suppress(OSError):
        partial.unlink(missing_ok=True)
