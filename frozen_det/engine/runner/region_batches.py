"""Batches by what they are made of: read from a store of regions where they are there, else of images as ever."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import DataLoader, Sampler

from ...models.detectors.regions import batch_of_regions
from ...weights.feature_store import FeatureStore

_KEPT = (
    "num_workers",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "generator",
    "prefetch_factor",
    "persistent_workers",
)


class BatchName(NamedTuple):
    """What a batch is made of.

    Attributes:
        key: of the store.
        indices: of the samples, with their seeds.
    """

    key: tuple[str, str]
    indices: list


class RegionBatches(Sampler):
    """Names the batches of a loader.

    Args:
        batches: the loader's own batches of indices.
        function: digest of all that regions follow from beside a batch's samples and draws.
        draws: what else a step's draws follow from: run seed and rank.
    """

    def __init__(self, batches, function: str, draws: tuple):
        self.batches, self.function, self.draws, self.epoch = batches, function, draws, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[BatchName]:
        for number, indices in enumerate(self.batches):
            samples = [(int(index), index.seed, index.epoch) for index in indices]
            drawn = repr((samples, self.epoch * len(self) + number, self.draws))
            yield BatchName((self.function, hashlib.sha256(drawn.encode()).hexdigest()), list(indices))

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch whose samples come."""
        self.epoch = epoch
        self.batches.sampler.set_epoch(epoch)


class RegionDataset:
    """A data set of whole batches by :class:`BatchName`; asked for anything else, it is the one inside."""

    def __init__(self, dataset, collate, store: FeatureStore):
        self.dataset, self.collate, self.store = dataset, collate, store

    def __getitem__(self, name: BatchName) -> dict:
        regions = self.store.read(name.key)
        batch = self.images(name) if regions is None else batch_of_regions(regions)
        batch["data_samples"][0].set_metainfo(dict(batch_name=name))
        return batch

    def images(self, name: BatchName) -> dict:
        """The batch of images."""
        return self.collate([self.dataset[index] for index in name.indices])

    def __getattr__(self, name: str):
        # Reached only for names this object lacks; `dataset` itself is one of them while it is unpickled.
        if name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)


class RegionLoader(DataLoader):
    """A loader of the same batches in the same order, each read from the store where it is there.

    Its ``batch_size`` is the other loader's, for checkpoints and learning rates count images.

    Args:
        loader: of images.
        store, function, draws: see :class:`RegionBatches`.
    """

    def __init__(self, loader: DataLoader, store: FeatureStore, function: str, draws: tuple):
        self._images = loader
        super().__init__(
            RegionDataset(loader.dataset, loader.collate_fn, store),
            sampler=RegionBatches(loader.batch_sampler, function, draws),
            batch_size=None,
            collate_fn=_whole,
            **{name: getattr(loader, name) for name in _KEPT},
        )

    batch_size = property(lambda self: self._images.batch_size, lambda self, value: None)


def batch_name(batch: dict) -> BatchName:
    """What a batch of such a loader is made of."""
    return batch["data_samples"][0].metainfo["batch_name"]


def _whole(batch: dict) -> dict:
    return batch
