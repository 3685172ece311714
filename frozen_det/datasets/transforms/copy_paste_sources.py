"""Which donor image gives which of its objects to Copy-Paste.

Donors are drawn by index from a dataset, so no wrapper that mixes images is needed. Crowds, ignored regions and
pseudo labels are never given: pasting pseudo-labelled objects brought the paper nothing (arXiv 2012.07177, 4.4).
"""

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...ops.windows import Window, jitter_window, object_window
from .copy_paste_patches import (
    DonorCache,
    DonorImage,
    Patch,
    cropped_donor,
    patch_through,
    patches_of,
    refuse_without_masks,
)
from .large_scale_jitter import LargeScaleJitter
from .source_objects import SourceObjects

# How many of a donor's objects are pasted. The paper's ablation, box AP: 50.0, 49.1, 49.7.
SELECTIONS = ("subset", "one", "all")
SAMPLINGS = ("uniform", "rare_images", "rare_objects")


@dataclass(frozen=True)
class Donation:
    """What one donor image gives: its patches, its ``data_info`` and the window it was seen through."""

    patches: list[Patch]
    data_info: dict
    window: Window | None = None


def choose(
    num_objects: int,
    selection: str,
    max_num: int | None,
    generator: np.random.Generator,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Which objects of a donor to paste.

    Args:
        num_objects: N, at least 0.
        selection: 'subset': a number uniform in 0 .. N, then that many at random; 'one'; 'all'.
        max_num: Upper bound of the number, inclusive; None for no bound.
        generator: Source of all draws.
        weights: (N,) positive, how likely each object is to be taken; None for equal ones.

    Returns:
        (n,) int64, distinct, in random order.
    """
    limit = num_objects if max_num is None else min(num_objects, max_num)
    if limit == 0:
        return np.zeros(0, np.int64)
    count = int(generator.integers(limit + 1)) if selection == "subset" else 1 if selection == "one" else limit
    shares = None if weights is None else weights / weights.sum()
    return generator.choice(num_objects, size=count, replace=False, p=shares)


def repeat_factors(labels_of_images: list[np.ndarray], num_classes: int, threshold: float) -> np.ndarray:
    """Repeat factors of classes by the share of images that show them (LVIS, arXiv 1908.03195, section 5).

    Args:
        labels_of_images: For each image, the classes of its objects.
        num_classes: Number of classes.
        threshold: Classes in a smaller share of the images are repeated ``sqrt(threshold / share)`` times.

    Returns:
        (num_classes,) float64, at least 1; 1 for a class that no image shows.
    """
    num_images = np.zeros(num_classes)
    for labels in labels_of_images:
        num_images[np.unique(labels)] += 1
    share = np.maximum(num_images, 1) / max(len(labels_of_images), 1)
    return np.where(num_images > 0, np.maximum(1.0, np.sqrt(threshold / share)), 1.0)


class Donors:
    """Draws donations from a dataset.

    Args:
        dataset: Anything with ``len`` and ``get_data_info(index)``.
        jitter: The donors' own jitter, drawn independently of the target's; or any other way from ``data_info`` to
            loaded and transformed results (None refuses the donor).
        selection, max_num: As in :func:`choose`.
        paste_by_box: Whether donors without masks give their boxes.
        border_px: Pixels around each object to bring along (for blending).
        sampling: 'uniform'; 'rare_images': images in proportion to the largest repeat factor of their classes;
            'rare_objects': images in proportion to the sum of their objects' factors, objects by their factor.
        rare_threshold: See :func:`repeat_factors`.
        cache_mb: Bound of this process's cache of decoded donors, in MiB; 0 for no cache.
    """

    def __init__(
        self,
        dataset,
        jitter,
        *,
        selection: str = "subset",
        max_num: int | None = None,
        paste_by_box: bool = False,
        border_px: int = 0,
        sampling: str = "uniform",
        rare_threshold: float = 1e-3,
        cache_mb: float = 0,
    ) -> None:
        self.dataset, self.jitter = dataset, jitter
        self.selection, self.max_num, self.paste_by_box = selection, max_num, paste_by_box
        self.border_px = border_px
        self.sampling, self.rare_threshold = sampling, rare_threshold
        self.image_shares, self.class_weights = None, None
        if sampling != "uniform":
            self._weigh()
        self.cache = DonorCache(cache_mb) if cache_mb else None

    def draw(self, generator: np.random.Generator) -> Donation:
        """Draw a donor, its jitter and its objects."""
        num_images = len(self.dataset)
        if self.image_shares is not None and len(self.image_shares) != num_images:
            self._weigh()  # the dataset has become a subset of itself
        index = int(
            generator.integers(num_images)
            if self.image_shares is None
            else generator.choice(num_images, p=self.image_shares)
        )
        data_info = self.dataset.get_data_info(index)
        if isinstance(self.jitter, LargeScaleJitter):
            return self._through_window(data_info, generator)
        results = self.jitter(dict(data_info))
        patches = (
            []
            if results is None
            else patches_of(results, lambda labels: self.choose(labels, generator), self.paste_by_box, self.border_px)
        )
        return Donation(patches, data_info)

    def choose(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Which of the objects with these (N,) classes to paste."""
        weights = None if self.class_weights is None else self.class_weights[labels]
        return choose(len(labels), self.selection, self.max_num, generator, weights)

    def _through_window(self, data_info: dict, generator: np.random.Generator) -> Donation:
        """Geometry first, then the pixels of the chosen objects only; no pixels at all where none is chosen."""
        jitter, image = self.jitter, None
        draw = jitter.draw(generator)
        objects = pasteable(jitter.objects_of(data_info))
        if objects.segmentations is None:
            refuse_without_masks(self.paste_by_box, data_info.get("img_path"))
        window = jitter.pixels.plan(data_info, draw)
        if self.cache is not None or window is None:
            # Cached pixels have the full resolution, also those that are just being cached.
            image = self._full_donor(data_info, objects)
            window = jitter_window(draw, image.source_hw, jitter.size_hw, reduce=False)
        extents = objects.extents_xyxy()
        visible = np.array(
            [i for i, extent in enumerate(extents) if object_window(window, extent) is not None], dtype=np.int64
        )
        chosen = visible[self.choose(objects.labels[visible], generator)]
        if not len(chosen):
            return Donation([], data_info, window)
        if image is None:
            pixels, window = jitter.pixels.open(data_info, draw)
            image = DonorImage(window.source_hw, [(pixels, (0, 0))] * len(objects))
        jitter.load_seg_map(data_info)
        patches = [
            patch_through(window, objects, i, extents[i], image.tiles[i], self.border_px, data_info.get("gt_seg_map"))
            for i in chosen
        ]
        return Donation([patch for patch in patches if patch is not None], data_info, window)

    def _full_donor(self, data_info: dict, objects: SourceObjects) -> DonorImage:
        # By path: an index means another image once the dataset has become a subset.
        path = data_info.get("img_path")
        image = self.cache.get(path) if self.cache is not None else None
        if image is None:
            image = cropped_donor(self.jitter.pixels.read(data_info), objects)
            if self.cache is not None:
                self.cache.put(path, image)
        return image

    def _weigh(self) -> None:
        """One pass over the annotations: how likely each image and each class is."""
        labels_of_images = [pasteable_labels(self.dataset.get_data_info(i)) for i in range(len(self.dataset))]
        if not any(len(labels) for labels in labels_of_images):
            raise InputError(
                f"expected donors with at least one object, got none in a "
                f"{type(self.dataset).__name__} of {len(self.dataset)} images; look at its ann_file."
            )
        num_classes = 1 + max(int(labels.max()) for labels in labels_of_images if len(labels))
        factors = repeat_factors(labels_of_images, num_classes, self.rare_threshold)
        total = np.max if self.sampling == "rare_images" else np.sum
        weights = np.array([total(factors[labels]) if len(labels) else 0.0 for labels in labels_of_images])
        self.image_shares = weights / weights.sum()
        if self.sampling == "rare_objects":
            self.class_weights = factors


def pasteable(objects: SourceObjects) -> SourceObjects:
    """Without crowds, ignored regions and pseudo labels."""
    return objects.take(np.flatnonzero(~objects.ignore_flags & ~objects.pseudo_flags))


def pasteable_labels(data_info: dict) -> np.ndarray:
    """(n,) int64: the classes of an image's objects that may be pasted."""
    return np.array(
        [i["bbox_label"] for i in data_info.get("instances", []) if not i.get("ignore_flag") and not i.get("pseudo")],
        dtype=np.int64,
    )
