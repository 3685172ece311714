"""Box AP of resampled images: how far a number would move with other images of the same kind.

Detections are matched to objects once, by COCO's rule (Lin et al., arXiv 1405.0312; pycocotools' `evaluateImg` for sets
without crowds). A resample counts each image some number of times: what an evaluation of a set with copies of the image
would count, but for equal scores within one image, whose order is arbitrary there. AP is the mean over classes that the
resample holds and over IoU thresholds 0.50:0.05:0.95, 101 points of recall each.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .detections import Detections

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST_PER_IMAGE = 100  # detections of a class, COCO's largest limit


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class, best first.

    Attributes:
        images: (N,) int64, number of the image of each detection.
        hits: (N, 10) bool, whether it is the match of an object, by IoU threshold.
        objects: (I,) int64, objects of the class in each image.
    """

    images: np.ndarray
    hits: np.ndarray
    objects: np.ndarray


def matched(truth: dict, detections: Detections) -> list[ClassMatches]:
    """Match boxes once, class by class.

    Args:
        truth: content of a COCO json without crowds: images, annotations, categories.
        detections: of these images and categories.

    Returns:
        one for each category, in the order of their ids; images are numbered in the order of `truth`.

    Raises:
        InputError: a crowd, which COCO's rule treats in another way.
    """
    if any(one.get("iscrowd") for one in truth["annotations"]):
        raise InputError("expected annotations without crowds to resample images of, got iscrowd=1.")
    numbers = {image["id"]: number for number, image in enumerate(truth["images"])}
    where = np.array([numbers[image] for image in detections.image_ids.tolist()], np.int64)
    objects: dict[tuple, list] = {}
    for one in truth["annotations"]:
        objects.setdefault((one["category_id"], numbers[one["image_id"]]), []).append(one["bbox"])
    found = []
    for category in sorted(one["id"] for one in truth["categories"]):
        rows = np.flatnonzero(detections.category_ids == category)
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        kept, hits = [], []
        counts = np.zeros(len(numbers), np.int64)
        for number in range(len(numbers)):
            boxes = np.array(objects.get((category, number), []), np.float64).reshape(-1, 4)
            counts[number] = len(boxes)
            own = rows[where[rows] == number][:_MOST_PER_IMAGE]
            kept.append(own)
            hits.append(_hits(detections.boxes_xywh[own], boxes))
        kept, hits = np.concatenate(kept), np.concatenate(hits)
        order = np.argsort(-detections.scores[kept], kind="stable")
        found.append(ClassMatches(where[kept[order]], hits[order], counts))
    return found


def average_precisions(classes: list[ClassMatches], counts: np.ndarray) -> np.ndarray:
    """AP of every class for resampled images.

    Args:
        classes: K of them, of :func:`matched`.
        counts: (B, I) int, how often each image counts in each of B resamples.

    Returns:
        (B, K) in [0, 1]; NaN where a resample holds no object of the class.
    """
    counts = np.asarray(counts, np.float64)
    found = np.full((len(counts), len(classes)), np.nan)
    for number, one in enumerate(classes):
        totals = counts @ one.objects
        present = totals > 0
        if not present.any():
            continue
        weights = counts[present][:, one.images]
        seen = np.cumsum(weights, axis=1)
        values = [_precision_mean(weights, seen, hits, totals[present]) for hits in one.hits.T]
        found[present, number] = np.mean(values, axis=0)
    return found


def resamples(num_images: int, num: int, seed: int) -> np.ndarray:
    """(num, num_images) int64: how often each image was drawn, with replacement, as many as there are."""
    return np.random.default_rng(seed).multinomial(num_images, np.full(num_images, 1 / num_images), size=num)


def _hits(found: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(N, 10): a detection takes the free object that it overlaps most, from the threshold on; best scores first."""
    hits = np.zeros((len(found), len(THRESHOLDS)), bool)
    if not len(found) or not len(objects):
        return hits
    ious = _ious(found, objects)
    for column, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(objects), bool)
        for row, overlaps in enumerate(ious):
            candidates = np.where(free, overlaps, -1.0)
            # Of equal overlaps pycocotools takes the last one.
            best = len(candidates) - 1 - int(np.argmax(candidates[::-1]))
            if candidates[best] >= min(threshold, 1 - 1e-10):
                hits[row, column], free[best] = True, False
    return hits


def _ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) of boxes as left, top, width, height."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    return shared / (first[:, 2:].prod(-1)[:, None] + second[:, 2:].prod(-1)[None] - shared)


def _precision_mean(weights: np.ndarray, seen: np.ndarray, hits: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """(B,) mean precision over 101 recalls, of (B, N) weights of detections and (B,) objects."""
    right = np.cumsum(weights * hits, axis=1)
    recall = right / totals[:, None]
    # pycocotools divides by the count plus the smallest step of a double.
    precision = right / (seen + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    places = np.stack([np.searchsorted(row, _RECALLS, side="left") for row in recall])
    return np.take_along_axis(padded, places, axis=1).mean(1)
