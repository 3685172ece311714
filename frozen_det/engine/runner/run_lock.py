"""One run at a time in a work directory: a lock that ends with its process, however that ends.

The lock is the system's own (POSIX record locks: not inherited by data workers, kept by NFS for all its machines).
Where a file system has none, a record of machine, process and time replaces it, which is void once that process is
gone: asked where its id is valid, elsewhere (another machine, container or boot) seen from the file's time, which its
holder sets anew every :data:`BEAT_S` seconds; after :data:`SILENCE_S` without that it is gone. A second run is refused,
with the number of the first.
"""

import errno
import json
import os
import socket
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path

from ...errors import InputError, storage_error
from ...host.processes import is_alive, process_place
from ...weights.atomic_write import make_folder

NAME = ".run.lock"
# Ten beats may be missed by a holder that is stopped or whose file server is slow.
BEAT_S, SILENCE_S = 60, 600
_held: dict[str, "_Lock"] = {}  # by the file's real path: what this process holds
_guard = threading.Lock()
_given_back: "deque[tuple[str, _Lock]]" = deque()


class InUseError(InputError):
    """Another process holds the folder."""


class RunLock:
    """Holds a work directory for this process; taken again within the process, it is one lock.

    Args:
        folder: the work directory; made if it is not there.
        name: of the file in it; another name is another lock.

    Raises:
        InUseError: another process holds it.
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, folder, name: str = NAME):
        folder = make_folder(folder)
        key = os.path.join(os.path.realpath(folder), name)
        try:
            with _guard:
                lock = _held.get(key)
                if lock is None or lock.pid != os.getpid():  # a fork inherits the entry, not the lock
                    lock = _held[key] = _Lock(folder / name)
                lock.count += 1
        finally:
            _settle()
        self._end = weakref.finalize(self, _let_go, key, lock)

    def release(self) -> None:
        """Give the folder free, if nothing else in this process holds it. Safe to call twice."""
        self._end()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *error) -> None:
        self.release()


def _let_go(key: str, lock: "_Lock") -> None:
    # The garbage collector may call this where this thread holds the guard: it never waits for it.
    if lock.pid == os.getpid():
        _given_back.append((key, lock))
        _settle()


def _settle() -> None:
    """Count what was given back; whoever holds the guard now does so after it."""
    while _given_back and _guard.acquire(blocking=False):
        try:
            while _given_back:
                key, lock = _given_back.popleft()
                lock.count -= 1
                if lock.count == 0:
                    _held.pop(key, None)
                    lock.end()
        finally:
            _guard.release()


class _Lock:
    """The lock itself: an open file whose first bytes are locked."""

    def __init__(self, path: Path):
        self.pid, self.count = os.getpid(), 0
        self.path, self.record = path, {}
        self._ended = threading.Event()
        while True:
            try:
                self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise storage_error(error, self.path) from error
            if not _locked(self.file, path.parent):
                holder = _record(self.path)
                os.close(self.file)
                raise _refusal(path, holder)
            # Its former owner removes the file; a lock on a removed one holds nothing.
            if _is_same(self.file, self.path):
                break
            os.close(self.file)
        self._write()
        threading.Thread(target=self._beat, name="run lock", daemon=True).start()

    def _write(self) -> None:
        self.record = dict(
            pid=self.pid, host=socket.gethostname(), place=process_place(), since=time.time(), command=_command()
        )
        try:
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, json.dumps(self.record).encode(), 0)
        except OSError as error:
            self.end()
            raise storage_error(error, self.path) from error

    def _beat(self) -> None:
        """Set the file's time anew until the lock ends, or another process has taken it over after a silence."""
        while not self._ended.wait(BEAT_S):
            with suppress(OSError):
                if not self._is_ours():
                    return
                os.utime(self.path)

    def _is_ours(self) -> bool:
        # Never by opening the file again: closing that would end the system's lock.
        return _parsed(os.pread(self.file, 4096, 0)) in ({}, self.record)

    def end(self) -> None:
        """Remove the file, then release the lock."""
        self._ended.set()
        with suppress(OSError):  # the lock ends with the file's closing all the same
            if self._is_ours():
                self.path.unlink(missing_ok=True)
        os.close(self.file)


def _locked(file: int, folder: Path) -> bool:
    """Lock an open file for this process; False if another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return not _holder_lives(file, folder)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        return not _holder_lives(file, folder)  # a file system without locks


def _holder_lives(file: int, folder: Path) -> bool:
    """Whether the process of the record runs, by its id where that is valid, else by the file's time."""
    record = _parsed(os.pread(file, 4096, 0))
    if not record:
        return False
    # Records of earlier versions have no place.
    here = record["place"] == process_place() if "place" in record else record["host"] == socket.gethostname()
    if not here:
        with tempfile.TemporaryFile(dir=folder) as now:  # its time is the file server's, whatever this machine's clock
            return os.fstat(now.fileno()).st_mtime - os.fstat(file).st_mtime < SILENCE_S
    return record["pid"] != os.getpid() and is_alive(record["pid"], record["since"])


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _record(path: Path) -> dict:
    try:
        return _parsed(path.read_bytes()[:4096])
    except OSError:
        return {}


def _parsed(text: bytes) -> dict:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    known = {"pid": int, "host": str, "since": float, "command": str}
    right = isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in known.items())
    return found if right else {}


def _refusal(path: Path, holder: dict) -> InUseError:
    folder = path.parent
    if not holder:
        return InUseError(
            f"expected a work directory that is not in use, but another process holds {folder} "
            f"({path}). Wait for it, or take another folder (--work-dir)."
        )
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder["since"]))
    elsewhere = holder["host"] != socket.gethostname() or holder.get("place") not in (None, process_place())
    rest = (
        f" If that machine is gone, its hold ends {SILENCE_S // 60} min after its last sign of life; or remove {path}."
        if elsewhere
        else ""
    )
    return InUseError(
        f"expected a work directory that is not in use, but process {holder['pid']} on {holder['host']} has worked "
        f"in {folder} since {since} ({holder['command']}). Wait for it, stop it (kill {holder['pid']}), or take "
        f"another folder (--work-dir).{rest}"
    )


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
