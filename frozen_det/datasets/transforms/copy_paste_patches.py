"""Objects cut out of paste sources: pixels, mask and place, taken only inside the objects' boxes."""

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np

from ...errors import InputError
from ...ops.pasting import interleaved
from ...ops.windows import Window, object_window
from .cropped_masks import BoxedMasks
from .large_scale_jitter import seg_map_through
from .source_objects import SourceObjects, rasterised, rectangle
from .source_pixels import resampled


@dataclass(frozen=True)
class Patch:
    """One object to paste.

    Attributes:
        pixels: (h, w, 3) uint8.
        mask: (h, w) uint8, 0 or 1, with at least one 1.
        left, top: Place in the composed image, not negative.
        label: Class index.
        made_up_mask: Whether the mask is only the object's box.
        seg_map: (h, w) or None.
    """

    pixels: np.ndarray
    mask: np.ndarray
    left: int
    top: int
    label: int
    made_up_mask: bool = False
    seg_map: np.ndarray | None = None


@dataclass(frozen=True)
class SourceImage:
    """Pixels of a paste source, for each of its objects an image and that image's left and top in the source."""

    source_hw: tuple[int, int]
    tiles: list[tuple[np.ndarray, tuple[int, int]]]

    def num_bytes(self) -> int:
        """Memory of the tiles; a tile that several objects share counts once."""
        return sum(image.nbytes for image in {id(tile[0]): tile[0] for tile in self.tiles}.values())


# Source pixels kept around a cached crop: bilinear sampling looks at one neighbour.
_TILE_MARGIN_PX = 2


def cropped_source(image: np.ndarray, objects: SourceObjects) -> SourceImage:
    """An image (H, W, 3) cut down to its objects, unless the crops would be larger than the image."""
    height, width = image.shape[:2]
    extents = objects.extents_xyxy()
    starts = np.clip(np.floor(extents[:, :2]).astype(int) - _TILE_MARGIN_PX, 0, (width - 1, height - 1))
    ends = np.clip(np.ceil(extents[:, 2:]).astype(int) + _TILE_MARGIN_PX, starts + 1, (width, height))
    if (ends - starts).prod(axis=1).sum() >= height * width:
        return SourceImage((height, width), [(image, (0, 0))] * len(objects))
    return SourceImage(
        (height, width), [(image[y1:y2, x1:x2].copy(), (int(x1), int(y1))) for (x1, y1), (x2, y2) in zip(starts, ends)]
    )


class SourceCache:
    """The paste sources used last, within a bound of memory. What it holds changes a sample's cost alone.

    Args:
        max_mb: Bound in MiB.
    """

    def __init__(self, max_mb: float) -> None:
        self.max_bytes = max_mb * 2**20
        self.num_bytes = 0
        self._images: OrderedDict[str, SourceImage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._images)

    def get(self, path: str) -> SourceImage | None:
        """The paste source of a file, now the one used last, or None."""
        if path not in self._images:
            return None
        self._images.move_to_end(path)
        return self._images[path]

    def put(self, path: str, image: SourceImage) -> None:
        """Keep a new paste source and drop the ones that were not used for longest."""
        assert path not in self._images
        self._images[path] = image
        self.num_bytes += image.num_bytes()
        while self.num_bytes > self.max_bytes:
            _, oldest = self._images.popitem(last=False)
            self.num_bytes -= oldest.num_bytes()


