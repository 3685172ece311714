"""A pool of images without labels: folders, lists of files and tar shards, local or behind an fsspec address, as a
stream of parts.

A part is the unit of work and of resuming: a shard, or a run of files. Parts, their numbers and their digests follow
from the pool alone, never from ranks or workers. What is held in memory is one entry for each part and one folder's
names at a time. Refused: a source that is not there or holds no image. An image that cannot be read is an item that
says so.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from ...datasets.images.pixels import upright_rgb
from ...errors import InputError
from ...weights.atomic_write import replacing
from ..folder_trees import find_tree
from ..image_records import EXTENSIONS, spelt_out

KINDS = ("folder", "list_file", "shards")


@dataclass(frozen=True)
class PoolItem:
    """One image of a pool.

    Attributes:
        id: In [0, 2**63), from `path` and `key`: the same whatever else is in the pool.
        path: File, or shard, as an address that opens from here.
        key: Name of the member in its shard; "" for a file.
        offset, size: Offset of the image's bytes in the shard; -1 and their number for a file.
        content: The file's bytes; None where it cannot be read.
        error: Why not; "" otherwise.
    """

    id: int
    path: str
    key: str
    offset: int
    size: int
    content: bytes | None
    error: str = ""


@dataclass(frozen=True)
class Part:
    """A run of images in the pool's order.

    Attributes:
        number: From 0, over the whole pool.
        path: The shard, or the file with one path a line that has the part's lines.
        offset: Where the run begins in that file, in bytes.
        num_files: Length of the run; 0 for a shard, which is read to its end.
        digest: Of the names, sizes and times of change of its files.
    """

    number: int
    path: str
    offset: int
    num_files: int
    digest: str


@dataclass(frozen=True)
class Pool:
    """Sources of images, in order; see :func:`open_pool`."""

    sources: tuple[dict, ...]

    def parts(self, listing_dir, part_size: int = 10_000) -> list[Part]:
        """Cut the pool into parts.

        Args:
            listing_dir: Folder for the listings of folders and lists, one path a line (``listing-000.txt``).
            part_size: Files in a part; a shard is a part, however many images it holds.

        Raises:
            InputError: A source without an image, or a path with a line break in it.
        """
        if part_size < 1:
            raise InputError(f"expected part_size from 1 on, got {part_size}.")
        found: list[Part] = []
        for number, source in enumerate(self.sources):
            if "shards" in source:
                found += [
                    Part(len(found) + place, path, 0, 0, _digest([_stated(path)]))
                    for place, path in enumerate(source["shards"])
                ]
            else:
                listing = Path(listing_dir, f"listing-{number:03d}.txt")
                found += _listed(source, listing, part_size, len(found))
        return found

    def digest(self) -> str:
        """Hash of the names, sizes and times of change of all files, as hex; nothing is opened."""
        return _digest(
            line
            for source in self.sources
            for line in map(_stated, source["shards"] if "shards" in source else _paths(source))
        )


def open_pool(sources: Iterable[dict]) -> Pool:
    """A pool from its sources.

    Args:
        sources: Each one of
            ``dict(folder=...)``: all images below a folder, in the order of their names;
            ``dict(list_file=..., root="", labelled=False)``: one path (or address) a line; relative ones start from
            ``root``, or from the list's folder; ``labelled``: lines are ``path index``, and the index is not read;
            ``dict(shards=...)``: plain tar files by name, list of names, pattern (``*``) or range
            (``pool-{000..146}.tar``); names with ``://`` go through fsspec.

    Raises:
        InputError: Another form, or a source that is not there.
    """
    sources = [sources] if isinstance(sources, dict) else list(sources)
    if not sources:
        raise InputError("expected at least one source of images in the pool, got none (pool.sources).")
    return Pool(tuple(_checked(dict(source)) for source in sources))


def sources_of(dataset: dict) -> list[dict]:
    """Sources with the images of a data set's config, so that they can be hashed and kept out of a pool.

    Args:
        dataset: Config of an ``ImageFolder``, ``ImageList``, ``ImageShards`` or a COCO- or LVIS-style set.

    Raises:
        InputError: A data set whose images are no files.
    """
    kind = str(dataset.get("type", "")).rsplit(".", 1)[-1]
    root = dataset.get("data_root") or ""
    if kind == "ImageFolder" and dataset.get("val_share") is not None:
        return [dict(folder=os.path.join(root, find_tree(root).folder(dataset.get("split", "train"))))]
    if kind == "ImageFolder":
        return [dict(folder=os.path.join(root, dataset.get("split", "train")))]
    if kind == "ImageList":
        return [dict(list_file=dataset["ann_file"], root=dataset.get("image_root", ""), labelled=True)]
    if kind == "ImageShards":
        names = dataset.get("shards", "*.tar")
        return [dict(shards=[os.path.join(root, name) for name in ([names] if isinstance(names, str) else names)])]
    prefix = dataset.get("data_prefix") or {}
    if "img" in prefix or "img_path" in prefix:
        return [dict(folder=os.path.join(root, prefix.get("img", prefix.get("img_path"))))]
    if "dataset" in dataset:
        return sources_of(dataset["dataset"])
    raise InputError(
        f"expected a data set whose images are files or members of shards, got type={kind!r}: its images "
        "cannot be compared with those of a pool by their bytes. Name folders, lists or shards instead "
        "(guards)."
    )


def content_hash(content: bytes) -> str:
    """BLAKE2b of an image file's bytes, 128 bits, as 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def pool_hashes(pool: Pool, listing_dir=None) -> set[str]:
    """Content hashes of all readable images of a pool, such as a validation set's."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        return {
            content_hash(item.content)
            for part in pool.parts(listing_dir or scratch)
            for item in read_part(part)
            if item.content is not None
        }


def read_part(part: Part) -> Iterator[PoolItem]:
    """The images of a part, in order, with their bytes."""
    if part.num_files == 0:
        yield from _members(part.path)
        return
    with open(part.path, "rb") as listing:
        listing.seek(part.offset)
        for _ in range(part.num_files):
            path = os.fsdecode(listing.readline().rstrip(b"\n"))
            try:
                content, error = read_bytes(path), ""
            except OSError as fault:
                content, error = None, str(fault)
            yield PoolItem(image_id(path), path, "", -1, len(content or b""), content, error)


def read_bytes(path: str, offset: int = -1, size: int = -1) -> bytes:
    """A file's bytes, or ``size`` of them from ``offset`` on; through fsspec where the name is an address.

    Raises:
        OSError: It cannot be read.
    """
    if _is_address(path):
        system, inner = _file_system(path)
        return system.cat_file(inner, *((None, None) if offset < 0 else (offset, offset + size)))
    with open(path, "rb") as file:
        if offset < 0:
            return file.read()
        file.seek(offset)
        return file.read(size)


def open_image(row: dict) -> Image.Image:
    """The image of a row with ``path``, ``offset`` and ``size``: decoded, RGB, upright.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    with Image.open(BytesIO(read_bytes(row["path"], row["offset"], row["size"]))) as image:
        return upright_rgb(image)


