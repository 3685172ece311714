"""What has joined a source of a pool since it was listed: a folder's, a list file's and shards' new names, in order.

A folder is looked at again only where the time of one of its folders has changed, a list file is read from where the
listing ended, of shards the new ones are looked up. What was listed has to be there still.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from glob import iglob

from ....errors import InputError
from ...image_records import EXTENSIONS, spelt_out
from .addresses import file_system, is_address, stated
from .digests import new_digest
from .parquet import import_pyarrow

# A folder's time says nothing about what comes within the clock's next tick, which on some file servers is seconds.
_TICK_NS = 60 * 10**9
_FOLDERS = 256  # compared at once
_SHOWN = 3
AGAIN = "list again (--list-again): what is gone then counts as unreadable, and parts with changes are labelled anew"


def folder_time(folder: str) -> int | None:
    """When names in a folder were last changed, in ns since 1970; None if it is not there."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def walked(folder: str, times: dict[str, int], above: frozenset = frozenset()) -> Iterator[tuple[str, str]]:
    """(folder, name) of the images at any depth, each folder's in the order of their names. A link to a folder that
    it lies in is passed over.

    Args:
        folder: Where to begin.
        times: Takes the time of each folder on the way, -1 for one that has just been changed.
        above: Real paths of the folders that it lies in.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    times[folder] = _settled_time(folder)
    for name, is_folder in _names(folder):
        if is_folder:
            yield from walked(os.path.join(folder, name), times, above | {real})
        elif name.lower().endswith(EXTENSIONS):
            yield folder, name


def new_in_folder(
    root: str, times: dict[str, int], listed: Callable[[list[str]], object], again: bool, where
) -> Iterator[tuple[str, str]]:
    """(folder, name) of what joined a folder that was listed before; `times` is brought up to date.

    Args:
        root: The source.
        times: As :func:`walked` left them.
        listed: The table with the columns folder, name and size of what was listed in some folders; a size is missing
            of what was not there then.
        again: Look at every folder, and let images be gone.
        where: The listing, for messages.

    Raises:
        InputError: Something that was listed is gone.
    """
    changed = [folder for folder, taken in times.items() if again or folder_time(folder) != taken]
    for start in range(0, len(changed), _FOLDERS):
        folders = changed[start : start + _FOLDERS]
        found: tuple[list[str], list[str]] = ([], [])
        inner = []
        for folder in folders:
            if folder_time(folder) is None:
                del times[folder]
                continue
            times[folder] = _settled_time(folder)
            for name, is_folder in _names(folder):
                if is_folder:
                    inner.append(os.path.join(folder, name))
                elif name.lower().endswith(EXTENSIONS):
                    found[0].append(folder)
                    found[1].append(name)
        new, gone = _compared(found, listed(folders))
        if gone and not again:
            raise _gone(gone, root, where)
        yield from new
        for folder in inner:
            if folder not in times:
                yield from walked(folder, times, _above(folder, root))


def new_in_list(source: dict, mark: dict, where) -> Iterator[tuple[str, str]]:
    """("", path) of each line after those that were listed; `mark` is brought up to date.

    Args:
        source: See :func:`~..pool.open_pool`.
        mark: ``bytes`` read before, their ``digest``, and the file's ``stamp``; empty at first.
        where: The listing, for messages.

    Raises:
        InputError: Lines that were listed have changed.
    """
    path, digest, place = source["list_file"], new_digest(), mark.get("bytes", 0)
    root = source["root"] or os.path.dirname(path)
    mark["stamp"] = list(stated(path))
    with open(path, "rb") as file:
        left = place
        while left and (content := file.read(min(left, 1 << 20))):
            digest.update(content)
            left -= len(content)
        cut = place and not left and not content.endswith(b"\n") and file.read(1) not in (b"", b"\n", b"\r")
        if left or cut or (place and digest.hexdigest() != mark["digest"]):
            raise InputError(
                f"expected {path} to begin with the {place} bytes that {where} was made from, got others: lines may be "
                f"added at its end, not changed. Put them back, or remove {where} to list from the beginning: parts "
                "that then have other images are labelled anew."
            )
        file.seek(place)
        for line in file:
            if b"\0" in line:
                raise InputError(
                    f"expected a list of images as text, one path a line, got binary content in {path}. Shards are "
                    "plain tar files named *.tar; for a single image name a folder (pool.sources)."
                )
            digest.update(line)
            place += len(line)
            name = os.fsdecode(line).strip()
            name = name.rpartition(" ")[0].strip() if source["labelled"] else name
            if name:
                yield "", name if is_address(name) else os.path.join(root, name)
    mark.update(bytes=place, digest=digest.hexdigest())


def _above(folder: str, root: str) -> frozenset[str]:
    """Real paths of the folders from `root` on that a folder below it lies in."""
    found = set()
    while folder != root and (inner := os.path.dirname(folder)) != folder:
        folder = inner
        found.add(os.path.realpath(folder))
    return frozenset(found)


def shard_paths(names: Collection[str], known: Collection[str] = ()) -> list[str]:
    """Paths or addresses of shards, patterns and ranges spelt out; each is there, as those of `known` were.

    Raises:
        InputError: One is not.
    """
    found: list[str] = []
    for name in [one for given in names for one in spelt_out(given)]:
        if "*" not in name:
            if name not in known and not _exists(name):
                raise _no_shards(name)
            found.append(name)
            continue
        system, inner = file_system(name)
        matched = sorted(system.glob(inner))
        if not matched:
            raise _no_shards(name)
        # What fsspec calls a path has lost its protocol, and a relative name has become absolute.
        found += [system.unstrip_protocol(path) if is_address(name) else path for path in matched]
    return found


def check_shards(names: Collection[str]) -> None:
    """Refuse shards of which the first, or with a pattern on this machine all, are not there.

    Raises:
        InputError: So it is.
    """
    for name in names:
        first = spelt_out(name)[0]
        if "*" not in first and not _exists(first):
            raise _no_shards(first)
        if "*" in first and not is_address(first) and next(iglob(first), None) is None:
            raise _no_shards(first)


def refuse_changed_shards(rows, where) -> None:
    """Refuse shards on this machine that are not as they were listed.

    Args:
        rows: (path, size, changed) of each, see :func:`~.addresses.stated`.
        where: The listing, for messages.

    Raises:
        InputError: One is gone or has another size or time.
    """
    odd = [
        (path, size, now)
        for path, size, changed in rows
        if not is_address(path) and (now := stated(path)) != (size, changed)
    ]
    if odd:
        path, size, now = odd[0]
        got = "no such file" if now[0] is None else f"{now[0]} bytes" if now[0] != size else "another time of change"
        raise InputError(
            f"expected the shard {path} as it is listed in {where}, with {size} bytes, got {got}"
            f"{f', and {len(odd) - 1} more that changed' if len(odd) > 1 else ''}. Put it back, or {AGAIN}."
        )


def _exists(name: str) -> bool:
    if not is_address(name):
        return os.path.exists(name)
    system, inner = file_system(name)
    return system.exists(inner)


def _no_shards(name: str) -> InputError:
    return InputError(f"expected shards at {name!r}, got none (pool.sources, shards).")


def _settled_time(folder: str) -> int:
    taken = os.stat(folder).st_mtime_ns
    return taken if time.time_ns() - taken > _TICK_NS else -1


def _names(folder: str) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))


def _compared(found: tuple[list[str], list[str]], listed) -> tuple[Iterator[tuple[str, str]], list[str]]:
    """(folder, name) of what is new, in order, and the first paths of what is gone."""
    pa = import_pyarrow()
    there = pa.table(dict(zip(("folder", "name"), (pa.array(one, pa.string()) for one in found))))
    keys = [pa.compute.binary_join_element_wise(one["folder"], one["name"], "/") for one in (there, listed)]
    new = there.filter(pa.compute.invert(pa.compute.is_in(keys[0], keys[1])))
    gone = keys[1].filter(
        pa.compute.and_(listed["size"].is_valid(), pa.compute.invert(pa.compute.is_in(keys[1], keys[0])))
    )
    pairs = zip(new["folder"].to_pylist(), new["name"].to_pylist())
    return pairs, gone.to_pylist() if len(gone) else []


def _gone(gone: list[str], root: str, where) -> InputError:
    shown = ", ".join(sorted(gone)[:_SHOWN]) + (", ..." if len(gone) > _SHOWN else "")
    return InputError(
        f"expected the images below {root} that are listed in {where}, got {len(gone)} of them no more: {shown}. "
        f"Put them back, or {AGAIN}."
    )
