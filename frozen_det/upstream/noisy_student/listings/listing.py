"""A pool is listed once: names, sizes and times of its files in Parquet, to which what joins the pool is appended.

``listing.json`` says which files hold what was listed, in the order in which it was, and the digest of each part of a
pool's images. What is there keeps its place and its part for ever, so labels stay valid while a pool grows; what joins
begins with a part of its own. A start looks at the times of folders, at list files and at shards, not at images: one
that has been overwritten since is found when it is read. One process lists, others wait for it.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ....engine.runner.run_lock import InUseError, RunLock
from ....errors import InputError
from ....weights.atomic_write import write_json
from ...image_records import EXTENSIONS
from .addresses import is_address, stated
from .digests import digest_of, digests_of
from .parquet import import_pyarrow
from .segments import (
    ROWS,
    absent_in,
    append_rows,
    lines_of,
    rows_in,
    rows_of,
    times_of,
    write_segment,
    write_times,
)
from .sources import folder_time, new_in_folder, new_in_list, refuse_changed_shards, shard_paths, walked

# Files in a part, unless it is said.
PART_SIZE = 10_000
LISTING = "listing.json"
_POLL_S = 0.5
_KEYS = {"part_size", "written", "sources", "segments"}
_FILES = re.compile(r"(files|folders)-\d{5,}\.parquet|\.(files|folders)-\d{5,}\..+\.partial\.parquet")


@dataclass(frozen=True)
class Part:
    """A run of images in the pool's order.

    Attributes:
        number: From 0, over the whole pool.
        path: The shard, or the file of the listing that has the part's names.
        offset: Row in that file where the run begins.
        num_files: Length of the run; 0 for a shard, which is read to its end.
        digest: Of the names, sizes and times of change of its files.
    """

    number: int
    path: str
    offset: int
    num_files: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """A pool as it was listed.

    Attributes:
        folder: Where the listing is.
        parts: Of the pool, by number.
        part_size: Files in a part; the last of what was listed at once has fewer.
        num_files: Images that are files; those in shards are not counted.
    """

    folder: str
    parts: list[Part]
    part_size: int
    num_files: int

    def digest(self) -> str:
        """Hash of the names, sizes and times of change of all files, as hex."""
        return digest_of(part.digest.encode() for part in self.parts)


@contextmanager
def open_listing(
    sources: tuple[dict, ...], folder, part_size: int, again: bool = False, log: Callable[[str], None] = print
) -> Iterator[Listing]:
    """The listing of a pool, made or brought up to date; until the context ends no other process changes it.

    Args:
        sources: Of a :class:`~..pool.Pool`.
        folder: Where it is kept.
        part_size: Files in a part; a shard is a part, however many images it holds.
        again: Look at every file again: what has changed gets its new size and time, what is gone stays as a file that
            cannot be read, and no other part changes.
        log: Takes lines about what joined and about waiting.

    Raises:
        InputError: A source without an image; something that was listed is gone or has changed.
    """
    if part_size < 1:
        raise InputError(f"expected part_size from 1 on, got {part_size}.")
    folder = Path(folder)
    known = None if again else _read(folder)
    try:
        checked = known is not None and known["part_size"] == part_size and not _has_news(sources, folder, known)
    except FileNotFoundError:  # another process has just written a header without it
        checked = False
    except import_pyarrow().ArrowInvalid as error:
        raise _no_listing(folder, str(error)) from error
    with _alone(folder, log):
        header = _read(folder)
        try:
            if not checked or header != known:
                header = _updated(sources, folder, header, part_size, again, log)
            listing = _opened(folder, header)
        except (FileNotFoundError, import_pyarrow().ArrowInvalid) as error:
            if isinstance(error, FileNotFoundError) and str(folder) not in str(error):
                raise  # of the pool
            raise _no_listing(folder, str(error)) from error
        yield listing


def files_of(part: Part) -> Iterator[tuple[str, int | None]]:
    """(path, size in bytes) of a part's files as they were listed; None for one that was not there.

    Raises:
        InputError: The listing is gone.
    """
    pa = import_pyarrow()
    first, last = part.offset // ROWS, (part.offset + part.num_files - 1) // ROWS
    try:
        with pa.parquet.ParquetFile(part.path) as file:
            table = file.read_row_groups(range(first, last + 1), columns=["folder", "name", "size"])
    except (OSError, pa.ArrowInvalid) as error:
        raise _no_listing(Path(part.path).parent, str(error)) from error
    rows = table.slice(part.offset - first * ROWS, part.num_files)
    for place, name, size in zip(*(rows[column].to_pylist() for column in ("folder", "name", "size"))):
        yield os.path.join(place, name), size


@contextmanager
def _alone(folder: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Within it no other process changes the listing; one that does so now is waited for, one that is gone is not."""
    said = False
    while True:
        try:
            lock = RunLock(folder)
            break
        except InUseError:
            if not said:
                log(f"[pool] waits for another process, which holds the listing in {folder}")
            said = True
            time.sleep(_POLL_S)
    with lock:
        yield


