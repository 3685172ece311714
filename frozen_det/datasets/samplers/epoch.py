"""Samplers of the host whose indices carry seed and epoch, so that a sample's draws follow from them.

Order, ranks, rounding and resuming are mmengine's. They refuse an empty dataset.
"""

from collections.abc import Iterator, Sized

from mmengine.dataset import DefaultSampler
from mmengine.dataset import InfiniteSampler as MMEngineInfiniteSampler

from ...errors import InputError
from ...registry import DATA_SAMPLERS
from .seeding import SampleIndex


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """mmengine's DefaultSampler, yielding :class:`~frozen_det.datasets.samplers.seeding.SampleIndex`.

    The epoch is the one that the training loop sets by ``set_epoch``, so a resumed run continues with it.

    Args:
        dataset, shuffle, seed, round_up: As in mmengine. The Runner passes its own seed.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        _refuse_empty(dataset)
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)

    def __iter__(self) -> Iterator[SampleIndex]:
        indices, seed, epoch = super().__iter__(), self.seed, self.epoch
        return (SampleIndex(index, seed, epoch) for index in indices)


@DATA_SAMPLERS.register_module()
class InfiniteSampler(MMEngineInfiniteSampler):
    """mmengine's InfiniteSampler, yielding :class:`~frozen_det.datasets.samplers.seeding.SampleIndex`.

    It counts the passes over the data itself: the epoch of the n-th index that all ranks together draw is
    ``n // len(dataset)``. ``skip`` (the host's way to resume) skips passes together with indices.

    Args:
        dataset, shuffle, seed: As in mmengine. The Runner passes its own seed.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        _refuse_empty(dataset)
        super().__init__(dataset, shuffle=shuffle, seed=seed)

    def _infinite_indices(self) -> Iterator[SampleIndex]:
        for number, index in enumerate(super()._infinite_indices()):
            yield SampleIndex(index, self.seed, number // self.size)


def _refuse_empty(dataset: Sized) -> None:
    if len(dataset) == 0:
        raise InputError(
            f"expected a dataset with at least one sample, got an empty {type(dataset).__name__}"
            " for the sampler; look at its annotation file and filter_cfg."
        )
