"""`frozen_det.ImageShards`: tar shards in WebDataset's format, and the order that reads them nearly in sequence.

Shards are read with the standard library, not with the package `webdataset`: its batches follow from the number of
workers and from what lay in its shuffle buffers, so neither another number of workers nor a resumed run repeats them.
Here the headers are read once, which gives every image a place (shard, offset, size); pixels are read when they are
asked for, by one ``pread`` each. So shards have samplers, seeds, shares and resuming as all other data. Compressed
tar files and addresses other than files are refused.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.images.pixels import upright_rgb
from ..datasets.samplers.seeding import RankSampler, SampleIndex, sample_seed
from ..errors import InputError
from ..registry import DATA_SAMPLERS, DATASETS
from .datasets import ClassificationDataset
from .image_records import EXTENSIONS, ImageRecords, parse_label, read_classes, spelt_out
from .shard_reading import Header, OpenShards, ShardOrder, link_fault


@dataclass(frozen=True)
class ShardRecords(ImageRecords):
    """Images in shards.

    Attributes:
        spans: (N, 3) int64: number of the shard, offset and size of the image's bytes in it.
        shards: Paths of the shards.
    """

    spans: np.ndarray | None = None
    shards: tuple[str, ...] = ()

    def take(self, indices: np.ndarray) -> "ShardRecords":
        return replace(super().take(indices), spans=self.spans[indices])


@DATASETS.register_module()
class ImageShards(ClassificationDataset):
    """Tar shards: of each key an image (``KEY.jpg``) and its label (``KEY.cls``, a number as text).

    Args:
        data_root: Folder of the shards.
        shards: Their names: a pattern with ``*`` or one range in braces (``train-{000..146}.tar``), or a list of names.
        num_classes, classes: As in :class:`~.datasets.ImageList`.
        others: See :class:`~.datasets.ClassificationDataset`.

    Raises:
        InputError: No shard, one that is no whole plain tar file, a key without image or label, a label out of range.
    """

    def __init__(self, data_root: str, shards="*.tar", num_classes: int | None = None, classes=None, **others) -> None:
        names = read_classes(classes) if classes is not None else None
        if names is None and num_classes is None:
            raise InputError("expected num_classes or classes for shards, got neither (dataset.num_classes).")
        names = names or tuple(str(label) for label in range(num_classes))
        self._files = OpenShards()
        super().__init__(read_shards(data_root, shards, names), **others)

    def read_image(self, index: int) -> Image.Image:
        """The image, decoded, RGB, upright."""
        shard, offset, size = self.records.spans[index].tolist()
        content = self._files.read(self.records.shards[shard], offset, size)
        with Image.open(io.BytesIO(content)) as image:
            return upright_rgb(image)


def read_shards(data_root, shards, classes: tuple[str, ...]) -> ShardRecords:
    """Read the headers and labels of shards; see :class:`ImageShards`."""
    paths = shard_paths(data_root, shards)
    names, labels, spans = [], [], []
    for number, path in enumerate(paths):
        try:
            with tarfile.open(path, "r:", tarinfo=Header) as archive:
                images, found = _members(archive, path, len(classes))
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(
                f"expected a plain tar file, whole, got {path}: {error} (dataset.shards); fetch it again, "
                "or unpack compressed shards."
            ) from error
        odd = sorted(images.keys() ^ found.keys())
        if odd:
            raise InputError(
                f"expected an image and a label ('.cls') for each key in {path}, got {len(odd)} keys with "
                f"one of them: {odd[:3]} (dataset.shards)."
            )
        for key, (member, offset, size) in images.items():
            names.append(os.fsencode(f"{os.path.basename(path)}/{member}"))
            labels.append(found[key])
            spans.append((number, offset, size))
    if not names:
        raise InputError(f"expected at least one image in the {len(paths)} shards of {data_root}, got none (shards).")
    return ShardRecords(
        root=str(data_root),
        paths=np.array(names, dtype="S"),
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
        source=f"{data_root} ({len(paths)} shards)",
        spans=np.array(spans, dtype=np.int64),
        shards=paths,
    )


def shard_paths(data_root, shards) -> tuple[str, ...]:
    """Paths of shards by a pattern, a range in braces or names; each is there.

    Raises:
        InputError: None fits, or one is missing.
    """
    given = [shards] if isinstance(shards, str) else list(shards)
    paths = []
    for name in given:
        for one in spelt_out(name):
            path = os.path.join(data_root, one)
            paths += sorted(glob(path)) if set("*?[") & set(one) else [path]
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        raise InputError(
            f"expected shards {shards!r} in {data_root}, got "
            f"{f'no {missing[0]} and {len(missing) - 1} more missing' if missing else 'none'} "
            "(dataset.data_root, dataset.shards)."
        )
    return tuple(paths)


def _members(archive: tarfile.TarFile, path: str, num_classes: int) -> tuple[dict, dict]:
    """Images (key -> name, offset, size) and labels (key -> label) of one shard; other members are passed over."""
    images, labels = {}, {}
    for member in archive:
        folder, base = os.path.split(member.name)
        stem, _, extension = base.partition(".")  # as WebDataset does: the key ends at the first dot
        key = os.path.join(folder, stem)
        is_image = f".{extension.lower()}" in EXTENSIONS
        if (fault := link_fault(member)) and (is_image or extension == "cls"):
            raise InputError(f"expected images and labels in {path}, got {member.name}, {fault} (dataset.shards).")
        if not member.isfile():
            continue
        if is_image:
            images[key] = (member.name, member.offset_data, member.size)
        elif extension == "cls":
            text = archive.extractfile(member).read().decode(errors="replace").strip()
            labels[key] = parse_label(text, num_classes, f"{path}, {member.name}")
    return images, labels


@DATA_SAMPLERS.register_module()
class ShardSampler(RankSampler):
    """An order in which shards are read a few at a time, nearly in sequence: see :class:`~.shard_reading.ShardOrder`.

    Each rank has a contiguous part of that order, so it opens its own shards only; ranks have equally many samples, the
    last filled up from the beginning. The order follows from run seed and epoch, whatever the number of workers.

    Args:
        dataset: An :class:`ImageShards`.
        window: Shards that are read at a time. The more, the better mixed and the less in sequence.
        shuffle: False reads shards and samples in order.
        seed: Of the run; the Runner passes it. None agrees on one between the ranks.
    """

    def __init__(self, dataset, window: int = 8, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(getattr(dataset, "records", None), ShardRecords):
            raise InputError(
                f"expected frozen_det.ImageShards for frozen_det.ShardSampler, got "
                f"{type(dataset).__name__} (sampler.type); take frozen_det.EpochSampler."
            )
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise InputError(f"expected window as a number of shards from 1 on, got {window!r} (sampler.window).")
        super().__init__(seed)
        self.dataset, self.window, self.shuffle = dataset, window, shuffle
        self.num_samples = -(-len(dataset) // self.world_size)

    def __iter__(self) -> Iterator[SampleIndex]:
        shard_of, size = self.dataset.records.spans[:, 0], len(self.dataset)
        samples = np.argsort(shard_of, kind="stable")  # a share of the images may be in another order than the shards
        mixed = sample_seed(self.seed, self.epoch, size)
        order = ShardOrder(np.bincount(shard_of), self.window, mixed) if self.shuffle else range(size)
        for place in range(self.rank * self.num_samples, (self.rank + 1) * self.num_samples):
            yield SampleIndex(int(samples[order[place % size]]), self.seed, self.epoch)
