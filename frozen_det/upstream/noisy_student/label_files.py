"""What a teacher said about a part of a pool, on disk: narrow rows in Parquet, soft vectors beside them.

``part-000012.parquet`` has a row for each image, ``part-000012.logits`` the float16 vectors of those rows whose
confidence reaches a bound. Both are written under other names and renamed, the rows last: a part whose Parquet file is
there is whole. Its metadata say what it was made from.

A vector holds logits less their maximum, not probabilities: float16 keeps both the large and the small classes of
them, and a temperature can still be applied before normalising. Labelled with ``top_k``, a part has no such file: the
rows hold the k largest of them and one number for the rest, see :mod:`.top_k`.
"""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import replacing, write_json
from .listings.digests import new_digest
from .listings.parquet import import_pyarrow
from .top_k import TopLabels, top_fields

# Beside the parts: what they are to be made from, what they hold together, which images do not decode.
PLAN, LABELS, UNDECODABLE = "plan.json", "labels.json", "undecodable.txt"
# Ending of a part's soft vectors.
VECTORS = ".logits"
_ROW_GROUP = 16_384
_META = b"frozen_det"
_NAMED = re.compile(r"part-(\d{6,})\.parquet$|\.part-(\d{6,})\..*\.partial(\.\w+)?$", re.ASCII)
# Below it float16 is -inf, which times zero is no number.
_LOWEST = -6e4