def _read(folder: Path) -> dict | None:
    try:
        found = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _no_listing(folder, f"no JSON ({error})") from error
    if not isinstance(found, dict) or not set(found) >= _KEYS:
        raise _no_listing(folder, "JSON of something else")
    return found


def _no_listing(folder: Path, got: str) -> InputError:
    return InputError(
        f"expected the listing of a pool in {folder / LISTING} and the files that it names, got {got}; remove {folder} "
        "to list again: parts whose files are the same keep their labels."
    )


def _opened(folder: Path, header: dict) -> Listing:
    pa, parts, count = import_pyarrow(), [], 0
    size = header["part_size"]
    for segment in header["segments"]:
        path, rows = folder / segment["file"], segment["rows"]
        if segment["source"] is None:
            places = ((name, 0, 0) for name in pa.parquet.read_table(path, columns=["name"])["name"].to_pylist())
        else:
            places = ((str(path), begin, min(size, rows - begin)) for begin in range(0, rows, size))
            count += rows
        for place, digest in zip(places, segment["digests"], strict=True):
            parts.append(Part(len(parts), *place, digest))
    return Listing(str(folder), parts, size, count)


# -- what has joined --------------------------------------------------------------------------------------------------


def _has_news(sources: tuple[dict, ...], folder: Path, header: dict) -> bool:
    """Whether something joined or left, as far as a look at folders, list files and shards tells."""
    known = _known_sources(header)
    given = {_key(source, folder): source for source in sources if "shards" not in source}
    if set(given) != set(known):
        return True
    for key, source in given.items():
        mark = header["sources"][known[key]]["mark"]
        if "folder" in source:
            if any(folder_time(path) != taken for path, taken in times_of(folder, mark).items()):
                return True
        elif list(stated(source["list_file"])) != mark["stamp"]:
            return True
    rows = list(_shard_rows(folder, header))
    refuse_changed_shards(rows, folder)
    there = {path for path, *_ in rows}
    named = {path for source in sources if "shards" in source for path in shard_paths(source["shards"], there)}
    return bool(named - there) or any(path not in named and size is not None for path, size, _ in rows)


def _updated(sources: tuple[dict, ...], folder: Path, header: dict | None, part_size: int, again: bool, log) -> dict:
    """The header after what joined has been written, source by source."""
    header = header or dict(version=1, part_size=part_size, written=0, sources=[], segments=[])
    rows = list(_shard_rows(folder, header))
    if not again:
        refuse_changed_shards(rows, folder)
    there = {path for path, *_ in rows}
    shards = [shard_paths(source["shards"], there) if "shards" in source else [] for source in sources]
    named = set(chain(*shards))
    left = [json.loads(key) for key in set(_known_sources(header)) - {_key(source, folder) for source in sources}]
    unnamed = [path for path, size, _ in rows if path not in named and size is not None]
    left += [path for path in unnamed if not again or stated(path)[0] is not None]
    if left:
        raise InputError(
            f"expected what the listing in {folder} was made from, got sources without {left[0]}"
            f"{f' and {len(left) - 1} more' if len(left) > 1 else ''}: a pool may grow, nothing may leave it. Name it "
            f"again, take another folder, or remove {folder} to list from the beginning: parts that then have other "
            "images are labelled anew."
        )
    if again and header["segments"]:
        _list_again(folder, header, part_size, log)
    elif header["part_size"] != part_size:
        for segment in header["segments"]:
            if segment["source"] is not None:
                segment["digests"] = list(digests_of(lines_of(folder / segment["file"]), part_size))
    header["part_size"] = part_size
    try:
        for source, paths in zip(sources, shards):
            if "shards" in source:
                new = dict.fromkeys(path for path in paths if path not in there)
                there |= set(new)
                append_rows(folder, header, None, (("", path) for path in new), 1)
            else:
                _add_files(source, folder, header, again, log)
            write_json(folder / LISTING, header, indent=None)
    except UnicodeEncodeError as error:
        raise InputError(
            f"expected names in UTF-8 in the pool, got {os.fsencode(error.object)!r}; rename it (pool.sources)."
        ) from error
    kept = {one["file"] for one in header["segments"]} | {one["mark"].get("folders") for one in header["sources"]}
    for path in folder.glob("*.parquet"):  # those of a header before, and what a killed process left
        if path.name not in kept and _FILES.fullmatch(path.name):
            path.unlink(missing_ok=True)
    return header


