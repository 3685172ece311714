"""Detections of a whole data set as columns: what a metric collects, what an engine is handed, what is stored.

Columns instead of a list of dicts: 1.5 million detections are five arrays, not 1.5 million dicts, which is where
pycocotools' end-to-end time and memory go. It refuses rows that no ranking can place (NaN, infinite): these are
taken out by :meth:`Detections.finite` and counted by the caller.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from .run_lengths import run_length_faults


def id_column(ids) -> np.ndarray:
    """Ids as an array that changes none: (n,) int64 where all are such whole numbers, else (n,) objects."""
    if isinstance(ids, np.ndarray) and ids.dtype in (np.int64, object):
        return ids
    ids = [one.item() if isinstance(one, np.generic) else one for one in ids]
    if all(type(one) is int and -(2**63) <= one < 2**63 for one in ids):
        return np.array(ids, np.int64)
    column = np.empty(len(ids), object)
    column[:] = ids
    return column


@dataclass(frozen=True)
class PackedMasks:
    """The run-length masks of one image in two arrays.

    A tenth of the memory of a dict per mask, and one object where mmengine otherwise walks through every dict when
    it collects results.

    Attributes:
        size_hw: height and width of the image.
        data: (B,) uint8, the compressed counts of all masks, joined.
        ends: (n,) int64, where each mask ends in ``data``.
    """

    size_hw: tuple[int, int]
    data: np.ndarray
    ends: np.ndarray

    @classmethod
    def pack(cls, masks: list[dict]) -> "PackedMasks":
        """From run-length masks ``{"size": [h, w], "counts": bytes | str}`` of one image."""
        counts = [
            mask["counts"].encode("ascii") if isinstance(mask["counts"], str) else mask["counts"] for mask in masks
        ]
        height, width = masks[0]["size"] if masks else (0, 0)
        return cls(
            (int(height), int(width)),
            np.frombuffer(b"".join(counts), np.uint8),
            np.cumsum([len(one) for one in counts], dtype=np.int64),
        )

    def unpacked(self) -> list[dict]:
        """Run-length masks ``{"size": [h, w], "counts": bytes}``."""
        data, ends = self.data.tobytes(), self.ends.tolist()
        return [{"size": list(self.size_hw), "counts": data[start:end]} for start, end in zip([0, *ends], ends)]


@dataclass(frozen=True)
class Detections:
    """N detections over all images, in the order in which they came.

    Attributes:
        image_ids: (N,) int64, ids of the annotation file; objects where these are texts or beyond 64 bits.
        boxes_xywh: (N, 4) float64, pixels of the original image: left, top, width, height.
        scores: (N,) float64.
        category_ids: (N,) like ``image_ids``; ids of the annotation file (not labels).
        masks: None, or N run-length masks ``{"size": [h, w], "counts": bytes | str}`` of the original image.
        mask_scores: None where masks are ranked by ``scores``, else (N,) float64 (mask-scoring heads).
    """

    image_ids: np.ndarray
    boxes_xywh: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray
    masks: list | None = None
    mask_scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def from_images(cls, images: list[dict], category_ids, with_masks: bool = False) -> "Detections":
        """Join per-image results.

        Args:
            images: one dict per image: ``img_id`` int or text, ``boxes_xyxy`` (n, 4), ``scores`` (n,), ``labels`` (n,)
                in [0, K), ``masks`` as :class:`PackedMasks` or None, ``mask_scores`` (n,) or None.
            category_ids: K category ids; label i is ``category_ids[i]``.
            with_masks: keep the masks; every image with detections must have them.

        Raises:
            InputError: boxes, scores and labels of an image do not fit each other, or a label is none of the K.
        """
        counts = [len(image["scores"]) for image in images]
        for image in images:
            _check_shapes(image, len(category_ids))
        boxes = _joined([image["boxes_xyxy"] for image in images], (0, 4))
        boxes[:, 2:] -= boxes[:, :2]
        labels = _joined([image["labels"] for image in images], (0,), np.int64)
        with_mask_scores = with_masks and any(image["mask_scores"] is not None for image in images)
        return cls(
            image_ids=np.repeat(id_column([image["img_id"] for image in images]), counts),
            boxes_xywh=boxes,
            scores=_joined([image["scores"] for image in images], (0,)),
            category_ids=id_column(category_ids)[labels],
            masks=[mask for image in images for mask in image["masks"].unpacked()] if with_masks else None,
            mask_scores=_joined([image["mask_scores"] for image in images if image["mask_scores"] is not None], (0,))
            if with_mask_scores
            else None,
        )

    @classmethod
    def from_coco_results(
        cls, results: list[dict], where: str = "the results", iou_type: str | None = None
    ) -> "Detections":
        """From a COCO result list (``image_id``, ``category_id``, ``score``, ``bbox`` and/or ``segmentation``).

        Args:
            results: entries.
            where: the file, for messages.
            iou_type: what they are for: 'segm' needs masks, 'bbox' and 'proposal' boxes; None takes what there is.

        Raises:
            InputError: an entry is no result, or lacks what the others have or what is needed.
        """
        first = results[0] if results and isinstance(results[0], dict) else {}
        with_masks = iou_type == "segm" or "segmentation" in first
        with_boxes = None  # masks are judged without
        if iou_type != "segm":
            with_boxes = iou_type is not None or "bbox" in first or not with_masks
        faults = ((number, _result_fault(one, with_boxes, with_masks)) for number, one in enumerate(results))
        found = next((fault for fault in faults if fault[1]), None)
        if found is None and with_masks:
            found = next(run_length_faults([result["segmentation"] for result in results]), None)
        if found is None:
            try:
                boxes = np.array([result.get("bbox", _NO_BOX) for result in results], np.float64).reshape(-1, 4)
                scores = np.array([result["score"] for result in results], np.float64)
            except OverflowError:
                found = next((number, fault) for number, one in enumerate(results) if (fault := _beyond_floats(one)))
        if found:
            kind = {None: "bbox or segmentation", "segm": "segmentation"}.get(iou_type, "bbox")
            raise InputError(
                f"expected a list of COCO results (image_id, category_id, score, and {kind}), got {found[1]} in entry "
                f"{found[0]} of {where}; store them again"
            )
        return cls(
            image_ids=id_column([result["image_id"] for result in results]),
            boxes_xywh=boxes,
            scores=scores,
            category_ids=id_column([result["category_id"] for result in results]),
            masks=[result["segmentation"] for result in results] if with_masks else None,
        )

    def to_coco_results(self, iou_type: str) -> list[dict]:
        """The COCO result list for ``iou_type`` 'bbox' or 'segm'; floats keep all their digits.

        Mask results carry no box: with one, COCO's code would take the box area as the object's size and shift
        the small/medium/large numbers.
        """
        of = self.for_iou_type(iou_type)
        rows = zip(of.image_ids.tolist(), of.category_ids.tolist(), of.scores.tolist())
        if iou_type == "segm":
            assert of.masks is not None
            return [
                {"image_id": image, "category_id": category, "score": score, "segmentation": mask}
                for (image, category, score), mask in zip(rows, of.masks)
            ]
        return [
            {"image_id": image, "category_id": category, "score": score, "bbox": box}
            for (image, category, score), box in zip(rows, of.boxes_xywh.tolist())
        ]

    def for_iou_type(self, iou_type: str) -> "Detections":
        """Boxes without masks for 'bbox'; masks ranked by their own scores, where there are any, for 'segm'."""
        if iou_type != "segm":
            return replace(self, masks=None, mask_scores=None)
        assert self.masks is not None
        return self if self.mask_scores is None else replace(self, scores=self.mask_scores, mask_scores=None)

    def take(self, rows: np.ndarray) -> "Detections":
        """The detections at ``rows``: (n,) int64 indices or (N,) bool, kept in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Detections(
            self.image_ids[rows],
            self.boxes_xywh[rows],
            self.scores[rows],
            self.category_ids[rows],
            None if self.masks is None else [self.masks[row] for row in rows.tolist()],
            None if self.mask_scores is None else self.mask_scores[rows],
        )

    def finite(self) -> "Detections":
        """Without the rows whose box or score is NaN or infinite."""
        good = np.isfinite(self.boxes_xywh).all(axis=1) & np.isfinite(self.scores)
        if self.mask_scores is not None:
            good &= np.isfinite(self.mask_scores)
        return self if good.all() else self.take(good)

    def best_per_image(self, num_kept: int) -> "Detections":
        """The ``num_kept`` highest-scoring of each image, over all categories (lvis-api's LVISResults rule)."""
        return self._best_per(self.image_ids, num_kept)

    def best_per_category(self, num_kept: int) -> "Detections":
        """The ``num_kept`` highest-scoring of each category, over all images (fixed AP, arXiv 2102.01066)."""
        return self._best_per(self.category_ids, num_kept)

    def _best_per(self, groups: np.ndarray, num_kept: int) -> "Detections":
        """Rank within a group by score, ties by order of arrival; the order of what is kept does not change."""
        if len(self) == 0 or np.unique(groups, return_counts=True)[1].max() <= num_kept:
            return self
        order = np.lexsort((-self.scores, groups))  # lexsort is stable: ties keep their order
        sorted_groups = groups[order]
        starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        return self.take(np.sort(order[rank < num_kept]))


