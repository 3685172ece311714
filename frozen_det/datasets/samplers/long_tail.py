"""Samplers for long-tailed classes: repeat-factor (LVIS) and class-aware. Both follow from (run seed, epoch).

An image that comes several times in an epoch is augmented again each time. They refuse a dataset without objects.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sized

import numpy as np

from ...errors import InputError
from ...registry import DATA_SAMPLERS
from .seeding import RankSampler, SampleIndex, sample_seed


class _EpochPlan(RankSampler):
    """All indices of an epoch are planned on every rank alike; each rank takes its share."""

    def __init__(self, dataset: Sized, seed: int | None, num_planned: int) -> None:
        super().__init__(seed)
        self.num_samples = math.ceil(num_planned / self.world_size)

    def __iter__(self) -> Iterator[SampleIndex]:
        rng = np.random.default_rng([self.seed % 2**64, self.epoch])
        planned = np.resize(self._plan(rng), self.num_samples * self.world_size).tolist()
        seen: Counter = Counter()
        for place, index in enumerate(planned):
            # The first time an image comes it is augmented as by any sampler, each further time in another way.
            seed = self.seed if seen[index] == 0 else sample_seed(self.seed, self.epoch, 2**32 + seen[index])
            seen[index] += 1
            if place % self.world_size == self.rank:
                yield SampleIndex(index, seed, self.epoch)

    def _plan(self, rng: np.random.Generator) -> np.ndarray:
        """(n,) int64 indices of an epoch, in order; n may differ by one or so between epochs."""
        raise NotImplementedError


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(_EpochPlan):
    """Images with rare classes come more often (arXiv 1908.03195, section 5, "repeat factor sampling").

    A class in a share f of the images has the factor max(1, sqrt(threshold / f)), an image the highest of its
    classes. Each epoch an image comes floor or ceil of its factor times, on average as often as the factor says; as an
    epoch has a fixed length, up to one planned sample of it may be left out (mmdet's ClassBalancedDataset always
    rounds up, so a factor of 1.01 doubles an image).

    Args:
        dataset: With ``get_cat_ids(index)``, as mmdet's datasets have.
        threshold: t of the paper, in (0, 1]; LVIS uses 0.001.
        seed: Of the run; the Runner gives it.
    """

    def __init__(self, dataset: Sized, threshold: float = 0.001, seed: int | None = None) -> None:
        if not 0 < threshold <= 1:
            raise InputError(f"expected threshold in (0, 1], got {threshold} (RepeatFactorSampler.threshold)")
        self.factors = repeat_factors(_labels_of_images(dataset), threshold)
        super().__init__(dataset, seed, round(self.factors.sum()))

    def _plan(self, rng: np.random.Generator) -> np.ndarray:
        # Systematic sampling in random order: counts are floor or ceil, means are the factors, the sum is fixed.
        order = rng.permutation(len(self.factors))
        marks = np.floor(np.concatenate([[0.0], np.cumsum(self.factors[order])]) + rng.random()).astype(np.int64)
        return rng.permutation(np.repeat(order, np.diff(marks)))


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(_EpochPlan):
    """Every class equally often (arXiv 1512.05830, section 4.1): classes in turn, of each the next of its images.

    An epoch has as many samples as the dataset; images without objects never come.

    Args:
        dataset: With ``get_cat_ids(index)``, as mmdet's datasets have.
        seed: Of the run; the Runner gives it.
    """

    def __init__(self, dataset: Sized, seed: int | None = None) -> None:
        images: dict[int, list[int]] = {}
        for index, labels in enumerate(_labels_of_images(dataset)):
            for label in labels:
                images.setdefault(label, []).append(index)
        self.images_of_class = [np.array(images[label]) for label in sorted(images)]
        super().__init__(dataset, seed, len(dataset))

    def _plan(self, rng: np.random.Generator) -> np.ndarray:
        num_rounds = math.ceil(self.num_samples * self.world_size / len(self.images_of_class))
        # (classes, rounds): each class walks through its images, shuffled again after each pass.
        walks = np.stack(
            [
                np.concatenate([rng.permutation(images) for _ in range(math.ceil(num_rounds / len(images)))])[
                    :num_rounds
                ]
                for images in self.images_of_class
            ]
        )
        return np.concatenate([walks[rng.permutation(len(walks)), number] for number in range(num_rounds)])


def repeat_factors(labels_of_images: list[set[int]], threshold: float) -> np.ndarray:
    """Repeat factor of each image, (N,) float64 from 1 on; 1 for images without objects.

    Args:
        labels_of_images: N sets of labels.
        threshold: t of max(1, sqrt(t / f)).
    """
    images_of_class = Counter(label for labels in labels_of_images for label in labels)
    num_images = len(labels_of_images)
    factor = {label: max(1.0, math.sqrt(threshold * num_images / count)) for label, count in images_of_class.items()}
    return np.array([max((factor[label] for label in labels), default=1.0) for labels in labels_of_images])


def _labels_of_images(dataset: Sized) -> list[set[int]]:
    if not hasattr(dataset, "get_cat_ids"):
        raise InputError(
            f"expected a dataset with get_cat_ids, as mmdet's have, got {type(dataset).__name__} "
            "(train_dataloader.dataset)"
        )
    labels = [set(dataset.get_cat_ids(index)) for index in range(len(dataset))]
    if not any(labels):
        raise InputError(
            f"expected at least one object to balance classes by, got none in {len(labels)} images "
            "(train_dataloader.dataset)"
        )
    return labels
