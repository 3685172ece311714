"""Classification data sets: image folders, list files, CIFAR. A sample's draws follow from (run seed, epoch, index).

A sample is ``dict(inputs=(3, H, W) uint8 RGB, data_samples=dict(label, index, path[, labels_multi]))``; batches are
made by ``collate_fn=dict(type="frozen_det.collate_images")``. Refused: listings that :mod:`.image_records` refuses, a
broken image where ``on_broken="error"``.
"""

import logging

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset

from ..datasets.images.pixels import upright_rgb
from ..datasets.samplers.data_fraction import check_fraction, draw_fraction, fraction_record
from ..datasets.samplers.seeding import SampleIndex, sample_seed, seeded
from ..errors import InputError
from ..ops.counter_draws import counter_words
from ..registry import DATASETS, FUNCTIONS, TRANSFORMS
from .folder_trees import read_tree
from .image_records import ImageRecords, read_folder, read_list, said_left_out, with_multi_labels

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class ClassificationDataset(Dataset):
    """What the data sets share: a listing, reading, the transform and its seeds.

    Args:
        records: The images and labels.
        transform: A transform, its config, or a list of them, applied one after the other: PIL image (RGB) in,
            (3, H, W) uint8 out; or one batch transform (see :mod:`.transforms`).
        in_memory: Decode once and keep the uint8 pixels: for small images.
        on_broken: "error", or "skip": a file that does not decode is left out, warned of once and counted
            (:attr:`broken_paths`). In memory it is dropped from the data set. Read as needed, training takes the
            next whole image in its place, and with ``test_mode`` it is missing from its batch.
        test_mode: Whether this is data to measure on.
        fraction: Share of the images, a number or ``dict(share=0.1, seed=0)``, drawn as for detection (no class is
            left without an image); ``train --fraction`` sets it.
        num_images: The same as a number of images, at least one of each class. Not both.
    """

    def __init__(
        self,
        records: ImageRecords,
        transform=None,
        in_memory: bool = False,
        on_broken: str = "error",
        test_mode: bool = False,
        fraction=None,
        num_images: int | None = None,
    ) -> None:
        if on_broken not in ("error", "skip"):
            raise InputError(f"expected on_broken as 'error' or 'skip', got {on_broken!r} (dataset.on_broken).")
        self.fraction_record = None
        self.records = self._drawn(records, fraction, num_images)
        self.transform = _built(transform)
        self.in_memory, self.on_broken, self.test_mode = in_memory, on_broken, test_mode
        self.metainfo = dict(classes=self.records.classes)
        self._pixels = None
        self._is_ready = not in_memory
        self._dropped: list[str] = []
        # In shared memory, so that the workers of a loader warn once between them and the training process can ask.
        self._is_broken = torch.zeros(len(self.records) * (on_broken == "skip"), dtype=torch.bool).share_memory_()

    @property
    def num_classes(self) -> int:
        """How many classes the listing has."""
        return len(self.records.classes)

    @property
    def broken_paths(self) -> list[str]:
        """Images left out so far because they did not decode."""
        return [self.records.path(index) for index in self._is_broken.nonzero().flatten().tolist()] + self._dropped

    def full_init(self) -> None:
        """Decode the images that stay in memory. The Runner calls it before it starts workers."""
        if not self._is_ready:
            self._is_ready = True
            self._load_all()

    def __len__(self) -> int:
        self.full_init()
        return len(self.records)

    def __getitem__(self, index: int) -> dict | None:
        """One sample; None for a broken image that is left out of a batch to measure on."""
        self.full_init()
        where = int(index)
        if hasattr(self.transform, "apply_batch"):
            image = self._image_or_none(where)
            if image is None:
                return self._in_place_of(index)
            pixels = image[None] if isinstance(image, np.ndarray) else _to_array(image)[None]
            return self._sample(where, torch.from_numpy(self._apply_batch(pixels, [index])[0]))
        image = self._image_or_none(where)
        if image is None:
            return self._in_place_of(index)
        image = Image.fromarray(image.transpose(1, 2, 0)) if isinstance(image, np.ndarray) else image
        if isinstance(index, SampleIndex):
            with seeded(sample_seed(index.seed, index.epoch, where)):
                return self._sample(where, self._transformed(image))
        return self._sample(where, self._transformed(image))

    def __getitems__(self, indices) -> list | dict:
        """A batch: collated already where images in memory meet a batch transform, otherwise a list of samples."""
        self.full_init()
        if not (isinstance(self._pixels, np.ndarray) and hasattr(self.transform, "apply_batch")):
            return [self[index] for index in indices]
        places = np.fromiter((int(index) for index in indices), np.int64, len(indices))
        pixels = self._apply_batch(self._pixels[places], indices)
        samples = dict(
            label=torch.from_numpy(self.records.labels[places]),
            index=torch.from_numpy(places),
            path=[self.records.path(place) for place in places],
        )
        if self.records.labels_multi is not None:
            samples["labels_multi"] = [self.records.labels_multi[place] for place in places]
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(pixels)), data_samples=samples)

    # -- one image --------------------------------------------------------------------------------------------------

    def read_image(self, index: int) -> Image.Image:
        """The image, decoded, RGB, as large as it is in the file, turned as its EXIF data say (torchvision and timm
        do not turn)."""
        with Image.open(self.records.path(index)) as image:
            return upright_rgb(image)

    def _image_or_none(self, index: int) -> Image.Image | np.ndarray | None:
        if self._pixels is not None:
            return self._pixels[index]
        try:
            return self.read_image(index)
        except _UNREADABLE as error:
            self._broken(index, error)
            return None

    def _broken(self, index: int, error: Exception) -> None:
        path = self.records.path(index)
        if self.on_broken == "error":
            raise InputError(
                f"expected a readable image, got {path}: {str(error) or type(error).__name__}; replace "
                "or remove the file, or set on_broken='skip' in the dataset."
            ) from error
        if not self._is_broken[index]:
            self._is_broken[index] = True
            print_log(
                f"left out the broken image {path} ({error}); {int(self._is_broken.sum())} so far",
                logger="current",
                level=logging.WARNING,
            )

    def _in_place_of(self, index: int) -> dict | None:
        if self.test_mode:
            return None
        if bool(self._is_broken.all()):
            raise InputError(
                f"expected at least one readable image in {self.records.source}, got none of "
                f"{len(self.records)} (data_root); look at the warnings above."
            )
        other = (int(index) + 1) % len(self.records)
        return self[SampleIndex(other, index.seed, index.epoch) if isinstance(index, SampleIndex) else other]

    def _transformed(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(_to_array(image)) if self.transform is None else self.transform(image)

    def _apply_batch(self, pixels: np.ndarray, indices) -> np.ndarray:
        if all(isinstance(index, SampleIndex) for index in indices):
            triples = np.array([(index.seed % 2**64, index.epoch, int(index)) for index in indices], dtype=np.uint64)
            words = counter_words(*triples.T, self.transform.words_per_image)
        else:
            words = np.random.randint(0, 2**64, size=(len(indices), self.transform.words_per_image), dtype=np.uint64)
        return self.transform.apply_batch(pixels, words)

    def _sample(self, index: int, image: torch.Tensor) -> dict:
        meta = dict(label=int(self.records.labels[index]), path=self.records.path(index), index=index)
        if self.records.labels_multi is not None:
            meta["labels_multi"] = self.records.labels_multi[index]
        return dict(inputs=image, data_samples=meta)

    # -- the listing ------------------------------------------------------------------------------------------------

    def _load_all(self) -> None:
        pixels, kept = [], []
        for index in range(len(self.records)):
            image = self._image_or_none(index)
            if image is not None:
                pixels.append(_to_array(image))
                kept.append(index)
        self._dropped = self.broken_paths
        if not kept:
            raise InputError(f"expected at least one readable image in {self.records.source}, got none (data_root).")
        self.records = self.records.take(np.array(kept))
        self._is_broken = torch.zeros(len(kept), dtype=torch.bool).share_memory_()
        same_size = len({image.shape for image in pixels}) == 1
        self._pixels = np.stack(pixels) if same_size else pixels

    def _drawn(self, records: ImageRecords, fraction, num_images: int | None) -> ImageRecords:
        if fraction is None and num_images is None:
            return records
        if fraction is not None and num_images is not None:
            raise InputError(f"expected fraction or num_images, got both: {fraction!r}, {num_images!r} (dataset).")
        if num_images is not None:
            if isinstance(num_images, bool) or not isinstance(num_images, int) or not 0 < num_images <= len(records):
                raise InputError(
                    f"expected num_images in 1..{len(records)}, the images in {records.source}, got "
                    f"{num_images!r} (dataset.num_images)."
                )
            fraction = num_images / len(records)
        share, seed = check_fraction(fraction)
        names = [path.decode(errors="surrogateescape") for path in records.paths]
        labels = records.labels.tolist()
        drawn = draw_fraction({place: [label] for place, label in enumerate(labels)}, share, seed)
        if num_images is not None and len(drawn) > num_images:
            raise InputError(
                f"expected num_images of at least {len(drawn)}, one image of each class in "
                f"{records.source}, got {num_images} (dataset.num_images)."
            )
        listing = "\n".join(f"{name} {label}" for name, label in zip(names, labels))
        ids, content = [names[place] for place in drawn], listing.encode("utf-8", "surrogateescape")
        self.fraction_record = fraction_record(ids, share, seed, len(records), records.source, content)
        return records.take(np.array(drawn))


@FUNCTIONS.register_module()
def collate_images(samples) -> dict:
    """One batch of samples.

    Args:
        samples: List of ``dict(inputs=(3, H, W) uint8, data_samples=dict(label=int, index=int, path=str))``, some
            with ``labels_multi``, a list of the valid classes; None for an image that was left out. Or a batch
            that a dataset made whole, which passes through.

    Returns:
        ``dict(inputs=(N, 3, H, W) uint8, data_samples=dict(label=(N,) int64, index=(N,) int64, path=list of N))``,
        with ``labels_multi``, N lists, where every sample has them.

    Raises:
        InputError: Images of more than one size, or no image left.
    """
    if isinstance(samples, dict):
        return samples
    kept = [sample for sample in samples if sample is not None]
    if not kept:
        raise InputError(
            f"expected at least one readable image in a batch of {len(samples)}, got none; look at the "
            "warnings about broken images above, and repair the files or raise batch_size."
        )
    shapes = sorted({tuple(sample["inputs"].shape) for sample in kept})
    if len(shapes) > 1:
        raise InputError(
            f"expected images of one size in a batch, got {shapes[0]} and {shapes[-1]} (shape of inputs); "
            "end the dataset's transform with a crop or resize of fixed size."
        )
    meta = [sample["data_samples"] for sample in kept]
    batch = dict(
        label=torch.tensor([one["label"] for one in meta], dtype=torch.int64),
        index=torch.tensor([one["index"] for one in meta], dtype=torch.int64),
        path=[one["path"] for one in meta],
    )
    if all("labels_multi" in one for one in meta):
        batch["labels_multi"] = [one["labels_multi"] for one in meta]
    return dict(inputs=torch.stack([sample["inputs"] for sample in kept]), data_samples=batch)


@DATASETS.register_module()
class ImageFolder(ClassificationDataset):
    """An image folder, ``data_root/split/CLASS/**/IMAGE``, or a user's, in any of the trees of :mod:`.folder_trees`.

    Args:
        data_root, split, classes, classes_from, allow_empty: See :func:`~.image_records.read_folder`.
        multi_labels: Json file with all valid labels of each image, see :func:`~.image_records.with_multi_labels`.
        val_share, split_seed: With a share in (0, 1) the splits are found in a user's tree, and that share of each
            class validates where it has no folder for it; see :func:`~.folder_trees.read_tree`.
        others: See :class:`ClassificationDataset`.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        classes=None,
        classes_from: str | None = "train",
        allow_empty: bool = False,
        multi_labels: str | None = None,
        val_share: float | None = None,
        split_seed: int = 0,
        **others,
    ) -> None:
        if val_share is None:
            records = read_folder(data_root, split, classes, classes_from, allow_empty)
        else:
            records = read_tree(data_root, split, val_share, split_seed, classes, allow_empty)
        if records.left_out:
            print_log(f"{records.source}: {said_left_out(records.left_out)}", logger="current")
        super().__init__(with_multi_labels(records, multi_labels) if multi_labels else records, **others)


@DATASETS.register_module()
class ImageList(ClassificationDataset):
    """A list file with lines ``path index``.

    Args:
        ann_file, image_root, num_classes, classes: See :func:`~.image_records.read_list`.
        multi_labels, others: As in :class:`ImageFolder`.
    """

    def __init__(
        self,
        ann_file: str,
        image_root: str = "",
        num_classes: int | None = None,
        classes=None,
        multi_labels: str | None = None,
        **others,
    ) -> None:
        records = read_list(ann_file, image_root, num_classes, classes)
        super().__init__(with_multi_labels(records, multi_labels) if multi_labels else records, **others)


@DATASETS.register_module()
class Cifar(ClassificationDataset):
    """CIFAR-10 or -100 in the python format that torchvision downloads and checks; always in memory.

    Args:
        data_root: Folder that holds ``cifar-10-batches-py`` or ``cifar-100-python``.
        name: "cifar10" or "cifar100" (its 100 fine classes).
        split: "train" (50,000 images) or "test" (10,000).
        others: See :class:`ClassificationDataset`.

    Raises:
        InputError: Another name or split; files that are not there or not whole.
    """

    def __init__(self, data_root: str, name: str = "cifar10", split: str = "train", **others) -> None:
        from torchvision.datasets import CIFAR10, CIFAR100

        kinds = {"cifar10": CIFAR10, "cifar100": CIFAR100}
        if name not in kinds or split not in ("train", "test"):
            raise InputError(
                f"expected name as one of {sorted(kinds)} and split as 'train' or 'test', got {name!r} "
                f"and {split!r} (dataset.name, dataset.split)."
            )
        try:
            given = kinds[name](root=data_root, train=split == "train")
        except RuntimeError as error:
            raise InputError(
                f"expected the files of {name} in {data_root}, whole, got: {error} (data_root); fetch "
                f"them with torchvision.datasets.{kinds[name].__name__}({str(data_root)!r}, "
                "download=True), or take frozen_det.ImageFolder."
            ) from error
        self._given = given.data  # (N, 32, 32, 3) uint8
        paths = np.array([f"{name}/{split}/{number:05d}".encode() for number in range(len(given.data))])
        records = ImageRecords(
            root="",
            paths=paths,
            labels=np.array(given.targets, dtype=np.int64),
            classes=tuple(given.classes),
            source=f"{data_root} ({name}, {split})",
        )
        super().__init__(records, in_memory=True, **others)

    def _load_all(self) -> None:
        # The number in the name is the place in the file, whichever images a fraction has left.
        places = [int(path[-5:]) for path in self.records.paths]
        self._pixels = np.ascontiguousarray(self._given[places].transpose(0, 3, 1, 2))
        self._given = None


def _to_array(image) -> np.ndarray:
    """PIL image -> (3, H, W) uint8; an array stays."""
    if isinstance(image, np.ndarray):
        return image
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def _built(transform):
    if isinstance(transform, list | tuple):
        steps = [_built(step) for step in transform]
        if len(steps) > 1 and any(hasattr(step, "apply_batch") for step in steps):
            raise InputError(
                "expected a transform of whole batches by itself, got it in a list of "
                f"{len(steps)}: {[type(step).__name__ for step in steps]} (dataset.transform)."
            )
        return steps[0] if len(steps) == 1 else _Chain(steps)
    return TRANSFORMS.build(transform) if isinstance(transform, dict) else transform


class _Chain:
    """Transforms, one after the other."""

    def __init__(self, steps: list) -> None:
        self.steps = steps

    def __call__(self, image):
        for step in self.steps:
            image = step(image)
        return image
