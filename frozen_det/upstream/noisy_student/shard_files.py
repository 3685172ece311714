"""Pseudo-labelled images as tar shards in WebDataset's format, written in shuffled order, read nearly in sequence.

Of each copy ``shard-000012.tar`` has the image as it is in the pool (``000012034.jpg``) and ``000012034.json``: its
label, the name of that class, where the image is from, and of top-k labels ``soft_classes``, ``soft_logits``,
``soft_rest``. Whole vectors are ``000012034.npy``, (C,) float16; logits are less their maximum. All copies come in one
shuffled order, so each shard has the classes in the shares of the selection.

``shard-000012.arrow`` says where they are, so that nothing of a shard is read before it is needed. It is written after
the shard: where it is there, the shard is whole. ``shards.json`` is written after all of them.
"""

import json
import os
import re
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
    made = by_first(lambda: f"{file_digest(manifest)} {size} {seed} {soft}")
    inputs = [hash_of(f"{made} {number}") for number in range(number_of)]
    there = by_first(lambda: _begun(out_dir, inputs))
    order = np.random.default_rng(seed).permutation(len(records))
    for number in sorted(set(range(rank, number_of, world_size)) - there):
        _write_shard(records, order, number, size, out_dir, inputs[number], soft)
    barrier()
    by_first(lambda: _finish(records, out_dir, inputs, size, soft))
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


def _finish(records: ManifestRecords, out_dir: Path, inputs: list[str], size: int, soft: bool) -> None:
    found = [_shard_record(out_dir, number) for number in range(len(inputs))]
    odd = [number for number, one in enumerate(found) if one is None or one["inputs"] != inputs[number]]
    if odd:
        raise InputError(f"expected {len(inputs)} whole shards in {out_dir}, got none of the numbers {odd[:5]}.")
    told = dict(
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
    fields = top_fields(records.record["num_classes"]) if top else [pa.field("vector", pa.int64())] if soft else []
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
            [("name", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("label", pa.int32()), *fields],
            metadata={_META: json.dumps(record).encode()},
        )
        with pa.OSFile(str(partial_index), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            out.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))


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
    row["offset"] = written.add(row["name"], content)
    if soft and records.top_k is not None:
        classes, logits, rest = records.top(copy)
        row.update(zip(SOFT_COLUMNS, (classes, logits, rest)))
        told.update(zip(SOFT_COLUMNS, (classes.tolist(), logits.tolist(), rest)))
    elif soft:
        np.save(buffer := BytesIO(), np.array(vector := records.vector(copy)))
        row["vector"] = written.add(f"{key}.npy", buffer.getvalue()) + buffer.tell() - vector.nbytes
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
    pa = import_pyarrow()
    tar, index = shard_files(folder, number)
    try:
        with pa.memory_map(str(index)) as file:
            record = json.loads(pa.ipc.open_file(file).schema.metadata[_META])
        return record if tar.stat().st_size == record["bytes"] else None
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        return None


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
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            super().__init__(path, record, record["num_images"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"expected {SHARDS} of shards that are whole, got {str(path)!r} (manifest): {error}; "
                "frozen-det noisy_student writes them."
            ) from error
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
        return self._files.read(tar, batch.column("offset")[row].as_py(), batch.column("size")[row].as_py())

    def label(self, index: int) -> int:
        _, batch, row = self._place(index)
        return batch.column("label")[row].as_py()

    def vector(self, index: int) -> np.ndarray:
        tar, batch, row = self._place(index)
        return np.frombuffer(
            self._files.read(tar, batch.column("vector")[row].as_py(), 2 * self.record["num_classes"]), np.float16
        )

    def top(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        return self.top_of(*self._place(index)[1:])

    def _place(self, index: int) -> tuple:
        """The shard, its index, and the row in it."""
        number, row = divmod(self.number(index), self.size)
        return (*self._index(number), row)

    def _open(self) -> None:
        self._files, self._index = OpenShards(), lru_cache(_OPEN_INDEXES)(self._read_index)

    def _read_index(self, number: int) -> tuple:
        pa = import_pyarrow()
        tar, index = shard_files(self.folder, number)
        try:
            return str(tar), pa.ipc.open_file(pa.memory_map(str(index))).get_batch(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(
                f"expected the index {index} of a shard, got none: {error}; write the shards again."
            ) from error