def _add_files(source: dict, folder: Path, header: dict, again: bool, log) -> None:
    """Append what joined a folder or list file."""
    known, key, name = _known_sources(header), _key(source, folder), source.get("folder") or source["list_file"]
    is_new, number = key not in known, known.get(key, len(header["sources"]))
    if is_new:
        header["sources"].append(dict(source=json.loads(key), mark={}))
    mark: dict = dict(header["sources"][number]["mark"])
    times = {} if is_new or "list_file" in source else times_of(folder, mark)
    if "list_file" in source:
        rows = new_in_list(source, mark, folder)
    elif is_new:
        rows = walked(name, times)
    else:
        files = [folder / one["file"] for one in header["segments"] if one["source"] == number]
        rows = new_in_folder(name, times, lambda some: rows_in(files, some), again, folder)
    joined = append_rows(folder, header, number, rows, header["part_size"])
    if is_new and not joined:
        raise InputError(f"expected at least one image ({', '.join(EXTENSIONS)}) in {name}, got none (pool.sources).")
    if joined:
        absent, first = absent_in(folder / header["segments"][-1]["file"])
        if is_new and absent == joined and not is_address(first):
            raise InputError(
                f"expected images in {name}, got {joined} names of which none is a file, the first {first!r}. Relative "
                "lines of a list begin at its folder, or at root (pool.sources)."
            )
        log(f"[pool] {joined} files of {name} listed{f', {absent} of them are not there' if absent else ''}")
    if "folder" in source:
        mark["folders"] = write_times(folder, header, number, times)
    header["sources"][number]["mark"] = mark


def _list_again(folder: Path, header: dict, part_size: int, log) -> None:
    """Sizes and times of everything listed anew, in the order it has; what is gone stays without them."""
    gone = changed = 0
    for number, segment in enumerate(header["segments"]):
        old = folder / segment["file"]

        def rows(path=old):
            nonlocal gone, changed
            for place, name, size, was in rows_of(path):
                now = stated(os.path.join(place, name))
                gone += now[0] is None and size is not None
                changed += now[0] is not None and now != (size, was)
                yield place, name, *now

        size = 1 if segment["source"] is None else part_size
        new = write_segment(folder, header, segment["source"], rows(), size)
        if new["digests"] != segment["digests"]:  # else others may go on reading the file
            header["segments"][number] = new
    log(f"[pool] listed again: {gone} files are gone, {changed} have changed")


def _shard_rows(folder: Path, header: dict) -> Iterator[tuple[str, int | None, str]]:
    for segment in header["segments"]:
        if segment["source"] is None:
            yield from (row[1:] for row in rows_of(folder / segment["file"]))


def _known_sources(header: dict) -> dict[str, int]:
    """Number of each source in the header, by :func:`_key`."""
    return {json.dumps(one["source"], sort_keys=True): number for number, one in enumerate(header["sources"])}


def _key(source: dict, folder: Path) -> str:
    """A source as the header names it: what lies beside the listing from there, so that both can be moved."""
    beside = os.path.join(os.path.abspath(folder.parent), "")

    def told(value):
        if not isinstance(value, str) or not value or not os.path.abspath(value).startswith(beside):
            return value
        return os.path.join(".", os.path.abspath(value)[len(beside) :])

    return json.dumps({name: told(value) for name, value in source.items()}, sort_keys=True)
