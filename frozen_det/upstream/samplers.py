"""Repeated augmentation: each image of an epoch comes several times, with draws of its own each time.

Seeded by run seed and epoch. It refuses an empty dataset and fewer than one repeat. Without repeats, and for data to
measure on, the sampler is :class:`frozen_det.datasets.samplers.epoch.EpochSampler`: its padding (at most one image a
rank) carries indices that were there before, so that a metric can see it.
"""

import math
from collections.abc import Iterator, Sized

import torch

from ..datasets.samplers.seeding import RankSampler, SampleIndex, sample_seed
from ..errors import InputError
from ..registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RepeatAugSampler(RankSampler):
    """Repeated augmentation (Hoffer et al., arXiv 1901.09335; Berman et al., arXiv 1902.05509), as in DeiT and RSB.

    An epoch has as many samples as the dataset, so it shows ``N / num_repeats`` distinct images: with three repeats,
    300 epochs show each image 100 times three. Repeats are next to each other in the order that all ranks share, and
    rank r of W takes every W-th: they spread over the ranks, and a rank's batch shows each image once (for W from
    ``num_repeats`` on). Where batches are added up, each is a rank's: with ``batches_of_update=8`` one process takes in
    turn what eight would.

    Departures from timm's sampler: the order follows from the run's seed, not from the epoch alone; the ranks may be
    batches of one process; the length is not rounded down to a multiple of 256.

    Args:
        dataset: N samples.
        num_repeats: Times that a shown image comes.
        shuffle: False takes the first images in order.
        seed: Of the run; the Runner passes it. None agrees on one between the ranks.
        batch_size: Of the loader. ``frozen-det`` fills it in, as it does the next.
        batches_of_update: Batches of a process whose gradients are added up; with one process and 1, or without the
            batch's size, repeats are neighbours in a batch.

    Raises:
        InputError: An empty dataset, a number below 1, or several batches of an update without their size.
    """

    def __init__(
        self,
        dataset: Sized,
        num_repeats: int = 3,
        shuffle: bool = True,
        seed: int | None = None,
        batch_size: int | None = None,
        batches_of_update: int = 1,
    ) -> None:
        for key, value in (
            ("num_repeats", num_repeats),
            ("batches_of_update", batches_of_update),
            ("batch_size", 1 if batch_size is None and batches_of_update == 1 else batch_size),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"expected {key} as a whole number from 1 on, got {value!r} (sampler.{key}).")
        if len(dataset) == 0:
            raise InputError(
                f"expected a dataset with at least one sample, got an empty {type(dataset).__name__} "
                "for the sampler; look at its files and its fraction."
            )
        super().__init__(seed)
        self.size, self.num_repeats, self.shuffle = len(dataset), num_repeats, shuffle
        self.batch_size, self.batches_of_update = batch_size or self.size, batches_of_update
        self.num_ranks = self.world_size * batches_of_update
        self.num_samples = math.ceil(self.size / self.num_ranks) * batches_of_update

    def __iter__(self) -> Iterator[SampleIndex]:
        if self.shuffle:
            # Mixed, not added up: seed 0 in epoch 1 is not to have the order of seed 1 in epoch 0.
            generator = torch.Generator().manual_seed(sample_seed(self.seed, self.epoch, self.size) % 2**63)
            order = torch.randperm(self.size, generator=generator)
        else:
            order = torch.arange(self.size)
        # A repeat would have the draws of the first showing, were the seed the run's in each.
        seeds = [self.seed] + [sample_seed(self.seed, repeat, self.size) for repeat in range(1, self.num_repeats)]
        for place in self._places():
            shown, repeat = divmod(place, self.num_repeats)
            yield SampleIndex(int(order[shown % self.size]), seeds[repeat], self.epoch)

    def _places(self) -> Iterator[int]:
        """Places in the common order that this process takes: batch by batch, each of another rank."""
        of_rank = self.num_samples // self.batches_of_update
        for first in range(0, of_rank, self.batch_size):
            steps = range(first, min(first + self.batch_size, of_rank))
            for batch in range(self.batches_of_update):
                rank = batch * self.world_size + self.rank
                yield from (step * self.num_ranks + rank for step in steps)