def patch_through(
    window: Window,
    objects: SourceObjects,
    index: int,
    extent_xyxy: np.ndarray,
    tile: tuple[np.ndarray, tuple[int, int]],
    seg_map: np.ndarray | None = None,
) -> Patch | None:
    """Cut one object out of its source.

    Args:
        window: The window that its image is seen through.
        objects: The objects of the source; without masks the object's box is its mask.
        index: Which object.
        extent_xyxy: (4,) where its pixels lie in the source.
        tile: Pixels at 1 / ``window.reduction`` of the source, and their left and top in the source.
        seg_map: (H, W) of the source, or None.

    Returns:
        The patch; None if no pixel of the object is visible.
    """
    image, (tile_x, tile_y) = tile
    height, width = (side * window.reduction for side in image.shape[:2])
    made_up = objects.segmentations is None
    segmentation = [rectangle(objects.boxes_xyxy[index])] if made_up else objects.segmentations[index]
    placed = object_window(window, extent_xyxy, (tile_x, tile_y, tile_x + width, tile_y + height))
    if placed is None:
        return None
    part, left, top = placed
    raster = rasterised(segmentation, part)
    if raster is None:
        return None
    seg_map = None if seg_map is None else seg_map_through(seg_map, part)
    patch = _cut(resampled(image, part, (tile_x, tile_y)), raster, int(objects.labels[index]), made_up, seg_map)
    return replace(patch, left=left + patch.left, top=top + patch.top)


def patches_of(results: dict, choose_objects, paste_by_box: bool) -> list[Patch]:
    """Cut objects out of a paste source that some other pipeline has loaded and transformed.

    Args:
        results: ``img`` (H, W, 3) uint8, ``gt_bboxes``, ``gt_bboxes_labels`` and, where there are such,
            ``gt_ignore_flags``, ``gt_masks``, ``gt_seg_map``. Nothing in it is changed.
        choose_objects: From the (N,) labels of the pasteable objects to the indices of the ones to paste.
        paste_by_box: Whether a source without masks gives its boxes.

    Raises:
        InputError: The source has no masks and ``paste_by_box`` is not set.
    """
    image = interleaved(results["img"])
    labels = np.asarray(results["gt_bboxes_labels"], np.int64)
    usable = np.arange(len(labels))
    if "gt_ignore_flags" in results:
        usable = np.flatnonzero(~np.asarray(results["gt_ignore_flags"], bool))
    chosen = usable[choose_objects(labels[usable])]
    made_up = results.get("gt_masks") is None
    if made_up:
        refuse_without_masks(paste_by_box, results.get("img_path"))
        masks = box_masks(results["gt_bboxes"].numpy()[chosen], *image.shape[:2])
    else:
        masks = BoxedMasks.of(results["gt_masks"], chosen)
    return [
        _cut(image, (crop, *box[:2].tolist()), int(labels[i]), made_up, results.get("gt_seg_map"))
        for i, crop, box in zip(chosen, masks.crops, masks.boxes_xyxy)
        if crop.size
    ]


def refuse_without_masks(paste_by_box: bool, where) -> None:
    """Raise unless boxes may be pasted."""
    if not paste_by_box:
        raise InputError(
            f"expected paste sources with masks, got one without in {where}; "
            "set paste_by_box=True in frozen_det.CopyPaste to paste whole boxes."
        )


def box_masks(boxes_xyxy: np.ndarray, height: int, width: int) -> BoxedMasks:
    """Boxes (N, 4), rounded to whole pixels and clipped to the image, as masks of at least one pixel."""
    edges = np.rint(np.reshape(boxes_xyxy, (-1, 4))).astype(np.int64)
    edges[:, :2] = np.clip(edges[:, :2], 0, (width - 1, height - 1))
    edges[:, 2:] = np.clip(edges[:, 2:], edges[:, :2] + 1, (width, height))
    return BoxedMasks([np.ones((y2 - y1, x2 - x1), np.uint8) for x1, y1, x2, y2 in edges], edges, height, width)


def _cut(
    image: np.ndarray, raster: tuple[np.ndarray, int, int], label: int, made_up: bool, seg_map: np.ndarray | None
) -> Patch:
    """The patch of a mask at its place in an image."""
    mask, left, top = raster
    height, width = mask.shape
    area = slice(top, top + height), slice(left, left + width)
    return Patch(image[area], mask, left, top, label, made_up, None if seg_map is None else seg_map[area])
