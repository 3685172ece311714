"""A manifest of pseudo-labels, read at random (:class:`ManifestRecords`).

For that it is written once more as an Arrow file, which is mapped into memory, not loaded. An index is one copy
of an image; which image it is, is found in the running sum of the copies, which is a column of the file. What is held
in memory is one entry for each 65,536 images.
"""

import json
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import replacing
from .label_files import read_vectors
from .listings.parquet import batches_of, import_pyarrow
from .pool import read_bytes
from .pseudo_records import PseudoRecords, not_kept
from .top_k import top_fields

_ROWS = 65_536
_OPEN_PARTS = 64
COLUMNS = ("id", "path", "key", "offset", "size", "content_hash", "label", "confidence", "copies", "part", "vector")
_KEPT = ("path", "key", "offset", "size", "label", "part", "vector")
META = b"frozen_det"


class ManifestRecords(PseudoRecords):
    """The copies of a manifest's images, read where the pool has them.

    Args:
        manifest: Parquet file that :func:`~.selection.select` wrote. The Arrow file goes beside it.

    Raises:
        InputError: No manifest.
    """

    def __init__(self, manifest) -> None:
        record = manifest_record(manifest)
        self._path = mapped_manifest(manifest)
        super().__init__(manifest, record, self._open())

    def __getstate__(self) -> dict:
        return {
            key: value
            for key, value in self.__dict__.items()
            if key not in ("_reader", "_batches", "_vectors", "_starts")
        }

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    def path(self, index: int) -> str:
        row = self.row(index)
        return f"{row['path']}/{row['key']}" if row["key"] else row["path"]

    def content(self, index: int) -> bytes:
        row = self.row(index)
        return read_bytes(row["path"], row["offset"], row["size"])

    def label(self, index: int) -> int:
        return self.row(index)["label"]

    def row(self, index: int) -> dict:
        """The columns path, key, offset, size, label, part and vector of the image that a copy is of."""
        batch, row = self._place(index)
        return {name: batch.column(name)[row].as_py() for name in _KEPT}

    def _place(self, index: int) -> tuple:
        """The batch of rows that a copy's image is in, and its row there."""
        number = self.number(index)
        place = int(np.searchsorted(self._starts, number, "right")) - 1
        if place not in self._batches:
            batch = self._reader.get_batch(place)
            self._batches[place] = batch, batch.column("first").to_numpy()
        batch, first = self._batches[place]
        return batch, int(np.searchsorted(first, number, "right")) - 1

    def vector(self, index: int) -> np.ndarray:
        row = self.row(index)
        number = row["part"]
        if number not in self._vectors:
            if len(self._vectors) == _OPEN_PARTS:
                del self._vectors[next(iter(self._vectors))]
            self._vectors[number] = read_vectors(self.record["labels"], number, self.record["num_classes"])
        return kept_vector(self._vectors[number], row["vector"], self.source)

    def top(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        return self.top_of(*self._place(index))

    def _open(self) -> int:
        pa = import_pyarrow()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self._path)))
        record = json.loads(self._reader.schema.metadata[META])
        self._starts = np.array(record["starts"], np.int64)
        self._batches, self._vectors = {}, {}
        return record["num_copies"]


def mapped_manifest(manifest) -> Path:
    """The Arrow file of a manifest, ``manifest.arrow`` beside it; written if it is not there or of another manifest."""
    pa, manifest = import_pyarrow(), Path(manifest)
    target = manifest.with_suffix(".arrow")
    status = manifest.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        with pa.memory_map(str(target)) as file:
            if json.loads(pa.ipc.open_file(file).schema.metadata[META])["manifest"] == stamp:
                return target
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        pass  # not there, or not ours: it is written again
    with pa.parquet.ParquetFile(manifest) as file:
        # The schema, which tells the batches' first copies, comes before the rows: copies are summed up first.
        sums = [0]
        for batch in batches_of(file, _ROWS, ["copies"]):
            sums.append(sums[-1] + pa.compute.sum(batch.column("copies")).as_py())
        told = json.dumps(dict(manifest=stamp, num_copies=sums[-1], starts=sums[:-1])).encode()
        record = json.loads(file.metadata.metadata[META])
        soft = top_fields(record["num_classes"]) if record.get("top_k") else []  # DuckDB wrote logits in 32 bits
        names = [*_KEPT, *(field.name for field in soft)]
        fields = [*(file.schema_arrow.field(name) for name in _KEPT), *soft]
        schema = pa.schema([*fields, ("first", pa.int64())], metadata={META: told})
        with replacing(target) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            for place, batch in enumerate(batches_of(file, _ROWS, [*names, "copies"])):
                copies = batch.column("copies").to_numpy()
                columns = [batch.column(field.name).cast(field.type) for field in fields]
                out.write_batch(
                    pa.record_batch([*columns, pa.array(sums[place] + np.cumsum(copies) - copies)], schema=schema)
                )
    if sums[-1] == 0:
        raise InputError(f"expected images in the manifest {manifest}, got none; select with a lower min_confidence.")
    return target


def kept_vector(vectors: np.ndarray, row: int, path) -> np.ndarray:
    """(C,) float16: one row of a part's vectors.

    Raises:
        InputError: It was not kept.
    """
    if not 0 <= row < len(vectors):
        raise not_kept(path)
    return vectors[row]


def manifest_record(path) -> dict:
    """``labels`` (folder of the label parts), ``num_classes`` and ``classes`` (names) of a manifest, and
    ``top_k`` if it has such labels.

    Raises:
        InputError: It is no manifest.
    """
    pa = import_pyarrow()
    try:
        record = json.loads(pa.parquet.read_metadata(path).metadata[META])
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(
            f"expected a manifest of pseudo-labels, got {str(path)!r} (manifest): {error}; select() writes it."
        ) from error
    return dict(record, labels=str(Path(path).parent / record["labels"]))
