"""`frozen_det.JoinedImages`: classification data sets as one, each sample's draws still from (seed, epoch, index).

For labelled images with pseudo-labelled ones, whose labels are taken as they are. Refuses data sets that differ in
their number of classes.
"""

import bisect

from torch.utils.data import Dataset

from ..datasets.samplers.seeding import SampleIndex
from ..errors import InputError
from ..registry import DATASETS


@DATASETS.register_module()
class JoinedImages(Dataset):
    """One data set after the other.

    Args:
        datasets: configs of classification data sets (or the data sets), the labelled one first: its class names count.

    Raises:
        InputError: none given, or another number of classes in one of them.
    """

    def __init__(self, datasets) -> None:
        self.datasets = [DATASETS.build(one) if hasattr(one, "get") else one for one in datasets]
        counts = [one.num_classes for one in self.datasets]
        if len(set(counts)) != 1:
            raise InputError(
                f"expected data sets with the same number of classes, got {counts} (train_dataloader.dataset.datasets)."
            )
        self.metainfo = self.datasets[0].metainfo
        self._ends = None

    def full_init(self) -> None:
        """Let each data set decode what it keeps in memory; the Runner calls it before it starts workers."""
        for one in self.datasets:
            one.full_init()
        if self._ends is None:
            self._ends, total = [], 0
            for one in self.datasets:
                total += len(one)
                self._ends.append(total)

    def __len__(self) -> int:
        self.full_init()
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict | None:
        """One sample; its `index` counts through all data sets."""
        self.full_init()
        which = bisect.bisect_right(self._ends, int(index))
        start = self._ends[which - 1] if which else 0
        place = int(index) - start
        sample = self.datasets[which][
            SampleIndex(place, index.seed, index.epoch) if isinstance(index, SampleIndex) else place
        ]
        if sample is not None:
            sample["data_samples"]["index"] += start
        return sample
