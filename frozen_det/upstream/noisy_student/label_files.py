"""What a teacher said about a part of a pool, on disk: narrow rows in Parquet, soft vectors beside them.

``part-000012.parquet`` has a row for each image, ``part-000012.logits`` the float16 vectors of those rows whose
confidence reaches a bound. Both are written under other names and renamed, the rows last: a part whose Parquet file is
there is whole. Its metadata say what it was made from.

A vector holds logits less their maximum, not probabilities: float16 keeps both the large and the small classes of
them, and a temperature can still be applied before normalising.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import replacing

# Beside the parts: what they are to be made from, what they hold together, which images do not decode.
PLAN, LABELS, UNDECODABLE = "plan.json", "labels.json", "undecodable.txt"
# Ending of a part's soft vectors.
VECTORS = ".logits"
_ROW_GROUP = 16_384
_META = b"frozen_det"
# Below it float16 is -inf, which times zero is no number.
_LOWEST = -6e4


def import_pyarrow():
    """The package pyarrow, with its Parquet part.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "expected the package pyarrow for pseudo-labels, got none: pip install 'frozen-det[noisy-student]'."
        ) from error
    return pyarrow


def rows_schema():
    """Columns of a part.

    id: see :class:`~.pool.PoolItem`, as are path, key, offset and size. content_hash: :func:`~.pool.content_hash`, ""
    where nothing could be read. label: the most probable class, -1 where the image does not decode. confidence: its
    probability, 0..1. decodes, error: whether, and why not. part, vector: where the soft vector is: number of the part
    and row in its file, -1 if it was not kept.
    """
    pa = import_pyarrow()
    return pa.schema(
        [
            ("id", pa.int64()),
            ("path", pa.string()),
            ("key", pa.string()),
            ("offset", pa.int64()),
            ("size", pa.int64()),
            ("content_hash", pa.string()),
            ("label", pa.int32()),
            ("confidence", pa.float32()),
            ("decodes", pa.bool_()),
            ("error", pa.string()),
            ("part", pa.int32()),
            ("vector", pa.int64()),
        ]
    )


def rows_path(folder, number: int) -> Path:
    """The Parquet file of a part."""
    return Path(folder, f"part-{number:06d}.parquet")


def vectors_path(folder, number: int) -> Path:
    """The soft vectors of a part."""
    return Path(folder, f"part-{number:06d}{VECTORS}")


def part_record(folder, number: int) -> dict | None:
    """What a part's metadata say (``inputs``, ``num_images``, ``num_undecodable``, ``num_vectors``, ``num_classes``);
    None where the part is not there or not whole."""
    pa = import_pyarrow()
    try:
        found = pa.parquet.read_metadata(rows_path(folder, number)).metadata or {}
        record = json.loads(found[_META])
        size = vectors_path(folder, number).stat().st_size
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None
    return record if size == 2 * record["num_vectors"] * record["num_classes"] else None


def read_vectors(folder, number: int, num_classes: int) -> np.ndarray:
    """(n, num_classes) float16, memory-mapped: only the rows that are requested are read."""
    path = vectors_path(folder, number)
    try:
        size = path.stat().st_size
        return (
            np.memmap(path, np.float16, "r", shape=(size // (2 * num_classes), num_classes))
            if size
            else np.empty((0, num_classes), np.float16)
        )
    except OSError as error:
        raise InputError(
            f"expected the soft vectors {path}, got none: {error.strerror}; they belong to the manifest, "
            "label the pool again."
        ) from error


def soft_label(vector: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(C,) float32 probabilities from a stored vector (C,) float16: softmax(logits / temperature)."""
    scaled = np.exp(vector.astype(np.float32) / np.float32(temperature))
    return scaled / scaled.sum()


def write_rows(folder, number: int, columns: Mapping, record: Mapping) -> None:
    """Write the rows of a part whose vectors are there already, from whole columns.

    Args:
        folder, number: Of the part.
        columns: Name -> values, as in :func:`rows_schema`.
        record: The part's metadata, see :func:`part_record`.
    """
    pa = import_pyarrow()
    with (
        replacing(rows_path(folder, number)) as partial,
        pa.parquet.ParquetWriter(partial, rows_schema(), compression="zstd") as file,
    ):
        file.write_table(pa.table(dict(columns), schema=rows_schema()), row_group_size=_ROW_GROUP)
        file.add_key_value_metadata({_META: json.dumps(dict(record)).encode()})


class PartWriter:
    """Writes one part; a context: on an error nothing of the part is left.

    Args:
        folder: Folder of the parts.
        number: Of the part.
        num_classes: C.
        inputs: Hash of what the part is made from.
    """

    def __init__(self, folder, number: int, num_classes: int, inputs: str) -> None:
        self.folder, self.number = folder, number
        self.record = dict(inputs=inputs, num_classes=num_classes, num_images=0, num_undecodable=0, num_vectors=0)
        self._rows: list[Mapping] = []
        self._stack = ExitStack()

    def __enter__(self) -> "PartWriter":
        pa = import_pyarrow()
        # Contexts end in reverse: the vectors are renamed before the rows, which say that the part is whole.
        rows = self._stack.enter_context(replacing(rows_path(self.folder, self.number)))
        vectors = self._stack.enter_context(replacing(vectors_path(self.folder, self.number)))
        self._vectors = self._stack.enter_context(open(vectors, "wb"))
        self._table = pa.parquet.ParquetWriter(rows, rows_schema(), compression="zstd")
        return self

    def add(self, rows: list[dict], vectors: np.ndarray) -> None:
        """Add images.

        Args:
            rows: For each the columns of :func:`rows_schema` but ``part`` and ``vector``, and ``has_vector``.
            vectors: (n, C) float32, logits less their maximum, of those rows that have one, in order.
        """
        record = self.record
        for row in rows:
            kept = row.pop("has_vector")
            row["part"], row["vector"] = self.number, record["num_vectors"] if kept else -1
            record["num_vectors"] += kept
            record["num_images"] += 1
            record["num_undecodable"] += not row["decodes"]
        self._rows += rows
        self._vectors.write(np.maximum(vectors, _LOWEST).astype(np.float16).tobytes())
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._flush()
                self._table.add_key_value_metadata({_META: json.dumps(self.record).encode()})
        finally:
            self._table.close()
            self._stack.__exit__(kind, error, trace)

    def _flush(self) -> None:
        pa = import_pyarrow()
        if self._rows:
            self._table.write_table(pa.Table.from_pylist(self._rows, schema=rows_schema()))
            self._rows = []
