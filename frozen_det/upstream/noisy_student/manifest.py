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
from .label_files import import_pyarrow, read_vectors, soft_label
from .top_k import SOFT_COLUMNS, shares_of, top_fields, whole_label

_ROWS = 65_536
_OPEN_PARTS = 64
COLUMNS = ("id", "path", "key", "offset", "size", "content_hash", "label", "confidence", "copies", "part", "vector")
_KEPT = ("path", "key", "offset", "size", "label", "part", "vector")
META = b"frozen_det"


class ManifestRecords:
    """The copies of a manifest's images, by number; used in place of :class:`~.image_records.ImageRecords`.

    Args:
        manifest: Parquet file that :func:`~.selection.select` wrote. The Arrow file goes beside it.

    Attributes:
        classes: Names of the classes.
        source: The manifest.
        top_k: Classes of a soft label where the manifest holds them; None where whole vectors are in the label files.

    Raises:
        InputError: No manifest.
    """

    labels_multi = None
    root = ""

    def __init__(self, manifest) -> None:
        self.source = str(manifest)
        self.record = manifest_record(manifest)
        self.classes = tuple(self.record["classes"])
        self.top_k: int | None = self.record.get("top_k")
        self._order: np.ndarray | None = None
        self._path = mapped_manifest(manifest)
        self._open()

    def __len__(self) -> int:
        return self._num_copies if self._order is None else len(self._order)

    def __getstate__(self) -> dict:
        return {
            key: value
            for key, value in self.__dict__.items()
            if key not in ("_reader", "_batches", "_vectors", "_starts")
        }

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def labels(self) -> "_Labels":
        """The hard classes, by number or array of numbers of copies."""
        return _Labels(self)

    def path(self, index: int) -> str:
        """File, or shard and member."""
        row = self.row(index)
        return f"{row['path']}/{row['key']}" if row["key"] else row["path"]

    def row(self, index: int) -> dict:
        """The columns path, key, offset, size, label, part and vector of the image that a copy is of."""
        batch, row = self._place(index)
        return {name: batch.column(name)[row].as_py() for name in _KEPT}

    def _place(self, index: int) -> tuple:
        """The batch of rows that a copy's image is in, and its row there."""
        index = int(index if self._order is None else self._order[index])
        place = int(np.searchsorted(self._starts, index, "right")) - 1
        if place not in self._batches:
            batch = self._reader.get_batch(place)
            self._batches[place] = batch, batch.column("first").to_numpy()
        batch, first = self._batches[place]
        return batch, int(np.searchsorted(first, index, "right")) - 1

    def soft_label(self, index: int, temperature: float = 1.0) -> np.ndarray:
        """(C,) float32 probabilities of a copy's image.

        Raises:
            InputError: Its vector was not kept, or the label files are gone.
        """
        if self.top_k is not None:
            return whole_label(*self.top_label(index, temperature), self.record["num_classes"])
        row = self.row(index)
        number = row["part"]
        if number not in self._vectors:
            if len(self._vectors) == _OPEN_PARTS:
                del self._vectors[next(iter(self._vectors))]
            self._vectors[number] = read_vectors(self.record["labels"], number, self.record["num_classes"])
        return soft_label(kept_vector(self._vectors[number], row["vector"], self.source), temperature)

    def top_label(self, index: int, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.float32]:
        """Of a copy's image: (k,) classes, (k,) float32 probabilities, and the probability of all other classes.

        Raises:
            InputError: It was not kept.
        """
        batch, row = self._place(index)
        classes, logits, rest = (batch.column(name)[row] for name in SOFT_COLUMNS)
        if not rest.is_valid:
            raise _not_kept(self.source)
        shares, rest = shares_of(
            logits.values.to_numpy(zero_copy_only=False), rest.as_py(), self.record["num_classes"], temperature
        )
        return classes.values.to_numpy(), shares, rest

    def take(self, indices: np.ndarray) -> "ManifestRecords":
        """These copies only, (M,) int64, in their order; the order is held in memory."""
        taken = ManifestRecords(self.source)
        taken._order = np.asarray(indices) if self._order is None else self._order[indices]
        return taken

    def _open(self) -> None:
        pa = import_pyarrow()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self._path)))
        record = json.loads(self._reader.schema.metadata[META])
        self._num_copies, self._starts = record["num_copies"], np.array(record["starts"], np.int64)
        self._batches, self._vectors = {}, {}


class _Labels:
    def __init__(self, records: ManifestRecords) -> None:
        self.records = records

    def __getitem__(self, index):
        if np.ndim(index) == 0:
            return self.records.row(index)["label"]
        return np.array([self.records.row(one)["label"] for one in index], np.int64)

    def __len__(self) -> int:
        return len(self.records)


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
        for batch in file.iter_batches(_ROWS, columns=["copies"]):
            sums.append(sums[-1] + pa.compute.sum(batch.column("copies")).as_py())
        told = json.dumps(dict(manifest=stamp, num_copies=sums[-1], starts=sums[:-1])).encode()
        record = json.loads(file.metadata.metadata[META])
        soft = top_fields(record["num_classes"]) if record.get("top_k") else []  # DuckDB wrote logits in 32 bits
        names = [*_KEPT, *(field.name for field in soft)]
        fields = [*(file.schema_arrow.field(name) for name in _KEPT), *soft]
        schema = pa.schema([*fields, ("first", pa.int64())], metadata={META: told})
        with replacing(target) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
            for place, batch in enumerate(file.iter_batches(_ROWS, columns=[*names, "copies"])):
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
        raise _not_kept(path)
    return vectors[row]


def _not_kept(path) -> InputError:
    return InputError(
        f"expected the soft vector of each image in {path}, got none for one of them: it was labelled "
        "with a higher min_vector_confidence than it was selected with, or the labels were replaced."
    )


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
