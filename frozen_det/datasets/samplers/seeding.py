"""Reproducible samples: all random draws of a sample follow from (run seed, epoch, index) and nothing else.

The sampler yields a :class:`SampleIndex`, an ``int`` that carries seed and epoch, so they reach persistent
workers and infinite samplers without shared state. The dataset runs its pipeline under :func:`seeded`. So a
resumed run and a run with another number of workers see the same batches. A plain ``int`` stays unseeded.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...registry import DATASETS


class SampleIndex(int):
    """The position of a sample in its dataset, with what its random draws follow from.

    It equals, hashes, orders and counts like the plain int; arithmetic gives a plain int.

    Attributes:
        seed: Seed of the run.
        epoch: Number of the pass over the data, from 0.
    """

    seed: int
    epoch: int

    def __new__(cls, index: int, seed: int, epoch: int) -> "SampleIndex":
        self = super().__new__(cls, index)
        self.seed, self.epoch = int(seed), int(epoch)
        return self

    def __reduce__(self):
        # Pickling is the road to the worker processes; int's own way would lose both attributes.
        return type(self), (int(self), self.seed, self.epoch)

    def __repr__(self) -> str:
        return f"SampleIndex({int(self)}, seed={self.seed}, epoch={self.epoch})"


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Seed of one sample, in [0, 2**64), so well mixed that neighbours in any argument share no stream.

    Args:
        seed, epoch, index: Any ints; they are taken modulo 2**64.
    """
    # Always two 32-bit words each: SeedSequence by itself would give (2**32, 0) and (0, 1) one stream.
    words = [word for value in (seed, epoch, index) for word in (value % 2**32, value // 2**32 % 2**32)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start ``random``, ``numpy.random`` and torch's CPU generator from ``seed``, within the block only.

    Afterwards all three are as they were, also after an exception: samples that are made in the training
    process leave the training's own randomness alone.

    Args:
        seed: In [0, 2**64), for example from :func:`sample_seed`.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed([seed % 2**32, seed // 2**32])
    # Not torch.manual_seed: that reseeds every accelerator too, which is not restored here.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def sample_generator() -> np.random.Generator:
    """A generator derived from numpy's global state, which the dataset has seeded for the sample.

    Transforms draw from such a generator only. Two calls within a sample give two independent generators.
    """
    return np.random.default_rng(np.random.randint(0, 2**32, size=4, dtype=np.uint32))


class RankSampler(Sampler):
    """What samplers of seeded epochs share: this process's place among the ranks, seed, epoch, length.

    Args:
        seed: Of the run; the Runner passes it. None agrees on one between the ranks.
        num_samples: Of this rank in an epoch, which iterations are counted by.
    """

    def __init__(self, seed: int | None, num_samples: int = 0) -> None:
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch, self.num_samples = 0, num_samples

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0; called by the training loop."""
        self.epoch = epoch


class SeededSamples:
    """Mixin that makes a dataset's ``__getitem__`` follow from the :class:`SampleIndex` it is given.

    Put it before the dataset class. The parent gets a plain int. What the parent draws itself, such as
    mmengine's replacement for a sample that the pipeline refused, comes from the seeded state as well.
    """

    def __getitem__(self, index: int):
        if not isinstance(index, SampleIndex):
            return super().__getitem__(index)
        with seeded(sample_seed(index.seed, index.epoch, int(index))):
            return super().__getitem__(int(index))


class _Wrapped:
    """Asks everything of the dataset inside."""

    def __init__(self, dataset) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset

    def __getattr__(self, name: str):
        # Reached only for names this object lacks; `dataset` itself is one of them while it is unpickled.
        if name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.dataset[index]


@DATASETS.register_module()
class SeededDataset(SeededSamples, _Wrapped):
    """Any dataset or dataset wrapper of the host (RepeatDataset, ...), with seeded samples.

    A wrapper hands its inner dataset a computed index that carries no seed, so the outermost one must seed.

    Args:
        dataset: The dataset or its config.
    """
