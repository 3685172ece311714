"""What an engine counts (precision and recall arrays) and the numbers that are means over it.

An engine matches detections to objects and accumulates; every printed number is then one mean over the entries
that exist, by the rules of pycocotools (`_summarizeDets`) and lvis-api (`_summarize`). A number whose group has
no object in the ground truth is -1, as in both. It refuses nothing.
"""

from dataclasses import dataclass

import numpy as np

AREAS = ("all", "small", "medium", "large")  # up to 32 squared, up to 96 squared, beyond; pixels
LVIS_GROUPS = {"r": "rare", "c": "common", "f": "frequent"}
# Seen in up to 10, up to 100, more images of the training set (arXiv 1908.03195, section 4).
RARE_IMAGES, COMMON_IMAGES = 10, 100
MISSING = -1.0


@dataclass(frozen=True)
class Accumulated:
    """Counts of one evaluation, entries in [0, 1] or -1 where the ground truth holds no such object.

    Attributes:
        precision: (T, R, K, A, M) float64: IoU threshold, recall step, category, area, detection limit.
        recall: (T, K, A, M) float64.
        iou_thresholds: T values.
        category_ids: K ids, ascending.
        max_detections: M limits per image (and category), ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    iou_thresholds: tuple[float, ...]
    category_ids: tuple[int, ...]
    max_detections: tuple[int, ...]

    def average_precision(self, iou: float | None = None, area: str = "all", categories=slice(None)) -> float:
        """Mean precision in [0, 1], or -1; at one IoU threshold or over all, at the largest detection limit."""
        return mean_of_present(self.precision[self._threshold(iou), :, categories, AREAS.index(area), -1])

    def average_recall(self, max_detections: int | None = None, area: str = "all", categories=slice(None)) -> float:
        """Mean recall over all IoU thresholds in [0, 1], or -1; at one detection limit (default the largest)."""
        limit = -1 if max_detections is None else self.max_detections.index(max_detections)
        return mean_of_present(self.recall[:, categories, AREAS.index(area), limit])

    def has_iou(self, iou: float) -> bool:
        """Whether ``iou`` is one of the thresholds; AP50 and AP75 exist only then."""
        return bool(np.isclose(self.iou_thresholds, iou).any())

    def _threshold(self, iou: float | None):
        return slice(None) if iou is None else int(np.flatnonzero(np.isclose(self.iou_thresholds, iou))[0])


def mean_of_present(values: np.ndarray) -> float:
    """Mean of the entries above -1; -1 where there is none."""
    present = values[values > -1]
    return float(present.mean()) if present.size else MISSING


def coco_numbers(counts: Accumulated) -> dict[str, float]:
    """The 12 COCO numbers under mmdet's names: mAP, mAP_50, mAP_75, mAP_s/m/l, AR@1/10/100, AR_s/m/l@100."""
    numbers = {"mAP": counts.average_precision()}
    for iou in (0.5, 0.75):
        if counts.has_iou(iou):
            numbers[f"mAP_{iou * 100:.0f}"] = counts.average_precision(iou)
    for area in AREAS[1:]:
        numbers[f"mAP_{area[0]}"] = counts.average_precision(area=area)
    for limit in counts.max_detections:
        numbers[f"AR@{limit}"] = counts.average_recall(limit)
    for area in AREAS[1:]:
        numbers[f"AR_{area[0]}@{counts.max_detections[-1]}"] = counts.average_recall(area=area)
    return numbers


def proposal_numbers(counts: Accumulated) -> dict[str, float]:
    """Recall of class-free proposals: AR at each limit, and by size at the largest."""
    return {name: value for name, value in coco_numbers(counts).items() if name.startswith("AR")}


def lvis_numbers(counts: Accumulated, frequency_of: dict[int, str | None]) -> dict[str, float]:
    """The 13 LVIS numbers: AP, AP50, AP75, APs/m/l, APr/c/f, AR@300, ARs/m/l@300.

    Args:
        frequency_of: category id -> 'r', 'c' or 'f'; a category without a group counts in no APr/c/f.
    """
    numbers = {"AP": counts.average_precision()}
    for iou in (0.5, 0.75):
        if counts.has_iou(iou):
            numbers[f"AP{iou * 100:.0f}"] = counts.average_precision(iou)
    for area in AREAS[1:]:
        numbers[f"AP{area[0]}"] = counts.average_precision(area=area)
    for group in LVIS_GROUPS:
        rows = [row for row, category in enumerate(counts.category_ids) if frequency_of.get(category) == group]
        numbers[f"AP{group}"] = counts.average_precision(categories=rows)
    limit = counts.max_detections[-1]
    numbers[f"AR@{limit}"] = counts.average_recall()
    for area in AREAS[1:]:
        numbers[f"AR{area[0]}@{limit}"] = counts.average_recall(area=area)
    return numbers


def frequency_group(category: dict) -> str | None:
    """'r', 'c' or 'f' of a category of the json: its ``frequency``, else by its ``image_count``, else None."""
    if category.get("frequency") is not None:
        return category["frequency"] if category["frequency"] in LVIS_GROUPS else None
    count = category.get("image_count")
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    return "r" if count <= RARE_IMAGES else "c" if count <= COMMON_IMAGES else "f"


def per_class_numbers(counts: Accumulated, categories: list[dict]) -> list[dict]:
    """One dict per category, in the order of ``categories``: name, id, AP, AP50, AP75, APs, APm, APl, AR.

    A value is -1 where the ground truth holds no such object; ``frequency`` is passed on where there is one.
    """
    precision = counts.precision[..., -1]  # (T, R, K, A)
    columns = {"AP": _per_class_mean(precision[..., 0])}
    for iou in (0.5, 0.75):
        if counts.has_iou(iou):
            row = int(np.flatnonzero(np.isclose(counts.iou_thresholds, iou))[0])
            columns[f"AP{iou * 100:.0f}"] = _per_class_mean(precision[row : row + 1, ..., 0])
    for index, area in enumerate(AREAS[1:], start=1):
        columns[f"AP{area[0]}"] = _per_class_mean(precision[..., index])
    columns["AR"] = _per_class_mean(counts.recall[:, None, :, 0, -1])
    row_of = {category: row for row, category in enumerate(counts.category_ids)}
    table = []
    for category in categories:
        numbers = {"name": category["name"], "id": category["id"]}
        numbers.update((name, float(column[row_of[category["id"]]])) for name, column in columns.items())
        if frequency_group(category):
            numbers["frequency"] = frequency_group(category)
        table.append(numbers)
    return table


def _per_class_mean(values: np.ndarray) -> np.ndarray:
    """(T, R, K) with -1 for missing -> (K,), the mean of what is present, -1 where nothing is."""
    present = values > -1
    counts = present.sum(axis=(0, 1))
    sums = np.where(present, values, 0.0).sum(axis=(0, 1))
    return np.where(counts > 0, sums / np.maximum(counts, 1), MISSING)
