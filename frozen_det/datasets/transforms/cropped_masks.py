"""Instance masks that are kept only inside their boxes, and still are mmdet's BitmapMasks to every head and transform.

A full bitmap of a 1024 x 1024 image takes 1 MiB for each object; these take the box, and an eighth of it on the way
from a worker to the training process. Refused: crops that reach beyond the image.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.structures.mask.structures import roi_align

from ...host.devices import sent
from ...ops.pasting import tight_box


class BoxedMasks(BitmapMasks):
    """Masks of N objects, each a crop, cut to its non-zero pixels, and the place of the crop.

    Everything that BitmapMasks offers works; what has no shorter way goes through :attr:`masks`, the full bitmaps,
    which are built on access and not kept.

    Args:
        crops: N arrays (h, w), uint8, 0 or 1, non-zero in each rim row and column; (0, 0) if empty.
        boxes_xyxy: (N, 4) ints, the place of each crop: right - left = w, bottom - top = h.
        height, width: Size of the image.
    """

    def __init__(self, crops: Sequence[np.ndarray], boxes_xyxy, height: int, width: int) -> None:
        self.crops = list(crops)
        self.boxes_xyxy = np.asarray(boxes_xyxy, dtype=np.int32).reshape(-1, 4)
        self.height, self.width = int(height), int(width)
        assert len(self.crops) == len(self.boxes_xyxy)

    @classmethod
    def tightened(cls, crops: Sequence[np.ndarray], lefts_tops, height: int, width: int) -> "BoxedMasks":
        """From crops at given places, each cut down to its non-zero pixels."""
        tight, boxes_xyxy = [], []
        for crop, (left, top) in zip(crops, lefts_tops):
            box = tight_box(crop)
            if box is None:
                tight.append(np.zeros((0, 0), np.uint8))
                boxes_xyxy.append((0, 0, 0, 0))
            else:
                tight.append(crop[box[1] : box[3], box[0] : box[2]])
                boxes_xyxy.append((left + box[0], top + box[1], left + box[2], top + box[3]))
        return cls(tight, boxes_xyxy, height, width)

    @classmethod
    def of(cls, masks: BitmapMasks | PolygonMasks, indices: np.ndarray | None = None) -> "BoxedMasks":
        """Any of mmdet's masks, or those at (n,) ``indices``, in this form. Full bitmaps are looked at, not copied."""
        if isinstance(masks, cls):
            return masks if indices is None else masks[indices]
        if isinstance(masks, BitmapMasks):
            chosen = range(len(masks)) if indices is None else indices
            bitmaps = [masks.masks[i].astype(np.uint8, copy=False) for i in chosen]
        else:
            bitmaps = list((masks if indices is None else masks[indices]).to_ndarray().astype(np.uint8, copy=False))
        return cls.tightened(bitmaps, np.zeros((len(bitmaps), 2), int), masks.height, masks.width)

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) uint8: the full bitmaps, rebuilt at each access."""
        full = np.zeros((len(self), self.height, self.width), np.uint8)
        for bitmap, crop, (left, top, right, bottom) in zip(full, self.crops, self.boxes_xyxy):
            bitmap[top:bottom, left:right] = crop
        return full

    @masks.setter
    def masks(self, full: np.ndarray) -> None:
        other = BoxedMasks.of(BitmapMasks(full, *full.shape[1:]))
        self.crops, self.boxes_xyxy = other.crops, other.boxes_xyxy
        self.height, self.width = other.height, other.width

    def __len__(self) -> int:
        return len(self.crops)

    def __repr__(self) -> str:
        return f"BoxedMasks(num_masks={len(self)}, height={self.height}, width={self.width})"

    def __getitem__(self, index) -> "BoxedMasks":
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        indices = np.atleast_1d(np.arange(len(self))[index])
        return BoxedMasks([self.crops[i] for i in indices], self.boxes_xyxy[indices], self.height, self.width)

    def __getstate__(self) -> dict:
        """For pickling: all crops as one string of bits."""
        pixels = np.concatenate([crop.ravel() for crop in self.crops]) if self.crops else np.zeros(0, np.uint8)
        return dict(
            bits=np.packbits(pixels),
            shapes=np.array([crop.shape for crop in self.crops], np.int32),
            boxes_xyxy=self.boxes_xyxy,
            height=self.height,
            width=self.width,
        )

    def __setstate__(self, state: dict) -> None:
        shapes = state["shapes"].reshape(-1, 2).astype(np.int64)
        sizes = shapes.prod(axis=1)
        pixels = np.unpackbits(state["bits"], count=int(sizes.sum()))
        parts = np.split(pixels, np.cumsum(sizes)[:-1]) if len(sizes) else []
        self.crops = [part.reshape(shape) for part, shape in zip(parts, shapes)]
        self.boxes_xyxy, self.height, self.width = state["boxes_xyxy"], state["height"], state["width"]

    @property
    def areas(self) -> np.ndarray:
        """(N,) int64: pixels of each mask."""
        return np.array([cv2.countNonZero(crop) if crop.size else 0 for crop in self.crops], dtype=np.int64)

    def get_bboxes(self, dst_type="hbb"):
        """The tight boxes, as mmdet's box type."""
        if dst_type in ("hbb", "hbox", HorizontalBoxes):
            return HorizontalBoxes(torch.from_numpy(self.boxes_xyxy.astype(np.float32)))
        return super().get_bboxes(dst_type)

    def flip(self, flip_direction: str = "horizontal") -> "BoxedMasks":
        """Mirror; ``flip_direction`` is 'horizontal', 'vertical' or 'diagonal' (both)."""
        assert flip_direction in ("horizontal", "vertical", "diagonal")
        crops, boxes_xyxy = self.crops, self.boxes_xyxy.copy()
        empty = boxes_xyxy[:, 2] <= boxes_xyxy[:, 0]
        if flip_direction != "vertical":
            crops = [crop[:, ::-1] for crop in crops]
            boxes_xyxy[:, [0, 2]] = self.width - boxes_xyxy[:, [2, 0]]
        if flip_direction != "horizontal":
            crops = [crop[::-1] for crop in crops]
            boxes_xyxy[:, [1, 3]] = self.height - boxes_xyxy[:, [3, 1]]
        boxes_xyxy[empty] = 0
        return BoxedMasks([np.ascontiguousarray(crop) for crop in crops], boxes_xyxy, self.height, self.width)

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> BitmapMasks:
        """Grow at bottom and right to ``out_shape`` (height, width)."""
        height, width = out_shape[:2]
        if pad_val != 0 or height < self.height or width < self.width:
            return super().pad(out_shape, pad_val)
        return BoxedMasks(self.crops, self.boxes_xyxy, height, width)

    def crop(self, bbox: np.ndarray) -> "BoxedMasks":
        """Cut out ``bbox``: (4,) ints x1, y1, x2, y2, clipped to the image; at least 1 pixel each way."""
        assert isinstance(bbox, np.ndarray) and bbox.ndim == 1
        x1, x2 = (int(x) for x in np.clip(bbox[0::2], 0, self.width))
        y1, y2 = (int(y) for y in np.clip(bbox[1::2], 0, self.height))
        height, width = max(y2 - y1, 1), max(x2 - x1, 1)
        crops, places = [], []
        for crop, (left, top, _, _) in zip(self.crops, self.boxes_xyxy):
            rows = slice(max(y1 - top, 0), max(y1 + height - top, 0))
            columns = slice(max(x1 - left, 0), max(x1 + width - left, 0))
            crops.append(np.ascontiguousarray(crop[rows, columns]))
            places.append((max(left - x1, 0), max(top - y1, 0)))
        return BoxedMasks.tightened(crops, places, height, width)

    def crop_and_resize(
        self, bboxes, out_shape, inds, device="cpu", interpolation="bilinear", binarize: bool = True
    ) -> BitmapMasks:
        """Mask targets, bit by bit those of :meth:`BitmapMasks.crop_and_resize`.

        mmdet makes a full float bitmap for each box (512 MiB for 128 boxes at 1024 x 1024); here one bitmap holds
        the objects in turn, at their places in the image, so that RoIAlign computes with the same coordinates.

        Args:
            bboxes: (M, 4) float, array or tensor, x1, y1, x2, y2.
            out_shape: Height and width of the targets.
            inds: (M,) ints: the object of each box.
            device: Where to compute.
            binarize: Whether to round to 0 or 1.
        """
        if len(self) == 0 or len(bboxes) == 0:
            return BitmapMasks(np.empty((0, *out_shape), np.uint8), *out_shape)
        inds = torch.as_tensor(inds).cpu().numpy()
        order = np.argsort(inds, kind="stable")
        objects, starts = np.unique(inds[order], return_index=True)  # boxes of an object stand together in the order
        ends = [*starts[1:].tolist(), len(order)]
        # Crops travel as one string of pixels: what is done for each object waits for nothing.
        pixels = sent(np.concatenate([self.crops[index].ravel() for index in objects]), device)
        order = sent(order, device)
        bboxes = bboxes.to(device) if isinstance(bboxes, torch.Tensor) else sent(bboxes, device)  # (M, 4)
        rois = torch.cat([bboxes.new_zeros(len(bboxes), 1), bboxes[order]], dim=1)  # (M, 5), by object
        bitmap = bboxes.new_zeros((1, 1, self.height, self.width))
        found, taken = [], 0
        for index, start, end in zip(objects, starts.tolist(), ends):
            left, top, right, bottom = (int(v) for v in self.boxes_xyxy[index])
            size = (bottom - top) * (right - left)
            place = bitmap[0, 0, top:bottom, left:right]
            place.copy_(pixels[taken : taken + size].view(bottom - top, right - left))
            found.append(roi_align(bitmap, rois[start:end], tuple(out_shape), 1.0, 0, "avg", True).squeeze(1))
            place.zero_()
            taken += size
        targets = bboxes.new_zeros((len(bboxes), *out_shape))  # (M, h, w)
        targets[order] = torch.cat(found)
        targets = targets >= 0.5 if binarize else targets
        return BitmapMasks(targets.cpu().numpy(), *out_shape)

    def to_tensor(self, dtype, device) -> torch.Tensor:
        """(N, H, W) of ``dtype`` on ``device``."""
        return sent(self.masks, device).to(dtype)  # a byte for a pixel travels

    @classmethod
    def cat(cls, masks: Sequence[BitmapMasks]) -> "BoxedMasks":
        """One after the other; all of one image size."""
        if len(masks) == 0:
            raise ValueError("masks should not be an empty list.")
        boxed = [cls.of(m) for m in masks]
        assert len({(m.height, m.width) for m in boxed}) == 1
        return cls(
            [crop for m in boxed for crop in m.crops],
            np.concatenate([m.boxes_xyxy for m in boxed]),
            boxed[0].height,
            boxed[0].width,
        )