def rows_schema(num_classes: int | None = None):
    """Columns of a part; with `num_classes` those of top-k soft labels as well.

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
            *(top_fields(num_classes) if num_classes else ()),
        ]
    )


def rows_path(folder, number: int) -> Path:
    """The Parquet file of a part."""
    return Path(folder, f"part-{number:06d}.parquet")


def vectors_path(folder, number: int) -> Path:
    """The soft vectors of a part."""
    return Path(folder, f"part-{number:06d}{VECTORS}")


def rows_files(folder) -> dict[int, Path]:
    """The Parquet files of all parts that are in a folder, by the part's number, in its order.

    Raises:
        InputError: One is named as a part of something else, whose rows would be taken for labels.
    """
    found = {}
    for path in Path(folder).glob("part-*.parquet"):
        number = part_number(path)
        if number is None:
            raise _of_others(path)
        found[number] = path
    return dict(sorted(found.items()))


def part_number(path: Path) -> int | None:
    """Of the part that a file, or what its writer left, belongs to; None if it belongs to none."""
    named = _NAMED.match(path.name)
    return None if named is None else int(named[1] or named[2])


def part_record(folder, number: int) -> dict | None:
    """What a part's metadata say (``inputs``, ``num_images``, ``num_undecodable``, ``num_vectors``, ``num_classes``,
    ``digest`` of the rows, and ``top_k`` where the soft labels are in them); None where the part is not there or not
    whole."""
    pa = import_pyarrow()
    try:
        found = pa.parquet.read_metadata(rows_path(folder, number)).metadata or {}
        record = json.loads(found[_META])
        size = 0 if record.get("top_k") else vectors_path(folder, number).stat().st_size
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None
    whole = record.get("top_k") or size == 2 * record["num_vectors"] * record["num_classes"]
    return record if whole else None


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
    schema = rows_schema(record["num_classes"] if record.get("top_k") else None)
    with (
        replacing(rows_path(folder, number)) as partial,
        pa.parquet.ParquetWriter(partial, schema, compression="zstd") as file,
    ):
        table, digest = pa.table(dict(columns), schema=schema), new_digest()
        file.write_table(table, row_group_size=_ROW_GROUP)
        _add_rows(digest, table)
        file.add_key_value_metadata({_META: json.dumps(dict(record, digest=digest.hexdigest())).encode()})


def write_plan(folder, inputs: list[str]) -> None:
    """Write down what each part will be made from, and take away parts that no longer belong.

    Raises:
        InputError: See :func:`rows_files`.
    """
    there = rows_files(folder)
    if not Path(folder, PLAN).exists():  # no labelling has been here, whose parts may be broken
        for rows in there.values():
            if not _is_labels(rows):
                raise _of_others(rows)
    write_json(Path(folder, PLAN), dict(inputs=inputs), indent=None)
    for number, rows in there.items():
        if number >= len(inputs):
            rows.unlink(missing_ok=True)  # another process may do the same
            vectors_path(folder, number).unlink(missing_ok=True)


def _is_labels(rows: Path) -> bool:
    pa = import_pyarrow()
    try:
        return _META in (pa.parquet.read_metadata(rows).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False


def _of_others(path: Path) -> InputError:
    return InputError(
        f"expected no part-*.parquet in {path.parent} but those of labels, got {path.name} of something else: take "
        "another folder, or move the file away."
    )


class PartWriter:
    """Writes one part; a context: on an error nothing of the part is left.

    Args:
        folder: Folder of the parts.
        number: Of the part.
        num_classes: C.
        inputs: Hash of what the part is made from.
        top_k: Classes of a soft label, kept in the rows; None keeps whole vectors beside them.
    """

    def __init__(self, folder, number: int, num_classes: int, inputs: str, top_k: int | None = None) -> None:
        self.folder, self.number = folder, number
        self.record = dict(inputs=inputs, num_classes=num_classes, num_images=0, num_undecodable=0, num_vectors=0)
        if top_k:
            self.record["top_k"] = top_k
        self._schema = rows_schema(num_classes if top_k else None)
        self._rows: list[Mapping] = []
        self._digest = new_digest()

    def __enter__(self) -> "PartWriter":
        pa = import_pyarrow()
        with ExitStack() as stack:
            # Contexts end in reverse: the vectors are renamed before the rows, which say that the part is whole.
            rows = stack.enter_context(replacing(rows_path(self.folder, self.number)))
            if "top_k" not in self.record:
                vectors = stack.enter_context(replacing(vectors_path(self.folder, self.number)))
                self._vectors = stack.enter_context(open(vectors, "wb"))
            self._table = stack.enter_context(pa.parquet.ParquetWriter(rows, self._schema, compression="zstd"))
            self._stack = stack.pop_all()
        return self

    def add(self, rows: list[dict], soft: "np.ndarray | TopLabels | None") -> None:
        """Add images.

        Args:
            rows: For each the columns of :func:`rows_schema` but ``part`` and ``vector``, and ``has_vector``.
            soft: Of those rows that have one, in order: (n, C) float32, logits less their maximum, or what is kept of
                them. None for none.
        """
        record, place = self.record, 0
        top = soft if isinstance(soft, TopLabels) else None
        for row in rows:
            kept = row.pop("has_vector")
            row["part"], row["vector"] = self.number, record["num_vectors"] if kept and top is None else -1
            if kept and top is not None:
                row["soft_classes"], row["soft_logits"] = top.classes[place], _narrow(top.logits[place])
                row["soft_rest"] = top.rest[place]
                place += 1
            record["num_vectors"] += kept
            record["num_images"] += 1
            record["num_undecodable"] += not row["decodes"]
        self._rows += rows
        if soft is not None and top is None:
            self._vectors.write(_narrow(soft).tobytes())
        if len(self._rows) >= _ROW_GROUP:
            self._flush()

    def __exit__(self, kind, error, trace) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._flush()
            self.record["digest"] = self._digest.hexdigest()
            self._table.add_key_value_metadata({_META: json.dumps(self.record).encode()})
        if "top_k" in self.record:  # whole vectors of a labelling before
            vectors_path(self.folder, self.number).unlink(missing_ok=True)

    def _flush(self) -> None:
        pa = import_pyarrow()
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
            self._table.write_table(table)
            _add_rows(self._digest, table)
            self._rows = []


def _add_rows(digest, table) -> None:
    for batch in table.to_batches():
        digest.update(batch.serialize())


def _narrow(logits: np.ndarray) -> np.ndarray:
    return np.maximum(logits, _LOWEST).astype(np.float16)
