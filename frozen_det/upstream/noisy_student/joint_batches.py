"""Batches of B labelled and ratio * B pseudo-labelled images: `frozen_det.JointDataset` with `frozen_det.JointSampler`.

An epoch is one pass over the labelled images; both streams go through permutations of their own without end, so over
many epochs every image comes equally often, and the position of a stream follows from epoch and batch alone: a
resumed run continues as the uninterrupted one. Refuses class lists that differ.
"""

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Dataset

from ...datasets.samplers.seeding import RankSampler, SampleIndex, sample_seed
from ...errors import InputError
from ...registry import DATA_SAMPLERS, DATASETS
from ..datasets import collate_images
from .top_k import one_hot_top


@DATASETS.register_module()
class JointDataset(Dataset):
    """Labelled images, then pseudo-labelled ones.

    A batch has besides `label`, `index` and `path`: `is_pseudo` (N,) bool and, with soft pseudo-labels, `soft_labels`
    (N, C) float32, the teacher's probabilities, one-hot for labelled images. Where those hold the top k classes alone,
    it has instead `soft_classes` (N, k) int64, `soft_shares` (N, k) float32 and `soft_rest` (N,) float32, see
    :func:`..losses.spread_targets`.

    Args:
        labelled: a classification data set or its config.
        pseudo: ``frozen_det.PseudoLabelled`` or its config.
        epochs: of the training, for transforms whose strength rises with it.

    Raises:
        InputError: the teacher had another number of classes.
    """

    def __init__(self, labelled, pseudo, epochs: int = 1) -> None:
        self.labelled, self.pseudo = (
            DATASETS.build(part) if isinstance(part, dict) else part for part in (labelled, pseudo)
        )
        self.epochs, self.metainfo = epochs, self.labelled.metainfo
        self.num_classes = len(self.metainfo["classes"])
        self.top_k: int | None = getattr(self.pseudo, "top_k", None)
        theirs = getattr(self.pseudo, "num_classes", self.num_classes)
        if theirs != self.num_classes:
            raise InputError(
                f"expected pseudo-labels of the {self.num_classes} classes of the labelled images, got "
                f"soft labels of {theirs}; label the pool again with a teacher of these classes."
            )

    @property
    def _soft_keys(self) -> tuple[str, ...]:
        if getattr(self.pseudo, "labels", "soft") == "hard":
            return ()
        return ("soft_labels",) if self.top_k is None else ("soft_classes", "soft_shares", "soft_rest")

    def full_init(self) -> None:
        """Let both parts decode what stays in memory."""
        for part in (self.labelled, self.pseudo):
            if hasattr(part, "full_init"):
                part.full_init()

    def __len__(self) -> int:
        return len(self.labelled) + len(self.pseudo)

    def __getitem__(self, index: int) -> dict:
        """One image as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices) -> dict:
        """A collated batch: labelled images first."""
        own = [index for index in indices if int(index) < len(self.labelled)]
        theirs = [_moved(index, -len(self.labelled)) for index in indices if int(index) >= len(self.labelled)]
        self._tell_progress(indices)
        parts = [self._part(self.labelled, own, False), self._part(self.pseudo, theirs, True)]
        parts = [part for part in parts if part is not None]
        samples = {
            key: torch.cat([part["data_samples"][key] for part in parts])
            for key in ("label", "index", "is_pseudo", *self._soft_keys)
        }
        samples["path"] = [path for part in parts for path in part["data_samples"]["path"]]
        return dict(inputs=torch.cat([part["inputs"] for part in parts]), data_samples=samples)

    def _part(self, dataset, indices, is_pseudo: bool) -> dict | None:
        if not indices:
            return None
        fetched = dataset.__getitems__(indices) if hasattr(dataset, "__getitems__") else [dataset[i] for i in indices]
        batch, samples = collate_images(fetched), {}
        if isinstance(fetched, list):
            fetched = [one for one in fetched if one is not None]
        samples.update(batch["data_samples"])
        labels = samples["label"]
        keys = self._soft_keys
        if isinstance(fetched, list) and fetched and set(keys) <= set(fetched[0]["data_samples"]):
            samples.update({key: torch.stack([one["data_samples"][key] for one in fetched]) for key in keys})
        if not set(keys) <= set(samples):
            hard = (
                (torch.nn.functional.one_hot(labels, self.num_classes).float(),)
                if self.top_k is None
                else one_hot_top(labels, self.top_k, self.num_classes)
            )
            samples.update(zip(keys, hard))
        samples.update(is_pseudo=torch.full((len(labels),), is_pseudo))
        return dict(inputs=batch["inputs"], data_samples=samples)

    def _tell_progress(self, indices) -> None:
        epoch = getattr(indices[0], "epoch", None) if len(indices) else None
        if epoch is None:
            return
        for part in (self.labelled, self.pseudo):
            for step in getattr(part.transform, "steps", [part.transform]):
                if hasattr(step, "set_progress"):
                    step.set_progress(min(1.0, epoch / self.epochs))


@DATA_SAMPLERS.register_module()
class JointSampler(RankSampler):
    """Indices of a :class:`JointDataset`: B of the labelled part, ratio * B of the other, again and again.

    The data loader's `batch_size` has to be ``B * (1 + ratio)`` with the same B. The last batch of an epoch is filled
    up with the first images of the next pass.

    Args:
        dataset: a :class:`JointDataset`.
        batch_size: B, labelled images of one process's batch.
        ratio: pseudo-labelled images for each labelled one; a share such as 0.5 is rounded to whole images.
        seed: of the run; the Runner passes it.

    Raises:
        InputError: an empty part, or bad numbers.
    """

    def __init__(self, dataset: JointDataset, batch_size: int, ratio: float = 1, seed: int | None = None) -> None:
        if batch_size < 1 or ratio < 0:
            raise InputError(
                f"expected batch_size from 1 on and ratio from 0 on, got {batch_size} and {ratio} (sampler)."
            )
        self.sizes = (len(dataset.labelled), len(dataset.pseudo))
        self.counts = (batch_size, joint_batch_size(batch_size, ratio) - batch_size)
        if self.sizes[0] == 0 or (self.sizes[1] == 0 and self.counts[1]):
            raise InputError(
                f"expected labelled and pseudo-labelled images, got {self.sizes[0]} and {self.sizes[1]}. "
                "Lower the filter's min_confidence if no pseudo-label was kept."
            )
        super().__init__(seed)
        self.num_batches = math.ceil(self.sizes[0] / (batch_size * self.world_size))
        self.num_samples = self.num_batches * sum(self.counts)
        self._orders = [getattr(data, "pass_order", None) for data in (dataset.labelled, dataset.pseudo)]
        self._first_epoch = self._first_batch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0 or from where :meth:`skip` went; called by the training loop."""
        super().set_epoch(self._first_epoch + epoch)

    def skip(self, num_samples: int) -> None:
        """Let the next iteration begin where a run was that has seen so many samples, as mmengine's loops ask for.

        Args:
            num_samples: of this process, in whole batches; an epoch's and more move on the epoch.
        """
        self._first_epoch, rest = divmod(num_samples, self.num_samples)
        self._first_batch = rest // sum(self.counts)
        self.epoch += self._first_epoch

    def __iter__(self) -> Iterator[SampleIndex]:
        begin, self._first_batch = self._first_batch, 0
        streams = [self._stream(part, begin) for part in (0, 1)]
        for _ in range(begin, self.num_batches):
            for stream, count in zip(streams, self.counts):
                for _ in range(count):
                    yield next(stream)

    def _stream(self, part: int, begin: int) -> Iterator[SampleIndex]:
        """This rank's images of a part from a batch of the epoch on; its pass is mixed into the seed of their draws."""
        size, first = self.sizes[part], self.sizes[0] * part
        place = (self.epoch * self.num_batches + begin) * self.counts[part] * self.world_size + self.rank
        shown, order = -1, None
        while size:
            over = place // size
            if over != shown:
                order = self._order(part, sample_seed(self.seed, over, 2 * size + part))
                shown, seed = over, sample_seed(self.seed, over, part)
            yield SampleIndex(first + int(order[place % size]), seed, self.epoch)
            place += self.world_size

    def _order(self, part: int, seed: int):
        given = self._orders[part]
        order = given(seed) if given else None
        if order is None:
            # 32 bits hold the same order in half of the memory, which is a gigabyte of 130 million copies.
            kind, generator = torch.int32 if self.sizes[part] < 2**31 else torch.int64, torch.Generator()
            order = torch.randperm(self.sizes[part], generator=generator.manual_seed(seed % 2**63), dtype=kind)
        return order


def joint_batch_size(batch_size: int, ratio: float) -> int:
    """Images of a whole batch: `batch_size` labelled ones and `ratio` times as many, rounded."""
    return batch_size + round(batch_size * ratio)


def _moved(index: int, by: int) -> int:
    if isinstance(index, SampleIndex):
        return SampleIndex(int(index) + by, index.seed, index.epoch)
    return int(index) + by
