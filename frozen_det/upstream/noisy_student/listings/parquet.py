"""The package pyarrow, on demand: listings, labels and manifests are Parquet files."""

from collections.abc import Iterator

from ....errors import InputError


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


def batches_of(file, rows: int, columns: list[str] | None = None) -> Iterator:
    """The record batches of an open Parquet file, up to `rows` rows each and none across row groups, in order.

    Row group by row group: ``iter_batches`` of a whole file keeps what it has read of lists until its end (pyarrow
    26.0.1), 1.4 GB of a manifest of 36 million rows.

    Args:
        file: A ``pyarrow.parquet.ParquetFile``.
        rows: Of a batch, at most.
        columns: By name; None for all.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns)
