"""A classifier measured at any test size: accuracy, which images are right, pooled activations, statistics of a norm.

Images in a fixed order, each once; several processes share them, and each gets the numbers of all. It refuses sizes
below one pixel, and test transforms that neither resize nor crop (through
:func:`frozen_det.upstream.fixres.config.eval_settings`).
"""

import copy
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...engine.runner.label_classes import label_classes, name_of_data
from ...errors import InputError
from ...host.devices import float64_of
from ...registry import DATASETS
from ...weights.class_names import refuse_other_order
from ..datasets import collate_images
from ..metric import ClassificationMetric, each_once, summarize
from ..transforms import EvalTransform
from .classifier import head_module
from .config import eval_settings
from .equalisation import fit


@dataclass
class Measured:
    """A classifier on images at one size.

    Attributes:
        numbers: ``top1``, ``top5``, ``loss``, ... as :class:`ClassificationMetric` has them, in percent.
        right: (N,) bool, in the order of the images.
        pooled: of the pooled activations: ``mean``, ``deviation`` (over all values), ``share_near_zero`` (values below
            0.05), ``quantiles`` (5, 25, 50, 75, 95 %), ``frechet`` (mu and sigma, see :mod:`.equalisation`).
        statistics: norm's name -> (mean (C,), variance (C,)) of its inputs, where requested.
    """

    numbers: dict[str, float]
    right: np.ndarray
    pooled: dict
    statistics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class SizedImages:
    """The test images of a config, to be seen at any size; decoded by its loader's workers, kept where it says so.

    Args:
        cfg: a loaded classifier's config.
        loader: ``test``, which falls back to the validation's, or ``train`` for the training images without
            augmentation.

    Raises:
        InputError: no such images in the config.
    """

    def __init__(self, cfg, loader: str = "test"):
        names = ("train_dataloader",) if loader == "train" else ("test_dataloader", "val_dataloader")
        found = next((cfg[name] for name in names if cfg.get(name)), None)
        if found is None:
            raise InputError(f"expected {' or '.join(names)} in {cfg.filename}, got none.")
        self.settings = eval_settings(cfg)
        dataset = copy.deepcopy(found.dataset)
        dataset.pop("transform", None)
        self.dataset = DATASETS.build(dataset)
        self.batch_size, self.num_workers = found.get("batch_size", 32), found.get("num_workers", 0)

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(self, size: int, crop_ratio: float, indices: Sequence[int] | None = None) -> DataLoader:
        """Batches of this process's share of `indices` (of all images by default) at a test size, resized to
        ``floor(size / crop_ratio)``."""
        self.dataset.transform = EvalTransform(size, crop_ratio, self.settings["interpolation"])
        order = list(range(len(self.dataset))) if indices is None else [int(index) for index in indices]
        order = order[get_rank() :: get_world_size()]
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=order,
            num_workers=self.num_workers,
            collate_fn=collate_images,
        )

    def image_sizes_hw(self, most: int = 500) -> list[tuple[int, int]]:
        """(height, width) of up to `most` images, spread over the listing."""
        step = max(1, len(self) // most)
        sizes = []
        for index in range(0, len(self), step):
            image = self.dataset._image_or_none(index)
            if image is not None:
                sizes.append(tuple(image.shape[1:]) if isinstance(image, np.ndarray) else image.size[::-1])
        return sizes


def measure(model, batches: DataLoader, norms: Sequence[str] = ()) -> Measured:
    """Run a classifier over the batches of all processes, in eval mode.

    Args:
        model: an :class:`ImageClassifier` with weights.
        batches: of :meth:`SizedImages.batches`.
        norms: names of batch norms in the network whose inputs are to be summed up.

    Returns:
        what was measured, the same in every process.

    Raises:
        InputError: weights that state other classes than the images have, or another order of them.
    """
    refuse_other_order(
        model.stated_classes,
        label_classes(batches.dataset),
        "the classifier's weights",
        name_of_data(batches.dataset),
        optional=True,
    )
    model.eval()
    metric, pooled = ClassificationMetric(), []
    metric.dataset_meta = batches.dataset.metainfo
    sums = {name: _Moments() for name in norms}
    with torch.no_grad(), ExitStack() as hooks:
        _, head = head_module(model)
        hooks.callback(head.register_forward_pre_hook(lambda _, given: pooled.append(given[0].float().cpu())).remove)
        for name, moments in sums.items():
            hooks.callback(model.network.get_submodule(name).register_forward_pre_hook(moments).remove)
        for batch in batches:
            metric.process(None, model.test_step(batch))
    gathered = all_gather_object((metric.results, pooled, sums))
    results = [one for found, _, _ in gathered for one in found]
    values = torch.cat([one for _, found, _ in gathered for one in found]).flatten(1)  # (N, C)
    if len(gathered) > 1:  # in the order of one process
        values = values[torch.tensor([int(one["index"]) for one in results]).argsort()]
    results = each_once(results)
    numbers, _ = summarize(results, metric.topk, metric.num_bins)
    right = np.array([one["predicted"] == one["label"] for one in results])
    statistics = {name: _Moments.joined([found[name] for _, _, found in gathered]).result() for name in norms}
    return Measured(numbers, right, _pooled_numbers(values), statistics)


def set_statistics(model, statistics: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Replace running means and variances of norms; returns the ones they had, to be set again.

    Args:
        model: an :class:`ImageClassifier`.
        statistics: norm's name in the network -> (mean (C,), variance (C,)).
    """
    before = {}
    for name, (mean, variance) in statistics.items():
        norm: nn.modules.batchnorm._BatchNorm = model.network.get_submodule(name)
        before[name] = (norm.running_mean.clone(), norm.running_var.clone())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
    return before


def halves(num_images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint halves of the images, drawn by seed; ascending indices.

    Raises:
        InputError: fewer than two images.
    """
    if num_images < 2:
        raise InputError(f"expected at least two images to split in halves, got {num_images}.")
    order = np.random.default_rng(seed).permutation(num_images)
    return np.sort(order[: num_images // 2]), np.sort(order[num_images // 2 :])


class _Moments:
    """Mean and unbiased variance per channel over all images and positions, summed in float64."""

    def __init__(self):
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def __call__(self, _, given) -> None:
        values = float64_of(given[0].detach())  # (N, C, h, w)
        self.count += values.numel() // values.shape[1]
        self.total = self.total + values.sum((0, *range(2, values.dim()))).cpu()
        self.squares = self.squares + values.square().sum((0, *range(2, values.dim()))).cpu()

    @classmethod
    def joined(cls, parts: Sequence["_Moments"]) -> "_Moments":
        """Those of all processes."""
        whole = cls()
        for part in parts:
            whole.count += part.count
            whole.total, whole.squares = whole.total + part.total, whole.squares + part.squares
        return whole

    def result(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp_(min=0) * self.count / max(1, self.count - 1)
        return mean.float(), variance.float()


def _pooled_numbers(values: Tensor) -> dict:  # (N, C)
    flat = values.flatten()
    step = max(1, flat.numel() // 500_000)  # quantile() takes no more than 16 million
    while math.gcd(step, values.shape[1]) > 1:  # or some channels would never be seen
        step += 1
    some = flat[::step]
    quantiles = torch.quantile(some, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]))
    return dict(
        mean=float(flat.mean()),
        deviation=float(flat.std()),
        share_near_zero=float((flat < 0.05).float().mean()),
        quantiles=[round(value, 5) for value in quantiles.tolist()],
        frechet=list(fit(some)),
    )
