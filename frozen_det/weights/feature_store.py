"""Results of frozen networks on disk, by what they were computed from: a file is whole, its own, or computed again.

A key is two digests: of the function (weights, architecture, options, dtype, library, device) and of its input. Each
entry is a safetensors file that also holds its key and the digest of its tensors, so a file that was cut, changed or
renamed is removed and counted. The folder never grows beyond its limit, whatever number of processes write to it; what
does not fit is left out and counted. Any process may delete the folder between runs.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, storage_error
from ..host.torch_versions import autocast_dtype
from .atomic_write import PARTIAL, is_leftover, make_folder, partial_path
from .digest import fingerprint

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ENTRY = ".safetensors"
_LOCK, _USED = ".lock", ".used"


class FeatureStore:
    """Tensors by key, in a folder that several processes share.

    Args:
        folder: made if it is not there.
        limit: most that all entries of the folder take, e.g. ``"20GB"`` (10^9 bytes) or a number of bytes.

    Attributes:
        num_read, num_written: entries that this object read and wrote.
        num_left_out: entries that did not fit.
        num_broken: files that were not what they said, and were removed.

    Raises:
        InputError: a limit that is no size.
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, limit: str | int = "20GB"):
        self.limit = num_bytes(limit)
        self.folder = make_folder(folder)
        self.num_read = self.num_written = self.num_left_out = self.num_broken = 0
        with self._locked():
            self._recount()

    def read(self, key: tuple[str, str]) -> dict[str, Tensor] | None:
        """The tensors of a key on the CPU, each in memory of its own; None if there is no whole entry."""
        path = self._path(key)
        if not path.is_file():
            return None
        found = _content(path, key)
        if found is None:
            self.num_broken += 1
            path.unlink(missing_ok=True)
        else:
            self.num_read += 1
        return found

    def write(self, key: tuple[str, str], tensors: Mapping[str, Tensor]) -> bool:
        """Store tensors.

        Returns:
            whether they are there now; False if they would exceed the limit.
        """
        from safetensors.torch import save

        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = save(held, {"key": " ".join(key), "digest": fingerprint(held).digest})
        path = self._path(key)
        with self._locked():
            used = self._used()
            if path.is_file():
                return True
            if used + len(content) > self.limit:
                self.num_left_out += 1
                return False
            make_folder(path.parent)
            partial = partial_path(path)
            partial.write_bytes(content)  # not synchronised: a file that a crash cut is found by its digest
            os.replace(partial, path)
            self._set_used(used + len(content))
        self.num_written += 1
        return True

    def summary(self) -> str:
        """One line with the counts."""
        broken = f", {self.num_broken} broken files removed" if self.num_broken else ""
        return (
            f"feature cache {self.folder}: {self.num_read} entries read, {self.num_written} written, "
            f"{self.num_left_out} left out by the limit of {self.limit / 1e9:g} GB{broken}"
        )

    def __deepcopy__(self, memo: dict) -> "FeatureStore":
        return self

    def _path(self, key: tuple[str, str]) -> Path:
        function, given = key
        return self.folder / function[:16] / given[:2] / f"{given}{_ENTRY}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time. The lock is the system's and ends with its process."""
        import fcntl

        try:
            with open(self.folder / _LOCK, "a+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def _recount(self) -> None:
        """Set the bytes in use from the files, and remove what a dead writer left; only a process that was killed
        between two writes makes a difference."""
        used = 0
        for path in self.folder.glob(f"{'[0-9a-f]' * 16}/{'[0-9a-f]' * 2}/*"):  # a folder may hold other things
            if PARTIAL.match(path.name):
                # Where locks do not reach other machines, one of these may be written now.
                if is_leftover(path):
                    path.unlink(missing_ok=True)
            elif path.suffix == ".partial":  # the name that earlier versions gave
                path.unlink(missing_ok=True)
            elif path.suffix == _ENTRY:
                with suppress(FileNotFoundError):
                    used += path.stat().st_size
        self._set_used(used)

    def _used(self) -> int:
        text = (self.folder / _USED).read_text() if (self.folder / _USED).is_file() else ""
        if not text.isdigit():
            self._recount()
            return self._used()
        return int(text)

    def _set_used(self, used: int) -> None:
        (self.folder / _USED).write_text(str(used))


class StoredRows:
    """A frozen function of images that reads stored results; a batch with an image that is not stored is computed.

    Args:
        store: where the results are.
        function: text of everything but images and precision that a result follows from.
        dtype: of the stored values, ``"float32"`` or ``"bfloat16"``. Computed results are rounded to it too, so that
            what comes out does not depend on what was stored before.
    """

    def __init__(self, store: FeatureStore, function: str, dtype: str = "float32"):
        if dtype not in ("float32", "bfloat16"):
            raise InputError(f"expected dtype 'float32' or 'bfloat16' of the feature cache, got {dtype!r}.")
        self.store, self.dtype = store, getattr(torch, dtype)
        self._function = function

    def __call__(self, images: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``compute(images)``, row by row from the store.

        Args:
            images: (N, ...).
            compute: gives tensors of N rows; a row follows from its image alone.
        """
        keys = [(self._key(images), fingerprint({"image": image}).digest) for image in images]
        rows: list = []
        if not keys:
            return compute(images)
        for key in keys:
            rows.append(self.store.read(key))
            if rows[-1] is None:
                return self._computed(images, keys, compute)
        return tuple(
            torch.stack([row[f"{place}"] for row in rows]).to(images.device, rows[0][f"{place}.as"].dtype)
            for place in range(len(rows[0]) // 2)
        )

    def _computed(self, images: Tensor, keys: list, compute: Callable) -> tuple[Tensor, ...]:
        found = compute(images)
        rounded = [one.to(self.dtype) if one.is_floating_point() else one for one in found]
        for place, key in enumerate(keys):
            entry = {str(number): one[place] for number, one in enumerate(rounded)}
            entry |= {f"{number}.as": torch.empty(0, dtype=one.dtype) for number, one in enumerate(found)}
            self.store.write(key, entry)
        return tuple(one.to(before.dtype) for one, before in zip(rounded, found))

    def _key(self, images: Tensor) -> str:
        kind = images.device.type
        state = (self._function, self.dtype, images.dtype, autocast_dtype(kind), kind, torch.__version__)
        return hashlib.sha256(repr(state).encode()).hexdigest()


def _content(path: Path, key: tuple[str, str]) -> dict[str, Tensor] | None:
    """What a file holds; None if that is not whole, or of another key."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            # Copies: matrix products sum in an order that depends on where a tensor begins, and in the mapped file that
            # is any multiple of 8 bytes. What was computed begins where the allocator puts it, as a copy does.
            found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        return None
    same = said.get("key") == " ".join(key) and said.get("digest") == fingerprint(found).digest
    return found if same else None


def num_bytes(size: str | int) -> int:
    """A size in bytes of ``"20GB"``, ``"500 MB"`` or a number.

    Raises:
        InputError: no size, or none above 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)?\s*", str(size), re.IGNORECASE)
    value = int(float(match[1]) * _UNITS[(match[2] or "B").upper()]) if match and not isinstance(size, bool) else 0
    if value < 1:
        raise InputError(f"expected a size such as '20GB' as the limit of the feature cache, got {size!r}.")
    return value
