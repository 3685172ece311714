"""One exception for everything a user can put right; the command line turns it into one line and exit code 2."""

import errno
import os
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """Bad input: a file, a config key or an argument that does not fit.

    The message says, in this order: what was expected, what came, where (file, config key), what to do.
    """


def closest(name: str, known: Iterable[object], count: int = 3) -> str:
    """``"did you mean 'a', 'b'?"`` for the known names nearest to ``name``; an empty string if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(str(name), [str(k) for k in known], n=count, cutoff=0.4)
    return f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""


def in_short(value: object, most: int = 40) -> str:
    """A value for a message, cut to so many characters."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


class StorageError(InputError):
    """A file or folder that could not be written: the disk is full, rights are missing, the name is too long."""


_REMEDIES = {
    errno.ENOSPC: "Free space there, or name a folder on another disk",
    errno.EDQUOT: "Free part of your quota, or name a folder on another disk",
    errno.EROFS: "Name a folder that can be written",
    errno.EACCES: "Name a folder that you may write, or change the rights of this one",
    errno.EPERM: "Name a folder that you may write, or change the rights of this one",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOTDIR: "A folder is needed here, but part of the path is a file: name another one",
    errno.EEXIST: "A folder is needed here, but there is a file of this name: name another one, or move the file away",
    errno.EISDIR: "A file is written here, but there is a folder of this name: name another one",
    errno.EFBIG: "The file system takes no file of this size: name a folder on another one",
    errno.EIO: "The disk reports a fault: look at it before going on, and name a folder on another one",
    errno.EMFILE: "This process has too many files open: raise the limit (ulimit -n 4096), or take fewer workers",
    errno.ENFILE: "The system has too many files open: end what holds them",
}


def storage_error(error: OSError, path: object = None) -> StorageError:
    """What kept a file from being written, in one line with its path and a remedy.

    Args:
        error: as the system raised it.
        path: what was written; the path that the error names by default.
    """
    at = path if path is not None else error.filename
    words = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "Name another folder")
    return StorageError(f"could not write {at if at is not None else 'a file'}: {words}. {remedy}.")


def check_choice(what: str, value: str, known: Collection[str], where: str = "") -> None:
    """Refuse a value that is none of those known; `where` begins with a space and follows these in the message."""
    if value not in known:
        raise InputError(
            f"expected {what} to be one of {', '.join(known)}{where}, got {value!r}; {closest(value, known)}".rstrip(
                "; "
            )
        )


def refuse_unknown(part: Iterable[str], known: Collection[str], where: str) -> None:
    """Refuse the first key of a part of a config that is none of those known."""
    for key in part:
        if key not in known and not str(key).startswith("_"):
            raise InputError(f"{where} has no key {key!r}; {closest(key, known) or f'it has {sorted(known)}'}")
