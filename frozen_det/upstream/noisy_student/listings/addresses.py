"""A pool's files, local or behind an fsspec address: read, and what is known of them without reading."""

import os

from ....errors import InputError


def is_address(path: str) -> bool:
    """Whether a name goes through fsspec."""
    return "://" in path


def file_system(path: str):
    """(fsspec file system, path in it) of an address or a local path.

    Raises:
        InputError: fsspec cannot open it.
    """
    from fsspec.core import url_to_fs  # torch requires fsspec

    try:
        return url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"expected an address that fsspec can open, got {path!r}: {error} (pool.sources).") from error


def opened(path: str):
    """A file or address, open for reading bytes."""
    if not is_address(path):
        return open(path, "rb")
    system, inner = file_system(path)
    return system.open(inner, "rb")


def read_bytes(path: str, offset: int = -1, size: int = -1) -> bytes:
    """A file's bytes, or ``size`` of them from ``offset`` on; through fsspec where the name is an address.

    Raises:
        OSError: It cannot be read.
    """
    if is_address(path):
        system, inner = file_system(path)
        return system.cat_file(inner, *((None, None) if offset < 0 else (offset, offset + size)))
    with open(path, "rb") as file:
        if offset < 0:
            return file.read()
        file.seek(offset)
        return file.read(size)


def stated(path: str) -> tuple[int | None, str]:
    """A file's size in bytes, and when it was changed (nanoseconds since 1970, or a tag of the store), as text.

    (None, "") of a file that is not there.
    """
    try:
        if is_address(path):
            system, inner = file_system(path)
            info = system.info(inner)
            return info.get("size"), str(info.get("ETag") or info.get("mtime") or info.get("created") or "")
        status = os.stat(path)
        return status.st_size, str(status.st_mtime_ns)
    except OSError:
        return None, ""


def identity(path: str, size: int | None, changed: str) -> bytes:
    """Name, size and time of a file as one line, for digests."""
    return os.fsencode(f"{path}\0absent" if size is None and not changed else f"{path}\0{size} {changed}")
