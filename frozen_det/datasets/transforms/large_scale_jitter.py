"""Large-scale jitter as one transform: scale and window first, then only the pixels that survive.

It replaces LoadImageFromFile, LoadAnnotations, RandomResize, RandomCrop, FilterAnnotations and RandomFlip of
mmdet's LSJ chain, with the authors' draw (arXiv 2012.07177: one scale, uniform in 0.1 to 2.0; 0.8 to 1.25 is the
standard jitter). It does not pad: the model's preprocessor pads after normalisation, which makes the padding exactly
the mean colour, as the authors have it.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import print_log

from ...errors import InputError
from ...ops.pasting import planar as planar_layout
from ...ops.windows import JitterDraw, Window, boxes_to_window, source_index
from ...registry import TRANSFORMS
from ..samplers.seeding import sample_generator
from .cropped_masks import BoxedMasks
from .source_objects import SourceObjects, rasterised, source_objects
from .source_pixels import SourcePixels, resampled

# Boxes of at most this width or height are left out.
_MIN_BOX_PX = 1e-2


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Load, scale, crop and mirror an image with its annotations.

    Required keys: ``img_path`` with ``height`` and ``width``, or ``img`` (H, W, 3) uint8; ``instances``, or the
    ``gt_`` keys of LoadAnnotations; ``gt_seg_map`` where there is one (LoadAnnotations with
    ``with_seg=True`` and nothing else, placed before, reads it).

    Set keys: ``img`` (h, w, 3) uint8, ``img_shape``, ``ori_shape``, ``scale_factor`` (w, h), ``flip``,
    ``flip_direction``, ``homography_matrix``, ``gt_bboxes`` (HorizontalBoxes), ``gt_bboxes_labels``,
    ``gt_ignore_flags``, ``gt_masks`` (BoxedMasks, a kind of BitmapMasks), ``gt_seg_map``; further ``gt_origins``
    (N,), the sample each object comes from, and ``jitter_window``. Boxes are the tight boxes of the masks where there
    are masks. Objects outside the window, and those without a pixel in it, are left out.

    Args:
        size_hw: Output size: one number or (height, width). A smaller image is not padded.
        scale_range: Range of the scale, relative to the fit of the image into ``size_hw``.
        flip_prob: Probability of mirroring left and right.
        with_mask: Whether to load masks; False for data with boxes only.
        reduced_decoding: Whether JPEGs may be decoded at a fraction of their size. Off, the pixels are mmdet's.
        planar: Return the image as three planes. PackDetInputs then need not copy it, which saves about 1 ms at
            1024 x 1024; a transform in between that writes into the image by cv2 cannot use it.
        imdecode_backend, backend_args: As in mmcv's LoadImageFromFile.
    """

    def __init__(
        self,
        size_hw: int | tuple[int, int] = (1024, 1024),
        scale_range: tuple[float, float] = (0.1, 2.0),
        flip_prob: float = 0.5,
        with_mask: bool = True,
        reduced_decoding: bool = True,
        planar: bool = False,
        imdecode_backend: str = "cv2",
        backend_args: dict | None = None,
    ) -> None:
        self.size_hw = (size_hw, size_hw) if isinstance(size_hw, int) else tuple(size_hw)
        self.scale_range = tuple(scale_range)
        self.flip_prob = flip_prob
        self.with_mask = with_mask
        self.planar = planar
        if len(self.size_hw) != 2 or min(self.size_hw) < 1:
            raise InputError(
                f"expected one number or (height, width) of at least 1, got {size_hw!r} for size_hw of "
                "frozen_det.LargeScaleJitter."
            )
        if len(self.scale_range) != 2 or not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise InputError(
                f"expected 0 < low <= high, got {scale_range!r} for scale_range of "
                "frozen_det.LargeScaleJitter; the authors use (0.1, 2.0)."
            )
        self.pixels = SourcePixels(self.size_hw, reduced_decoding, imdecode_backend, backend_args)
        self._num_invalid = 0

    def draw(self, generator: np.random.Generator) -> JitterDraw:
        """All random numbers of one jitter."""
        low, high = self.scale_range
        scale, top, left, flip = generator.random(4)
        return JitterDraw(low + (high - low) * scale, top, left, bool(flip < self.flip_prob))

    def transform(self, results: dict) -> dict:
        """Draw a jitter and apply it."""
        return self.apply(results, self.draw(sample_generator()))

    def apply(self, results: dict, draw: JitterDraw) -> dict:
        """Apply a given jitter; a pure function of its arguments and of the file."""
        image, window = self.pixels.open(results, draw)
        objects = self.objects_of(results)
        pixels = resampled(image, window)
        results["img"] = planar_layout(pixels) if self.planar else pixels
        results["img_shape"] = window.size_hw
        results["ori_shape"] = window.source_hw
        results["scale_factor"] = window.scale_xy
        results["flip"] = window.flip
        results["flip_direction"] = "horizontal" if window.flip else None
        before = results.get("homography_matrix")
        results["homography_matrix"] = window.matrix() if before is None else window.matrix() @ before
        results["jitter_window"] = window
        if "gt_seg_map" in results:
            results["gt_seg_map"] = seg_map_through(results["gt_seg_map"], window)
        self._set_objects(results, objects, window)
        return results

    def objects_of(self, results: dict) -> SourceObjects:
        """The sample's objects in source coordinates; invalid masks are counted and logged once."""
        objects = source_objects(results, self.with_mask)
        if objects.num_invalid and not self._num_invalid:
            print_log(
                f"{objects.num_invalid} objects of {results.get('img_path')} have no valid polygon; these and "
                "further ones become ignored regions.",
                "current",
                30,
            )
        self._num_invalid += objects.num_invalid
        return objects

    def _set_objects(self, results: dict, objects: SourceObjects, window: Window) -> None:
        height, width = window.size_hw
        if objects.segmentations is None:
            boxes_xyxy = boxes_to_window(objects.boxes_xyxy, window)
            kept = np.arange(len(objects))
        else:
            placed = [rasterised(segmentation, window) for segmentation in objects.segmentations]
            kept = np.array([i for i, p in enumerate(placed) if p is not None], dtype=np.int64)
            places = [(left, top, *mask.shape[::-1]) for mask, left, top in (placed[i] for i in kept)]
            boxes_xyxy = np.array(places, np.int32).reshape(-1, 4)
            boxes_xyxy[:, 2:] += boxes_xyxy[:, :2]
        large = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] > _MIN_BOX_PX).all(axis=1)
        kept, boxes_xyxy = kept[large], boxes_xyxy[large]
        results.pop("gt_masks", None)
        if objects.segmentations is not None:
            results["gt_masks"] = BoxedMasks([placed[i][0] for i in kept], boxes_xyxy, height, width)
        results["gt_bboxes"] = HorizontalBoxes(torch.from_numpy(boxes_xyxy.astype(np.float32)))
        results["gt_bboxes_labels"] = objects.labels[kept]
        results["gt_ignore_flags"] = objects.ignore_flags[kept]
        results["gt_origins"] = np.full(len(kept), results.get("sample_idx", -1), dtype=np.int64)

    def __repr__(self) -> str:
        return (
            f"LargeScaleJitter(size_hw={self.size_hw}, scale_range={self.scale_range}, "
            f"flip_prob={self.flip_prob}, with_mask={self.with_mask}, planar={self.planar})"
        )


def seg_map_through(seg_map: np.ndarray, window: Window) -> np.ndarray:
    """A segmentation map (H, W) of the source as seen through a window, (h, w), by nearest source pixel."""
    rows = source_index(window, 0, window.size_hw[0], axis=1)
    columns = source_index(window, 0, window.size_hw[1], axis=0)
    return np.ascontiguousarray(seg_map[rows].take(columns, axis=1))
