"""A file backend for checkpoints: a file is whole or absent, and nothing old goes before the new is on disk.

mmengine writes checkpoints in place and removes the outdated one (also the previous best) *before* it writes its
successor: a kill in between loses a finished checkpoint.
"""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from .atomic_write import replacing

NAME = "frozen_det_atomic"
_outdated: list[Path] = []


class AtomicBackend(LocalBackend):
    """Local files, written under another name and renamed; removals wait for the next finished write."""

    def put(self, obj: bytes, filepath) -> None:
        """Write `obj` so that `filepath` is either the old file or the whole new one."""
        write_atomically(Path(filepath), obj)
        remove_outdated(keep=Path(filepath))

    def remove(self, filepath) -> None:
        """Mark for removal; done after the next :meth:`put`."""
        _outdated.append(Path(filepath))


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes to `path` so that it is whole or absent."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def remove_outdated(keep: Path | None = None) -> None:
    """Remove the files marked by :meth:`AtomicBackend.remove`, except `keep`."""
    while _outdated:
        path = _outdated.pop()
        if path != keep:
            path.unlink(missing_ok=True)


def register() -> None:
    """Make the backend known to mmengine. Safe to call many times."""
    register_backend(NAME, AtomicBackend, force=True)
