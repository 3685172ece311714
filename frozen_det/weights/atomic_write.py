"""Files that are whole or absent: written under another name in the same folder, synchronised, then renamed.

The other name holds host, place of the process id, rank, process id and a random part, so that no two writers share
one, whatever machines and containers they are in. A file that cannot be written, because the disk is full or the folder
is not ours, is one error with its path.
"""

import errno
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError, storage_error
from ..host.processes import is_alive, process_place, process_rank

# Names that partial_path() gives; earlier versions gave the process id alone.
PARTIAL = re.compile(
    r"^\..+\.(?:[A-Za-z0-9-]*_(?P<place>[0-9a-f]{8})_\d+_)?(?P<pid>\d+)(?:_[0-9a-f]{8})?\.partial(?:\.[^.]*)?$"
)
# Whether a process elsewhere lives cannot be asked: what it has not written to for so long is taken for left behind.
ABANDONED_S = 24 * 3600


def partial_path(path: Path) -> Path:
    """A name beside `path` that no other call gives, with its suffix.

    It is ``.STEM.HOST_PLACE_RANK_PID_RANDOM.partial.SUFFIX``. A reader that goes by suffix can check it before it
    counts; a pattern that begins with the stem does not find it.
    """
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:24]
    writer = f"{host}_{process_place()}_{process_rank()}_{os.getpid()}_{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem}.{writer}.partial{path.suffix}")


def is_leftover(path: Path) -> bool:
    """Whether a file is one of :func:`partial_path` whose writer is gone.

    Of a writer in another place (another machine, container or boot) that is so once the file has not changed for
    :data:`ABANDONED_S` seconds.
    """
    named = PARTIAL.match(path.name)
    if named is None:
        return False
    try:
        written_at = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if named["place"] in (None, process_place()):
        return not is_alive(int(named["pid"]), written_at)
    return time.time() - written_at > ABANDONED_S


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it becomes `path`, on any error it is removed.

    The temporary name is one of :func:`partial_path`.

    Args:
        path: the file to make or replace; its folder is made.

    Raises:
        StorageError: the disk is full, the folder cannot be written, `path` is a folder.
    """
    path = Path(path).expanduser()
    make_folder(path.parent)
    partial = partial_path(path)
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
    make_folder(path.parent)
    trial = partial_path(path)
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
