"""Reads what `torch.save` wrote, without torch's own reader: no code is run, no tensor reaches beyond its storage.

`torch.load(weights_only=True)` runs code before torch 2.6 (CVE-2025-32434) and corrupts memory before 2.10
(CVE-2026-24747), and refuses what mmengine writes. This reader is the same on every version: zip archives and the
format before them; the pickle as plain data (:mod:`.safe_pickle`), its tensors by :mod:`.pickled_tensors`; every
storage as many bytes as its numbers need. Refused: TorchScript and the tar format of 2016.
"""

import io
import os
import shlex
import struct
import sys
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError
from .pickled_tensors import NotPlain, TensorUnpickler, placed, typed
from .safe_pickle import Refused, bounded, refusal

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the format before zip
_MOST_INFLATED = 100  # bytes from one byte of a zip that was packed again
_MOST_NESTED = 3  # streams within streams: a plain pickle of tensors carries each storage as one


class _NotATorchFile(Exception):
    """Whole, but of another kind; the message says which."""


def load(path, map_location="cpu"):
    """Read a `.pth` / `.pt` / `.bin` file. Never runs code from it.

    Args:
        path: the file, or a binary file that can seek.
        map_location: as in `torch.load`.

    Returns:
        What the file holds; objects of the host's classes as
        :class:`.safe_pickle.Inert`.

    Raises:
        InputError: the file is missing, broken, or needs code to be read (the refused name is given).
    """
    where = getattr(path, "name", "the stream") if hasattr(path, "read") else path
    with _one_line(where):
        if hasattr(path, "read"):
            return bounded(_load(path, map_location))
        if not Path(path).is_file():
            raise InputError(
                f"expected a weights file, but {path} does not exist. Give the path of a .pth or .safetensors file."
            )
        with open(path, "rb") as file:
            return bounded(_load(file, map_location))


def unpickle(file, where, **options):
    """A plain pickle (not of `torch.save`) of numbers, arrays and tensors.

    Args:
        file: binary.
        where: its name, for messages.
        options: `encoding`, as of the standard library.

    Raises:
        InputError: it is broken, or needs code.
    """
    with _one_line(where, converter=False):
        return bounded(TensorUnpickler(file, _no_storages, _embedded(1), options.get("encoding", "utf-8")).load())


@contextmanager
def _one_line(where, converter: bool = True):
    """Whatever goes wrong while a file is read is an InputError."""
    try:
        yield
    except InputError:
        raise
    except Refused as error:
        raise refusal(where, error, converter) from error
    except _NotATorchFile as error:
        raise InputError(f"expected a file that torch.save wrote, but {where} is {error}") from error
    except NotPlain as error:
        raise InputError(f"expected plain tensors, but {where} holds {error}.") from error
    except Exception as error:
        first = str(error).splitlines()[0][:300] if str(error) else "no detail"
        size = f"; {Path(where).stat().st_size} bytes" if os.path.isfile(where) else ""
        raise InputError(
            f"expected a checkpoint that torch can read, but {where} is broken or incomplete "
            f"({type(error).__name__}: {first}{size}). Copy or download it again."
        ) from error


def _load(file, map_location):
    head = file.read(512)
    file.seek(-len(head), os.SEEK_CUR)
    if head.startswith(b"PK\x03\x04"):
        return _load_zip(file, map_location)
    if head[257:262] == b"ustar":
        raise _NotATorchFile(
            "a tar archive, as torch wrote before 2017; reading one can run code. Nothing was run. If "
            f"you trust its author: {_converter(file)}"
        )
    return _load_stream(file, map_location)


# ---- zip ------------------------------------------------------------------------------------------------------------


def _load_zip(file, map_location):
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise _NotATorchFile("a zip archive with two entries of one name.")
        pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        root = pickles[0].removesuffix("data.pkl") if len(pickles) == 1 else ""
        if f"{root}constants.pkl" in entries or any(name.startswith(f"{root}code/") for name in entries):
            raise _NotATorchFile(
                "a TorchScript program: reading one runs it. Nothing was run. Save "
                f"`model.state_dict()`, or, if you trust its author: {_converter(file)}"
            )
        if not root:
            raise _NotATorchFile("another zip archive, without a data.pkl of its own (one, in a folder).")
        size = file.seek(0, os.SEEK_END)
        if sum(entry.file_size for entry in entries.values()) > _MOST_INFLATED * size:
            raise _NotATorchFile(f"a zip archive that unpacks to more than {_MOST_INFLATED} times its size.")
        storages = _ZipStorages(file, archive, entries, f"{root}data/", map_location)
        if f"{root}byteorder" in entries:
            order = bytes(storages.content(entries[f"{root}byteorder"]).numpy()).decode()
            if order != sys.byteorder:
                raise _NotATorchFile(f"of a machine with the byte order {order!r}.")
        data = io.BytesIO(storages.content(entries[pickles[0]]).numpy())
        return TensorUnpickler(data, storages).load()


