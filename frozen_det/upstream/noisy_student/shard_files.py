"""Pseudo-labelled images as tar shards in WebDataset's format, written in shuffled order, read nearly in sequence.

Of each copy ``shard-000012.tar`` has the image as it is in the pool (``000012034.jpg``) and ``000012034.json``: its
label, the name of that class, where the image is from, and of top-k labels ``soft_classes``, ``soft_logits``,
``soft_rest``. Whole vectors are ``000012034.npy``, (C,) float16; logits are less their maximum. All copies come in one
shuffled order, so each shard has the classes in the shares of the selection.

``shard-000012.arrow`` says where they are, so that nothing of a shard is read before it is needed. It is written after
the shard: where it is there, the shard is whole. ``shards.json`` is written after all of them.

What the members of a tar file are called is never gone by. An index ends with a digest of itself, says which shards it
is of, and has a checksum of each image and vector: bytes that are not those that were written are refused.
"""

import json
import os
import re
import zlib
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tarfile import BLOCKSIZE, USTAR_FORMAT, TarInfo

import numpy as np
from mmengine.dist import barrier, get_dist_info

from ...engine.runner.processes import by_first
from ...engine.runner.stages import file_digest
from ...errors import InputError
from ...weights.atomic_write import is_leftover, replacing, write_json
from ..shard_reading import OpenShards, ShardOrder
from .listings.digests import hash_of, new_digest
from .listings.parquet import import_pyarrow
from .manifest import ManifestRecords
from .pseudo_records import PseudoRecords
from .top_k import SOFT_COLUMNS, top_fields

SHARDS = "shards.json"
SIZE = 1000
_META = b"frozen_det"
_NAMED = re.compile(r"\.?shard-(\d{6,})\.(tar|arrow|.+\.partial\.(tar|arrow))$", re.ASCII)
_OPEN_INDEXES = 256
_FORMAT = 2
_COLUMNS = dict(name="string", offset="int64", size="int64", crc="uint32", label="int32")


def shard_files(folder, number: int) -> tuple[Path, Path]:
    """The tar file of a shard and its index."""
    return Path(folder, f"shard-{number:06d}.tar"), Path(folder, f"shard-{number:06d}.arrow")


