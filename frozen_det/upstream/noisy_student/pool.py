"""A pool of images without labels: folders, lists of files and tar shards, local or behind an fsspec address, as a
stream of parts.

A part is the unit of work and of resuming: a shard, or a run of files. Parts, their numbers and their digests follow
from the listing (:mod:`.listings.listing`), never from ranks or workers. Refused: a source that is not there or holds
no image. An image that cannot be read, or has another size than when it was listed, is an item that says so.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from ...datasets.images.pixels import upright_rgb
from ...errors import InputError
from ..folder_trees import find_tree
from ..image_records import EXTENSIONS
from ..shard_reading import Header, link_fault
from .listings.addresses import identity, opened, read_bytes, stated
from .listings.digests import digest_of, hash_of
from .listings.listing import PART_SIZE, Part, files_of, open_listing
from .listings.sources import AGAIN, check_shards, new_in_list, shard_paths, walked

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
class Pool:
    """Sources of images, in order; see :func:`open_pool`."""

    sources: tuple[dict, ...]

    def parts(self, listing_dir, part_size: int = PART_SIZE) -> list[Part]:
        """The parts of the pool as it is listed in a folder; see :func:`~.listings.listing.open_listing`.

        Args:
            listing_dir: Where the listing is, or is made.
            part_size: Files in a part; a shard is a part, however many images it holds.

        Raises:
            InputError: A source without an image; something that was listed is gone or has changed.
        """
        with open_listing(self.sources, listing_dir, part_size, log=str) as listing:
            return listing.parts

    def digest(self) -> str:
        """Hash of the names, sizes and times of change of all files, as hex; each is looked up, nothing is opened."""
        return digest_of(identity(path, *stated(path)) for source in self.sources for path in _paths(source))


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
    several = isinstance(sources, Iterable) and not isinstance(sources, dict | str)
    sources = list(sources) if several else [sources]
    if not sources:
        raise InputError("expected at least one source of images in the pool, got none (pool.sources).")
    return Pool(tuple(map(_checked, sources)))


def refuse_overlap(pool: Pool) -> None:
    """Refuse folders of which one lies in another: its images would be in the pool twice.

    Raises:
        InputError: So it is, links resolved.
    """
    folders = {one["folder"] for one in pool.sources if "folder" in one}
    before, outer = "", ""
    for place, folder in sorted((os.path.join(os.path.realpath(folder), ""), folder) for folder in folders):
        if before and place.startswith(before):
            raise InputError(
                f"expected sources without an image in common, got the folder {folder} besides {outer}, which holds "
                "it: leave one out (pool.sources)."
            )
        before, outer = place, folder


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
    return hash_of(content)


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
    for path, size in files_of(part):
        try:
            content, error = read_bytes(path), ""
        except OSError as fault:
            content, error = None, str(fault)
        if content is not None and size not in (None, len(content)):
            error = f"expected {size} bytes, as it was listed, got {len(content)}: it was changed since, {AGAIN}"
            content = None
        yield PoolItem(image_id(path), path, "", -1, len(content or b""), content, error)


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
        with opened(path) as file, tarfile.open(fileobj=file, mode="r|", bufsize=1 << 20, tarinfo=Header) as archive:
            for member in archive:
                if member.isdir() or not member.name.lower().endswith(EXTENSIONS):
                    continue
                if fault := link_fault(member):
                    yield PoolItem(image_id(path, member.name), path, member.name, -1, 0, None, fault)
                    continue
                content = archive.extractfile(member).read()
                if len(content) < member.size:
                    raise tarfile.ReadError(f"{member.name} is cut off")
                yield PoolItem(image_id(path, member.name), path, member.name, member.offset_data, member.size, content)
    except (OSError, EOFError, tarfile.TarError) as error:
        yield PoolItem(image_id(path), path, "", -1, 0, None, f"the shard breaks off here: {error}")


def _paths(source: dict) -> Iterator[str]:
    if "shards" in source:
        return iter(shard_paths(source["shards"]))
    rows = walked(source["folder"], {}) if "folder" in source else new_in_list(source, {}, "")
    return (os.path.join(*row) for row in rows)


def _checked(source) -> dict:
    source = dict(source) if isinstance(source, dict) else source
    kinds = [kind for kind in KINDS if kind in source] if isinstance(source, dict) else []
    known = {"list_file": {"list_file", "root", "labelled"}}.get(kinds[0] if kinds else "", set(kinds))
    if len(kinds) != 1 or set(source) - known or not source[kinds[0]]:
        raise InputError(
            "expected each source as dict(folder=...), dict(list_file=..., root=..., labelled=...) or "
            f"dict(shards=...), got {source!r} (pool.sources)."
        )
    if kinds == ["shards"]:
        names = source["shards"]
        names = tuple(map(os.fspath, [names] if isinstance(names, (str, os.PathLike)) else names))
        check_shards(names)
        return dict(shards=names)
    path = os.fspath(source[kinds[0]])
    if not (os.path.isdir if kinds == ["folder"] else os.path.isfile)(path):
        raise InputError(
            f"expected a {'folder' if kinds == ['folder'] else 'list file'}, got {path!r}, which is none "
            f"(pool.sources, {kinds[0]})."
        )
    if kinds == ["folder"]:
        return dict(folder=path)
    return dict(list_file=path, root=os.fspath(source.get("root") or ""), labelled=bool(source.get("labelled")))