def image_id(path: str, key: str = "") -> int:
    """Number of an image in [0, 2**63), from its location."""
    name = os.fsencode(f"{path}\0{key}")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1


def _members(path: str) -> Iterator[PoolItem]:
    """The images of a shard; a shard that breaks off ends with one item that says so."""
    try:
        with _opened(path) as file, tarfile.open(fileobj=file, mode="r|", bufsize=1 << 20) as archive:
            for member in archive:
                if not member.isfile() or not member.name.lower().endswith(EXTENSIONS):
                    continue
                content = archive.extractfile(member).read()
                if len(content) < member.size:
                    raise tarfile.ReadError(f"{member.name} is cut off")
                yield PoolItem(image_id(path, member.name), path, member.name, member.offset_data, member.size, content)
    except (OSError, EOFError, tarfile.TarError) as error:
        yield PoolItem(image_id(path), path, "", -1, 0, None, f"the shard breaks off here: {error}")


def _listed(source: dict, listing: Path, part_size: int, first: int) -> list[Part]:
    """Parts of a folder or list, whose paths are written down on the way."""
    parts, lines, begin, end = [], [], 0, 0

    def finish():
        parts.append(Part(first + len(parts), str(listing), begin, len(lines), _digest(lines)))

    with replacing(listing) as partial, open(partial, "wb") as file:
        for path in _paths(source):
            line = os.fsencode(path) + b"\n"
            if b"\n" in line[:-1]:
                raise InputError(f"expected paths of one line, got {path!r} in {_name(source)} (pool.sources).")
            file.write(line)
            lines.append(_stated(path))
            end += len(line)
            if len(lines) == part_size:
                finish()
                lines, begin = [], end
        if lines:
            finish()
    if not parts:
        raise InputError(
            f"expected at least one image ({', '.join(EXTENSIONS)}) in {_name(source)}, got none (pool.sources)."
        )
    return parts