def _check_shapes(image: dict, num_labels: int) -> None:
    count, labels = len(image["scores"]), np.asarray(image["labels"])
    shapes = [np.shape(image[key]) for key in ("boxes_xyxy", "scores", "labels")]
    if shapes != [(count, 4), (count,), (count,)] and count + sum(shapes[0][:1]) + len(labels):
        raise InputError(
            f"expected n boxes (n, 4), n scores and n labels of image {image['img_id']!r}, got the shapes "
            f"{shapes}; the detector's predictions do not fit the metric"
        )
    masks = image.get("masks")
    if masks is not None and len(masks.ends) != count:
        raise InputError(
            f"expected a mask for each of the {count} boxes of image {image['img_id']!r}, got "
            f"{len(masks.ends)}; the detector's predictions do not fit the metric"
        )
    if count and labels.dtype.kind == "f" and not (labels == np.round(labels)).all():  # NaN too
        raise InputError(
            f"expected whole numbers as labels, got {labels[labels != np.round(labels)][0]} in image "
            f"{image['img_id']!r}; the detector's predictions do not fit the metric"
        )
    if count and not 0 <= labels.min() <= labels.max() < num_labels:
        raise InputError(
            f"expected labels from 0 to {num_labels - 1} ({num_labels} classes), got {labels.min()} to "
            f"{labels.max()} in image {image['img_id']!r}; the detector has other classes than the data"
        )