class _ZipStorages:
    """The storages of a zip archive, read when a tensor first needs them."""

    def __init__(self, file, archive, entries, folder: str, map_location):
        self.file, self.archive, self.entries = file, archive, entries
        self.folder, self.map_location, self.found = folder, map_location, {}

    def __call__(self, kind: str, key, location, numel: int, *_):
        if key not in self.found:
            entry = self.entries.get(f"{self.folder}{key}")
            if entry is None:
                raise ValueError(f"the numbers {key!r} are missing")
            self.found[key] = placed(self.content(entry), location, self.map_location)
        return typed(self.found[key], kind, numel)

    def content(self, entry):
        """The bytes of an entry, as a tensor."""
        import torch

        content = torch.empty(entry.file_size, dtype=torch.uint8)
        target = memoryview(content.numpy()).cast("B")
        if entry.compress_type == zipfile.ZIP_STORED:
            self.file.seek(entry.header_offset)
            name, extra = struct.unpack("<26x2H", self.file.read(30))
            self.file.seek(name + extra, os.SEEK_CUR)
            num_read = self.file.readinto(target) if len(target) else 0
        else:
            with self.archive.open(entry) as packed:
                num_read = packed.readinto(target)
        if num_read != entry.file_size:
            raise ValueError(f"{entry.filename} ends after {num_read} of {entry.file_size} bytes")
        # torch can leave the sums out (`set_crc32_options(False)`): they are 0 then.
        if entry.CRC and zlib.crc32(target) != entry.CRC:
            raise ValueError(f"the bytes of {entry.filename} are not those that were written: their CRC-32 differs")
        return content


# ---- the format before zip, also within plain pickles ---------------------------------------------------------------


def _load_stream(file, map_location, level: int = 0):
    """Magic number, protocol, the writer's system, the object, keys of storages, their counts and bytes."""
    at = file.tell()
    left = file.seek(0, os.SEEK_END) - file.seek(at)
    # Only the object holds tensors; what is around it is plain.
    if TensorUnpickler(file, _no_storages, _embedded(level + 1)).load() != _MAGIC:
        raise _NotATorchFile(
            "a pickle of something else. If it holds the weights as arrays, load it where you trust "
            "it, and save them by torch.save."
        )
    protocol, system = (TensorUnpickler(file, _no_storages).load() for _ in range(2))
    if protocol != _PROTOCOL or not isinstance(system, dict):
        raise ValueError(f"protocol {protocol!r}")
    if system.get("little_endian", True) != (sys.byteorder == "little"):
        raise _NotATorchFile("of a machine with another byte order.")
    storages = _StreamStorages(left, map_location)
    loaded = TensorUnpickler(file, storages, _embedded(level + 1)).load()
    storages.fill(file, TensorUnpickler(file, _no_storages).load())
    return loaded


class _StreamStorages:
    """The storages of a stream: their numbers follow behind the object, so they are made empty and filled then."""

    def __init__(self, num_bytes: int, map_location):
        self.left, self.map_location = num_bytes, map_location
        self.found, self.sizes = {}, {}

    def __call__(self, kind: str, key, location, numel: int, view=None):
        import torch

        if key not in self.found:
            num_bytes = typed(None, kind, numel).num_bytes
            self.left -= num_bytes
            if self.left < 0:
                raise ValueError(f"{numel} numbers in {key!r}, more than the file holds")
            self.sizes[key] = num_bytes
            self.found[key] = placed(torch.zeros(num_bytes, dtype=torch.uint8), location, self.map_location)
        whole = typed(self.found[key], kind, numel)
        return whole if view is None else whole.part(*view[1:])

    def fill(self, file, keys) -> None:
        """Read the numbers of every storage."""
        import torch

        if not isinstance(keys, list) or set(keys) != set(self.found) or len(keys) != len(self.found):
            raise ValueError("the numbers of some tensors are missing")
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            size = self.sizes[key]
            content = file.read(size)
            if len(content) != size or count < 0 or (size and (not count or size % count)) or (count and not size):
                raise ValueError(f"{count} numbers in {len(content)} of {size} bytes for {key!r}")
            if size:
                self.found[key].copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8).untyped_storage())


def _no_storages(*_):
    raise Refused("a tensor's numbers where there are none")


def _embedded(level: int):
    """The function that replaces torch's reader of bytes within a pickle."""

    def read(content):
        if type(content) not in (bytes, bytearray) or level > _MOST_NESTED:
            raise Refused("torch.storage._load_from_bytes of something else than a storage's bytes")
        return _load_stream(io.BytesIO(content), "cpu", level)

    return read


def _converter(file) -> str:
    path = Path(getattr(file, "name", "FILE.pth"))
    return (
        f"frozen-det convert --trust {shlex.quote(str(path))} -o {shlex.quote(path.with_suffix('.safetensors').name)}"
    )
