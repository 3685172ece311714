"""Which image gives which of its objects to Copy-Paste.

Paste sources are drawn by index from a dataset, so no wrapper that mixes images is needed. Crowds, ignored regions and
pseudo labels are never given: pasting pseudo-labelled objects brought the paper nothing (arXiv 2012.07177, 4.4).
"""

from dataclasses import dataclass

import numpy as np

from ...ops.windows import Window, jitter_window, object_window
from .copy_paste_patches import (
    Patch,
    SourceCache,
    SourceImage,
    cropped_source,
    patch_through,
    patches_of,
    refuse_without_masks,
)
from .large_scale_jitter import LargeScaleJitter
from .source_objects import SourceObjects

# How many of a source's objects are pasted. The paper's ablation, box AP: 50.0, 49.1, 49.7.
SELECTIONS = ("subset", "one", "all")
MOST_PASTED = 100


@dataclass(frozen=True)
class Donation:
    """What one image gives: its patches, its ``data_info`` and the window it was seen through."""

    patches: list[Patch]
    data_info: dict
    window: Window | None = None


def choose(num_objects: int, selection: str, generator: np.random.Generator) -> np.ndarray:
    """Which objects of a source to paste.

    Args:
        num_objects: N, at least 0.
        selection: 'subset': a number uniform in 0 .. N, then that many at random; 'one'; 'all'. At most 100.
        generator: Source of all draws.

    Returns:
        (n,) int64, distinct, in random order.
    """
    limit = min(num_objects, MOST_PASTED)
    if limit == 0:
        return np.zeros(0, np.int64)
    count = int(generator.integers(limit + 1)) if selection == "subset" else 1 if selection == "one" else limit
    return generator.choice(num_objects, size=count, replace=False)


class PasteSources:
    """Draws donations from a dataset.

    Args:
        dataset: Anything with ``len`` and ``get_data_info(index)``.
        jitter: The sources' own jitter, drawn independently of the target's; or any other way from ``data_info`` to
            loaded and transformed results (None refuses the image).
        selection: As in :func:`choose`.
        paste_by_box: Whether images without masks give their boxes.
        cache_mb: Bound of this process's cache of decoded images, in MiB; 0 for no cache.
    """

    def __init__(
        self, dataset, jitter, *, selection: str = "subset", paste_by_box: bool = False, cache_mb: float = 0
    ) -> None:
        self.dataset, self.jitter = dataset, jitter
        self.selection, self.paste_by_box = selection, paste_by_box
        self.cache = SourceCache(cache_mb) if cache_mb else None

    def draw(self, generator: np.random.Generator) -> Donation:
        """Draw an image, its jitter and its objects."""
        data_info = self.dataset.get_data_info(int(generator.integers(len(self.dataset))))
        if isinstance(self.jitter, LargeScaleJitter):
            return self._through_window(data_info, generator)
        results = self.jitter(dict(data_info))
        if results is None:
            return Donation([], data_info)
        chosen = lambda labels: choose(len(labels), self.selection, generator)  # noqa: E731
        return Donation(patches_of(results, chosen, self.paste_by_box), data_info)

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
            image = self._whole(data_info, objects)
            window = jitter_window(draw, image.source_hw, jitter.size_hw, reduce=False)
        extents = objects.extents_xyxy()
        visible = np.array(
            [i for i, extent in enumerate(extents) if object_window(window, extent) is not None], dtype=np.int64
        )
        chosen = visible[choose(len(visible), self.selection, generator)]
        if not len(chosen):
            return Donation([], data_info, window)
        if image is None:
            pixels, window = jitter.pixels.open(data_info, draw)
            image = SourceImage(window.source_hw, [(pixels, (0, 0))] * len(objects))
        patches = [
            patch_through(window, objects, i, extents[i], image.tiles[i], data_info.get("gt_seg_map")) for i in chosen
        ]
        return Donation([patch for patch in patches if patch is not None], data_info, window)

    def _whole(self, data_info: dict, objects: SourceObjects) -> SourceImage:
        # By path: an index means another image once the dataset has become a subset.
        path = data_info.get("img_path")
        image = self.cache.get(path) if self.cache is not None else None
        if image is None:
            image = cropped_source(self.jitter.pixels.read(data_info), objects)
            if self.cache is not None:
                self.cache.put(path, image)
        return image


def pasteable(objects: SourceObjects) -> SourceObjects:
    """Without crowds, ignored regions and pseudo labels."""
    return objects.take(np.flatnonzero(~objects.ignore_flags & ~objects.pseudo_flags))
