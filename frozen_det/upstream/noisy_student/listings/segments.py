"""The files of a pool's listing: rows of names, sizes and times in Parquet, the times of folders beside them."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

from ....weights.atomic_write import replacing
from .addresses import identity, stated
from .digests import digests_of
from .parquet import batches_of, import_pyarrow

ROWS = 16_384  # of a row group: a part is read in one or two
# Looking a file up takes microseconds here and a millisecond over a network, most of it waiting.
_THREADS, _LOOK_UPS = 16, 1024


def append_rows(folder: Path, header: dict, source: int | None, rows: Iterable, part_size: int) -> int:
    """Add a segment with `rows` to the header, if there are any; their number."""
    first = next(rows := iter(rows), None)
    if first is None:
        return 0
    header["segments"].append(write_segment(folder, header, source, chain([first], rows), part_size))
    return header["segments"][-1]["rows"]


def write_segment(folder: Path, header: dict, source: int | None, rows: Iterator, part_size: int) -> dict:
    """Write rows (folder, name), or with size and time of change, as one file; what the header says of it.

    The file's name is one that no header before has had: what they say stays true until a new one is there.
    """
    pa = import_pyarrow()
    schema = pa.schema([("folder", pa.string()), ("name", pa.string()), ("size", pa.int64()), ("changed", pa.string())])
    path, count = _new_file(folder, header, "files"), 0

    def written() -> Iterator[bytes]:
        nonlocal count
        while batch := list(islice(rows, ROWS)):
            parts = [batch[start : start + _LOOK_UPS] for start in range(0, len(batch), _LOOK_UPS)]
            full, lines = zip(*chain.from_iterable(threads.map(_stated_rows, parts)))
            columns = [pa.array(column, field.type) for column, field in zip(zip(*full), schema)]
            file.write_table(pa.table(columns, schema=schema), row_group_size=ROWS)
            count += len(batch)
            yield from lines

    with (
        replacing(path) as partial,
        pa.parquet.ParquetWriter(partial, schema, compression="zstd") as file,
        ThreadPoolExecutor(_THREADS) as threads,
    ):
        digests = list(digests_of(written(), part_size))
    return dict(file=path.name, source=source, rows=count, digests=digests)


def _stated_rows(rows: list[tuple]) -> list[tuple[tuple, bytes]]:
    """Of rows without size and time, and of those with: the row with them, and the line that the digest is of."""
    found = []
    for place, name, *known in rows:
        path = os.path.join(place, name)
        state = known or stated(path)
        found.append(((place, name, *state), identity(path, *state)))
    return found


def rows_of(path: Path) -> Iterator[tuple[str, str, int | None, str]]:
    """(folder, name, size, changed) of a file of the listing."""
    pa = import_pyarrow()
    with pa.parquet.ParquetFile(path) as file:
        for batch in batches_of(file, ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns))


def absent_in(path: Path) -> tuple[int, str]:
    """How many of a file's rows were not there, and the first path of all."""
    pa = import_pyarrow()
    with pa.parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        places = file.schema_arrow.names.index("size")
        absent = sum(group.column(places).statistics.null_count for group in groups)
    place, name, *_ = next(rows_of(path))
    return absent, os.path.join(place, name)


def rows_in(files: list[Path], folders: list[str]):
    """The table (folder, name, size) of what is listed in some folders."""
    import pyarrow.dataset as ds

    place = ds.field("folder")
    # The range lets row groups be passed over.
    asked = (place >= min(folders)) & (place <= max(folders)) & place.isin(folders)
    return ds.dataset(list(map(str, files))).to_table(columns=["folder", "name", "size"], filter=asked)


def lines_of(path: Path) -> Iterator[bytes]:
    return (identity(os.path.join(place, name), *state) for place, name, *state in rows_of(path))


def times_of(folder: Path, mark: dict) -> dict[str, int]:
    """Times of a source's folders."""
    table = import_pyarrow().parquet.read_table(folder / mark["folders"])
    return dict(zip(*(column.to_pylist() for column in table.columns)))


def write_times(folder: Path, header: dict, number: int, times: dict[str, int]) -> str:
    """Name of a file with the times of a source's folders; the one it has, if that says the same."""
    pa, before = import_pyarrow(), header["sources"][number]["mark"]
    if before.get("folders") and times_of(folder, before) == times:
        return before["folders"]
    path = _new_file(folder, header, "folders")
    with replacing(path) as partial:
        pa.parquet.write_table(
            pa.table(dict(folder=list(times), changed=pa.array(times.values(), pa.int64()))), partial
        )
    return path.name


def _new_file(folder: Path, header: dict, kind: str) -> Path:
    header["written"] += 1
    return folder / f"{kind}-{header['written']:05d}.parquet"
