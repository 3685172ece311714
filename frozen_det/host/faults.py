"""Exceptions as one line and an exit code: bad input, signals, a full disk, a killed worker, a lost process.

``run_command`` asks :func:`described` before it lets an exception through; anything else is a bug
and keeps its traceback.
"""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputError, StorageError, storage_error
from .presence import PARTS, HostMissingError, require_host

_IN_WORKER = re.compile(r"^Caught (\w+) in (DataLoader worker process|pin memory thread)")
_BUILT = re.compile(r"^class `(\w+)` in ([\w./]+): (.*)", re.S)
_ABSENT = re.compile(r"(\w+) is not in the ([\w:: ]+) registry")
_NO_FILE = re.compile(r"No such file or directory: '?([^'\n]+)'?")


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@contextmanager
def ending_by_signal() -> Iterator[None]:
    """Within it SIGTERM raises :class:`Terminated`, so that files are closed and what is left is said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # asked twice, it ends at once
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def described(error: BaseException) -> tuple[str, int] | None:
    """One line for an exception, and the exit code; None for one that is a fault of the program."""
    on_disk = getattr(error, "on_disk", None)
    left = f" {on_disk}" if on_disk else ""
    if isinstance(error, KeyboardInterrupt):
        return f"stopped by Ctrl-C.{left or ' ' + _AGAIN}", 130
    if isinstance(error, Terminated):
        return f"stopped by SIGTERM.{left or ' ' + _AGAIN}", 143
    if isinstance(error, StorageError):
        return f"{error}{left}", 2
    if isinstance(error, InputError):
        return _own_words(error), 2
    if isinstance(error, OSError):
        return f"{_of_system(error)}{left}", 2
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("frozen_det"):
        return _of_package(error.name), 2
    if words := _of_build(error):
        return f"{words}{left}", 2
    text = str(error)
    if isinstance(error, RuntimeError) and text.startswith("DataLoader worker (pid"):
        return f"{_of_worker(text)}{left}", 1
    if _is_lost_process(error, text):
        return f"another process of this run is gone ({text.splitlines()[0][:120]}).{left}", 1
    if type(error).__name__ == "OutOfMemoryError":
        return (
            f"the GPU's memory is full ({text.splitlines()[0][:120]}). Lower train_dataloader.batch_size "
            f"(`accumulate` keeps the images of an update) or the image size.{left}"
        ), 1
    return None


_AGAIN = "Files that were being written are whole or absent."


def _own_words(error: InputError) -> str:
    """The message alone: torch wraps what a data worker raised into the worker's whole traceback."""
    return str(error).rpartition("frozen_det.errors.InputError: ")[2].strip()


def _of_package(name: str) -> str:
    """A package that is not installed."""
    if name.partition(".")[0] in PARTS:
        try:
            require_host("this command")
        except HostMissingError as error:
            return str(error)
    return (
        f"expected the package {name}, but it is not installed in {sys.prefix}. `frozen-det doctor` lists what is "
        "missing and what to type; a module that a config names in custom_imports must be on PYTHONPATH."
    )


def _of_build(error: BaseException) -> str | None:
    """One line for an exception of a build; None for any other.

    mmengine puts the class's name before the text of whatever its constructor raised.
    """
    text = str(error.args[0]) if error.args else ""
    built = _BUILT.match(text)
    if built:
        while inner := _BUILT.match(built[3]):  # a part of a part
            built = inner
        return f"{built[1]} cannot be built from the config: {_first_line(built[3])}"
    absent = _ABSENT.search(text)
    if absent:
        return (
            f"there is no type {absent[1]!r} in the registry {absent[2]}. Look at its spelling and at "
            "custom_imports of the config."
        )
    return None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no detail")


def _of_system(error: OSError) -> str:
    """An error of the system; torch keeps only the text of one that a data worker met."""
    text = str(error)
    if _IN_WORKER.match(text):
        text = text.strip().splitlines()[-1]
        missing = _NO_FILE.search(text)
        return _missing(missing[1]) if missing else f"a data worker failed: {text}."
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return _missing(error.filename)
    if error.filename is not None or error.errno in (28, 122):
        return str(storage_error(error)).replace("could not write", "could not open or write", 1)
    return f"the system reports {type(error).__name__}: {text}."


def _missing(path) -> str:
    return (
        f"expected the file {path}, but it does not exist (any more). Put it back, or take it off the list that "
        "names it."
    )


def _of_worker(text: str) -> str:
    found = re.search(r"\(pids?\(?s?\)? ?([\d, ]+)\)(.*)", text.splitlines()[0])
    how = "killed" if "Killed" in text else "ended" if "exited" in text else "killed"
    memory = (
        "Most often the machine's memory was full: lower num_workers of the data loaders. "
        if "Killed" in text
        else "If it was shared memory (/dev/shm), lower num_workers or raise its size. "
        if "Bus error" in text
        else ""
    )
    return f"a data worker{f' (process {found[1].strip()})' if found else ''} was {how} from outside. {memory}".strip()


def _is_lost_process(error: BaseException, text: str) -> bool:
    """Whether torch's process group says that one of its members is gone."""
    known = type(error).__name__ in ("DistBackendError", "DistNetworkError")
    lost = (
        "Connection closed by peer",
        "Connection reset by peer",
        "gloo",
        "Socket Timeout",
        "NCCL error",
        "Broken pipe",
        "Timed out waiting",
    )
    return known or isinstance(error, RuntimeError) and any(word in text for word in lost)