_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_NUMBERS = (int, float)


def _result_fault(result, with_boxes: bool | None, with_masks: bool) -> str | None:
    """What keeps an entry from being a COCO result with what the list has, as text."""
    if not isinstance(result, dict):
        return f"{result!r:.40}"
    for key in ("image_id", "category_id"):
        if type(result.get(key)) not in (int, str):
            return f"{key} {result.get(key)!r:.40}"
    if type(result.get("score")) not in _NUMBERS:
        return f"score {result.get('score')!r:.40}"
    if with_boxes is not None and with_boxes != ("bbox" in result):
        return "no bbox" if with_boxes else "a bbox, unlike the first entry"
    box = result.get("bbox", _NO_BOX)
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(type(side) in _NUMBERS for side in box)):
        return f"bbox {box!r:.60}"
    if with_masks != ("segmentation" in result):
        return "no segmentation" if with_masks else "a segmentation, unlike the first entry"
    return "polygons instead of run lengths" if with_masks and isinstance(result["segmentation"], list) else None


def _beyond_floats(result: dict) -> str | None:
    """The score or box of an entry with a whole number that no float holds, as text."""
    for key, numbers in (("score", [result["score"]]), ("bbox", result.get("bbox", _NO_BOX))):
        if any(type(one) is int and abs(one) >= 2**1023 for one in numbers):
            return f"{key} {result[key]!r:.60}"
    return None


def _joined(arrays, empty_shape, dtype=np.float64) -> np.ndarray:
    return np.concatenate([np.zeros(empty_shape, dtype), *(np.asarray(a, dtype) for a in arrays)])