def _paths(source: dict) -> Iterator[str]:
    if "folder" in source:
        yield from _walk(source["folder"])
        return
    root = source["root"] or os.path.dirname(source["list_file"])
    with open(source["list_file"], encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            name = line.strip()
            name = name.rpartition(" ")[0].strip() if source["labelled"] else name
            if name:
                yield name if _is_address(name) else os.path.join(root, name)


def _walk(folder: str) -> Iterator[str]:
    """Images at any depth, each folder's in the order of their names."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in found:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _walk(path)
        elif name.lower().endswith(EXTENSIONS):
            yield path


def _checked(source: dict) -> dict:
    kinds = [kind for kind in KINDS if kind in source]
    known = {"list_file": {"list_file", "root", "labelled"}}.get(kinds[0] if kinds else "", set(kinds))
    if len(kinds) != 1 or set(source) - known:
        raise InputError(
            "expected each source as dict(folder=...), dict(list_file=..., root=..., labelled=...) or "
            f"dict(shards=...), got {source} (pool.sources)."
        )
    if kinds == ["shards"]:
        names = source["shards"]
        return dict(shards=_shards([names] if isinstance(names, (str, os.PathLike)) else names))
    path = os.fspath(source[kinds[0]])
    if not (os.path.isdir if kinds == ["folder"] else os.path.isfile)(path):
        raise InputError(
            f"expected a {'folder' if kinds == ['folder'] else 'list file'}, got {path!r}, which is none "
            f"(pool.sources, {kinds[0]})."
        )
    if kinds == ["folder"]:
        return dict(folder=path)
    return dict(list_file=path, root=os.fspath(source.get("root") or ""), labelled=bool(source.get("labelled")))


def _shards(names) -> tuple[str, ...]:
    """Paths or addresses of shards, patterns and ranges spelt out; each is there."""
    found = []
    for name in [one for given in names for one in spelt_out(os.fspath(given))]:
        system, inner = _file_system(name)
        matched = sorted(system.glob(inner)) if "*" in inner else [inner] if system.exists(inner) else []
        if not matched:
            raise InputError(f"expected shards at {name!r}, got none (pool.sources, shards).")
        # What fsspec calls a path has lost its protocol, and a relative name has become absolute.
        found += (
            [system.unstrip_protocol(path) if _is_address(name) else path for path in matched]
            if "*" in inner
            else [name]
        )
    return tuple(found)


def _name(source: dict) -> str:
    return source.get("folder") or source["list_file"]


def _stated(path: str) -> bytes:
    """A file's name with its size and time of change, where they can be read without opening it."""
    try:
        if _is_address(path):
            system, inner = _file_system(path)
            info = system.info(inner)
            stated = f"{info.get('size')} {info.get('ETag') or info.get('mtime') or info.get('created') or ''}"
        else:
            status = os.stat(path)
            stated = f"{status.st_size} {status.st_mtime_ns}"
    except OSError:
        stated = "absent"
    return os.fsencode(f"{path}\0{stated}")


def _digest(lines: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(len(line).to_bytes(8, "little") + line)
    return digest.hexdigest()


def _is_address(path: str) -> bool:
    return "://" in path


def _file_system(path: str):
    """(fsspec file system, path in it) of an address or a local path."""
    from fsspec.core import url_to_fs  # torch requires fsspec

    try:
        return url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"expected an address that fsspec can open, got {path!r}: {error} (pool.sources).") from error


def _opened(path: str):
    if not _is_address(path):
        return open(path, "rb")
    system, inner = _file_system(path)
    return system.open(inner, "rb")