def write_shards(manifest, out_dir, *, size: int = SIZE, seed: int = 0, soft: bool = True) -> tuple[int, int]:
    """Write the copies of a manifest's images as shards; every process writes its share, whole shards stay.

    The order of the copies is a permutation that is drawn at once: 8 bytes a copy while this runs.

    Args:
        manifest: Parquet file that :func:`~.selection.select` wrote.
        out_dir: Folder of the shards, seen by all processes.
        size: Copies in a shard; the last has what is left.
        seed: Of the order.
        soft: With soft labels.

    Returns:
        Shards, and how many of them were there.

    Raises:
        InputError: A size below 1, no manifest, an image that can no longer be read, a soft label that was not kept.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"expected size as a number of images from 1 on, got {size!r} (shards.size).")
    out_dir, (rank, world_size) = Path(out_dir), get_dist_info()
    by_first(lambda: len(ManifestRecords(manifest)))  # maps it, once
    records = ManifestRecords(manifest)
    number_of = -(-len(records) // size)
    made = by_first(lambda: hash_of(f"{_FORMAT} {file_digest(manifest)} {size} {seed} {soft}"))
    inputs = [_inputs_of(made, number) for number in range(number_of)]
    there = by_first(lambda: _begun(out_dir, inputs))
    order = np.random.default_rng(seed).permutation(len(records))
    for number in sorted(set(range(rank, number_of, world_size)) - there):
        _write_shard(records, order, number, size, out_dir, inputs[number], soft)
    barrier()
    by_first(lambda: _finish(records, out_dir, made, size, soft))
    return number_of, len(there)


def _begun(out_dir: Path, inputs: list[str]) -> set[int]:
    """Shards that are whole; what does not belong is removed."""
    out_dir.mkdir(parents=True, exist_ok=True)
    there = {
        number
        for number in range(len(inputs))
        if (_shard_record(out_dir, number) or {}).get("inputs") == inputs[number]
    }
    if len(there) < len(inputs):
        (out_dir / SHARDS).unlink(missing_ok=True)
    for path in out_dir.iterdir():
        named = _NAMED.match(path.name)
        if named is not None and (is_leftover(path) or int(named[1]) >= len(inputs)):
            path.unlink(missing_ok=True)
    return there


def _inputs_of(made: str, number: int) -> str:
    return hash_of(f"{made} {number}")


def _finish(records: ManifestRecords, out_dir: Path, made: str, size: int, soft: bool) -> None:
    found = [_shard_record(out_dir, number) for number in range(-(-len(records) // size))]
    odd = [number for number, one in enumerate(found) if one is None or one["inputs"] != _inputs_of(made, number)]
    if odd:
        raise InputError(f"expected {len(found)} whole shards in {out_dir}, got none of the numbers {odd[:5]}.")
    told = dict(
        made=made,
        num_shards=len(found),
        num_images=len(records),
        size=size,
        num_classes=records.record["num_classes"],
        classes=list(records.classes),
        soft=soft,
        **({"top_k": records.top_k} if soft and records.top_k else {}),
        bytes=sum(one["bytes"] for one in found),
        digest=hash_of(" ".join(one["digest"] for one in found)),
    )
    write_json(out_dir / SHARDS, told)


def _write_shard(
    records: ManifestRecords, order: np.ndarray, number: int, size: int, out_dir: Path, inputs: str, soft: bool
) -> None:
    pa = import_pyarrow()
    tar, index = shard_files(out_dir, number)
    places = range(number * size, min((number + 1) * size, len(order)))
    top = soft and records.top_k is not None
    whole = [pa.field("vector", pa.int64()), pa.field("vector_crc", pa.uint32())] if soft else []
    fields = top_fields(records.record["num_classes"]) if top else whole
    rows: list[dict] = []
    # Contexts end in reverse: the tar file is renamed before its index, which says that it is whole.
    with replacing(index) as partial_index, replacing(tar) as partial_tar:
        with open(partial_tar, "wb") as file:
            written = _Members(file)
            for place in places:
                rows.append(_write_copy(written, records, int(order[place]), f"{place:09d}", soft))
            written.add(None, b"")
        record = dict(inputs=inputs, bytes=written.offset, digest=written.digest.hexdigest())
        schema = pa.schema(
            [*((name, getattr(pa, kind)()) for name, kind in _COLUMNS.items()), *fields],
            metadata={_META: json.dumps(record).encode()},
        )
        content = pa.BufferOutputStream()
        with pa.ipc.new_stream(content, schema) as out:
            out.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
        content = content.getvalue()
        with open(partial_index, "wb") as file:
            file.write(content)
            file.write(_digest(content))  # a reader of streams ends before it


def _write_copy(written: "_Members", records: ManifestRecords, copy: int, key: str, soft: bool) -> dict:
    """Members of one copy; its row in the index."""
    source, label = records.path(copy), records.label(copy)
    try:
        content = records.content(copy)
    except OSError as error:
        raise InputError(
            f"expected the image {source}, which was labelled, got none: {error}; bring it back, or label the pool "
            "again."
        ) from error
    told = dict(label=label, name=records.classes[label], image=source)
    row = dict(label=label, name=f"{key}{os.path.splitext(source)[1].lower()}", size=len(content))
    row["crc"] = zlib.crc32(content)
    row["offset"] = written.add(row["name"], content)
    if soft and records.top_k is not None:
        classes, logits, rest = records.top(copy)
        row.update(zip(SOFT_COLUMNS, (classes, logits, rest)))
        told.update(zip(SOFT_COLUMNS, (classes.tolist(), logits.tolist(), rest)))
    elif soft:
        np.save(buffer := BytesIO(), np.array(vector := records.vector(copy)))
        row["vector"] = written.add(f"{key}.npy", buffer.getvalue()) + buffer.tell() - vector.nbytes
        row["vector_crc"] = zlib.crc32(vector.tobytes())
    written.add(f"{key}.json", json.dumps(told).encode())
    return row


class _Members:
    """Members of a tar file, the same bytes whenever they are written."""

    def __init__(self, file) -> None:
        self.file, self.offset, self.digest = file, 0, new_digest()

    def add(self, name: str | None, content: bytes) -> int:
        """Add a member, or without a name the end of the file; returns the offset of the content."""
        header = bytes(2 * BLOCKSIZE)
        if name is not None:
            info = TarInfo(name)
            info.size = len(content)
            header = info.tobuf(USTAR_FORMAT)
        for part in (header, content, bytes(-len(content) % BLOCKSIZE)):
            self.file.write(part)
            self.digest.update(part)
        begin = self.offset + len(header)
        self.offset = begin + len(content) + -len(content) % BLOCKSIZE
        return begin


def _shard_record(folder, number: int) -> dict | None:
    """``inputs``, ``bytes``, ``digest`` of a shard; None where it is not there or not whole."""
    tar, index = shard_files(folder, number)
    try:
        record, _ = _read_index(index)
        return record if tar.stat().st_size == record["bytes"] else None
    except (OSError, ValueError):
        return None


def _read_index(path: Path) -> tuple:
    """The record of an index and its rows, mapped into memory.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged. Arrow is not asked: of a few changed bytes it may end the process.
    """
    pa = import_pyarrow()
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()
    size = len(content) - len(_digest(b""))
    if size < 0 or _digest(content[:size]) != content[size:].to_pybytes():
        raise ValueError("it is damaged, or of another version")
    with pa.ipc.open_stream(content[:size]) as stream:
        return json.loads(stream.schema.metadata[_META]), stream.read_next_batch()


def _digest(content) -> bytes:
    digest = new_digest()
    digest.update(content)
    return digest.digest()


def _checked_record(path) -> dict:
    """What ``shards.json`` tells.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file.
    """
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    numbers = dict(num_shards=1, num_images=1, size=1, num_classes=1)
    kinds = {**dict.fromkeys(numbers, int), "classes": list, "soft": bool, "made": str}
    odd = [key for key, kind in kinds.items() if not isinstance(record, dict) or type(record.get(key)) is not kind]
    odd = odd or [key for key, least in numbers.items() if record[key] < least]
    if odd:
        raise ValueError(f"its {odd[0]} cannot be, or is missing")
    if len(record["classes"]) != record["num_classes"]:
        raise ValueError(f"{record['num_classes']} classes with {len(record['classes'])} names")
    if -(-record["num_images"] // record["size"]) != record["num_shards"]:
        raise ValueError(f"{record['num_images']} images by {record['size']} are not {record['num_shards']} shards")
    return record


class ShardedRecords(PseudoRecords):
    """The copies of pseudo-labelled images in shards, by their number in the order of the shards.

    In memory are the indexes of the last few shards that were read.

    Args:
        path: ``shards.json`` of :func:`write_shards`.

    Raises:
        InputError: It is none.
    """

    def __init__(self, path) -> None:
        try:
            record = _checked_record(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"expected {SHARDS} of shards that are whole, got {str(path)!r} (manifest): {error}; "
                "frozen-det noisy_student writes them."
            ) from error
        super().__init__(path, record, record["num_images"])
        self.size, self.folder = record["size"], str(Path(path).parent)
        self._open()

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key not in ("_index", "_files")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    def pass_order(self, window: int, seed: int) -> ShardOrder | None:
        """The order of :class:`~..shard_reading.ShardOrder`; None where a part of the copies was taken."""
        if self._order is not None:
            return None
        firsts = np.arange(0, self.num_copies, self.size)
        return ShardOrder(np.minimum(self.size, self.num_copies - firsts), window, seed)

    def path(self, index: int) -> str:
        tar, batch, row = self._place(index)
        return f"{tar}/{batch.column('name')[row].as_py()}"

    def content(self, index: int) -> bytes:
        tar, batch, row = self._place(index)
        return self._bytes(tar, batch, row, "offset", batch.column("size")[row].as_py(), "crc")

    def label(self, index: int) -> int:
        _, batch, row = self._place(index)
        return batch.column("label")[row].as_py()

    def vector(self, index: int) -> np.ndarray:
        tar, batch, row = self._place(index)
        size = 2 * self.record["num_classes"]
        return np.frombuffer(self._bytes(tar, batch, row, "vector", size, "vector_crc"), np.float16)

    def top(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        return self.top_of(*self._place(index)[1:])

    def _place(self, index: int) -> tuple:
        """The shard, its index, and the row in it."""
        number, row = divmod(self.number(index), self.size)
        return (*self._index(number), row)

    def _bytes(self, tar: str, batch, row: int, offset: str, size: int, crc: str) -> bytes:
        """Bytes of a shard whose place and checksum are in these columns.

        Raises:
            InputError: They are others, or cannot be read.
        """
        try:
            content = self._files.read(tar, batch.column(offset)[row].as_py(), size)
        except OSError as error:
            raise _refused(tar, str(error)) from error
        if zlib.crc32(content) != batch.column(crc)[row].as_py():
            raise _refused(tar, f"others for {batch.column('name')[row]}")
        return content

    def _open(self) -> None:
        self._files, self._index = OpenShards(), lru_cache(_OPEN_INDEXES)(self._opened)

    @property
    def _soft_columns(self) -> set[str]:
        return set() if not self.record["soft"] else {"vector"} if self.top_k is None else set(SOFT_COLUMNS)

    def _opened(self, number: int) -> tuple:
        """The path of a shard, and the rows of its index."""
        tar, index = shard_files(self.folder, number)
        try:
            record, batch = _read_index(index)
            found = tar.stat().st_size
        except (OSError, ValueError) as error:
            raise _refused(tar, f"{index}: {error}" if isinstance(error, ValueError) else str(error)) from error
        fits = record["inputs"] == _inputs_of(self.record["made"], number)
        fits = fits and batch.num_rows == min(self.size, self.num_copies - number * self.size)
        if not fits or not self._soft_columns <= set(batch.schema.names):
            raise _refused(tar, "a shard of another selection, or another of the same")
        if found != record["bytes"]:
            raise _refused(tar, f"{found} of {record['bytes']} bytes")
        return str(tar), batch


def _refused(tar, got: str) -> InputError:
    """The error that a shard is not as it was written."""
    return InputError(
        f"expected the shard {tar} and its index as they were written, got {got}; remove both, and run the same "
        "frozen-det noisy_student again: it writes them again and goes on."
    )
