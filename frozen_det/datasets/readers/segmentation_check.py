"""Masks of COCO json, checked before a rasteriser sees them: polygons of at least three points, run lengths that fill
their image.

Refused: polygons that are none, an object without a single one, points far from the image, run lengths that are
negative or do not add up to the image, masks most of which are empty or outside their boxes. A part of fewer than three
points beside a whole polygon is left out and counted; single masks without area are told.
"""

import math
from collections import Counter
from itertools import chain

import numpy as np
from pycocotools import mask as coco_mask

from ...evaluation.entries import Entries
from ...evaluation.run_lengths import farthest_point, run_length_faults
from .polygons import segmentation_box

NO_AREA = "parts of masks of fewer than three points"
_EXPECTED = (
    "segmentation as polygons [[x0, y0, x1, y1, x2, y2, ...], ...] of finite numbers, three points or more, "
    "or as RLE with the image's size [height, width] and counts that add up to height * width"
)
_REMEDY = "correct it, or remove the key segmentation where only boxes are needed"
_NUMBERS = {int, float}
_NUM_COMPARED = 1000
_SHARED = 0.25
_LEAST_AREA = 1e-6  # px^2; less is what rounding makes of a line
_AT_ONCE = 5000  # polygons or masks


def check_segmentations(annotations: list[dict], sizes: dict, path, notes: Counter) -> list[int]:
    """Refuse masks that cannot be meant; leave out parts without area. Gives the numbers of the annotations whose mask
    covers nothing of its image: lines, polygons outside it, run lengths without a pixel.

    Args:
        annotations: of the json; ``segmentation`` may be absent or empty. Parts without area are taken out in place.
        sizes: image id -> [height, width], whole numbers of px.
        path: the json, for messages.
        notes: counts what was left out.

    Raises:
        InputError: naming file and entry.
    """
    bad, far, polygons, runs = [], [], [], []
    farthest = {image_id: farthest_point(size) for image_id, size in sizes.items()}
    for number, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        if type(segmentation) is list:
            kept = _whole_polygons(segmentation)
            polygons += kept
            if not kept:
                bad.append(number)
            elif _farthest_of(kept) > farthest[annotation["image_id"]]:
                far.append(number)
            elif len(kept) < len(segmentation):
                notes[NO_AREA] += len(segmentation) - len(kept)
                annotation["segmentation"] = kept
        elif type(segmentation) is dict and segmentation.get("size") != sizes[annotation["image_id"]]:
            bad.append(number)
        else:
            runs.append((number, segmentation))
    bad = sorted([*bad, *(runs[row][0] for row, _ in run_length_faults([rle for _, rle in runs]))])
    if not _NUMBERS.issuperset(map(type, chain.from_iterable(polygons))):  # bools, which add up
        bad = sorted({*bad, *(number for number, annotation in enumerate(annotations) if _holds_bools(annotation))})
    Entries(annotations, "annotations", path).refuse(bad, _EXPECTED, lambda a: repr(a["segmentation"])[:80], _REMEDY)
    Entries(annotations, "annotations", path).refuse(
        far,
        "points of polygons on the image or near it",
        lambda a: (
            f"the coordinate {_farthest_of(a['segmentation']):g} where the image has "
            f"{sizes[a['image_id']][1]} x {sizes[a['image_id']][0]} px"
        ),
        _REMEDY,
    )
    _check_places(annotations, path)
    return _empty_masks(annotations, sizes)


def _empty_masks(annotations: list[dict], sizes: dict) -> list[int]:
    polygons, owners, empty, compressed = [], [], set(), []
    for number, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        if type(segmentation) is list:
            polygons += segmentation
            owners += [number] * len(segmentation)
        elif type(segmentation["counts"]) is not list:
            compressed.append(number)
        elif not any(segmentation["counts"][1::2]):
            empty.add(number)
    covering: set[int] = set()
    for start in range(0, len(polygons), _AT_ONCE):
        of_chunk = owners[start : start + _AT_ONCE]
        sizes_hw = np.array([sizes[annotations[number]["image_id"]] for number in of_chunk], float)
        covers = _cover_something(polygons[start : start + _AT_ONCE], sizes_hw)
        covering.update(np.array(of_chunk)[covers].tolist())
    for start in range(0, len(compressed), _AT_ONCE):
        of_chunk = compressed[start : start + _AT_ONCE]
        areas = coco_mask.area([annotations[number]["segmentation"] for number in of_chunk])
        empty.update(np.array(of_chunk)[areas == 0].tolist())
    return sorted(empty | (set(owners) - covering))


def _cover_something(polygons: list[list], sizes_hw: np.ndarray) -> np.ndarray:
    """(n,) bool: polygons with an area, by the shoelace formula, and a part of their bounding box on the image.

    Args:
        polygons: n lists [x0, y0, x1, y1, ...], px.
        sizes_hw: (n, 2) of their images, px.
    """
    lengths = np.array([len(polygon) // 2 for polygon in polygons])
    starts = np.cumsum(lengths) - lengths
    x, y = np.fromiter(chain.from_iterable(polygons), float).reshape(-1, 2).T
    inside = np.ones(len(polygons), bool)
    for values, sides in ((x, sizes_hw[:, 1]), (y, sizes_hw[:, 0])):
        inside &= (np.maximum.reduceat(values, starts) > 0) & (np.minimum.reduceat(values, starts) < sides)
    x, y = x - np.repeat(x[starts], lengths), y - np.repeat(y[starts], lengths)
    following = np.arange(1, len(x) + 1)
    following[starts + lengths - 1] = starts
    areas = np.abs(np.add.reduceat(x * y[following] - y * x[following], starts)) / 2
    return inside & (areas > _LEAST_AREA)


def _whole_polygons(polygons: list) -> list[list]:
    """The polygons with area; none where one of them is no polygon at all."""
    kept = []
    for polygon in polygons:
        if type(polygon) is not list or len(polygon) % 2:
            return []
        try:
            # One sum finds texts and None (TypeError), NaN and infinity.
            if not math.isfinite(sum(polygon)):
                return []
        except (TypeError, OverflowError):
            return []
        if len(polygon) >= 6:
            kept.append(polygon)
    return kept


def _farthest_of(polygons: list[list]) -> float:
    """The coordinate farthest from 0, without its sign."""
    return max(max(max(polygon), -min(polygon)) for polygon in polygons if polygon)


def _holds_bools(annotation: dict) -> bool:
    segmentation = annotation.get("segmentation")
    return type(segmentation) is list and not _NUMBERS.issuperset(
        type(number) for polygon in segmentation if type(polygon) is list for number in polygon
    )


def _check_places(annotations: list[dict], path) -> None:
    """Refuse masks without a pixel, and masks in other units than the boxes (shares beside px, another size), by a
    sample."""
    numbers = [number for number, annotation in enumerate(annotations) if annotation.get("segmentation")]
    chosen = [numbers[i] for i in np.linspace(0, len(numbers) - 1, min(len(numbers), _NUM_COMPARED)).astype(int)]
    apart = [number for number in chosen if _lies_apart(annotations[number])]
    if len(apart) > len(chosen) / 2:
        Entries(annotations, "annotations", path).refuse(
            apart,
            "a segmentation with an area that lies in its bbox, in px",
            lambda a: f"bbox {a['bbox']} and segmentation {repr(a['segmentation'])[:80]}",
            "write both in px of the image",
        )


def _lies_apart(annotation: dict) -> bool:
    """Whether a mask is empty, or leaves its box and shares little with it: a quarter is the most that masks of twice
    or half the size can share. Small masks inside their boxes are those of hidden objects."""
    box, mask = np.array(annotation["bbox"], float), segmentation_box(annotation["segmentation"])  # (4,), xywh
    if mask is None:
        return bool(box[2:].prod() > 1)
    ends = np.stack([box[:2] + box[2:], mask[:2] + mask[2:]])
    shared = np.clip(ends.min(0) - np.maximum(box[:2], mask[:2]), 0, None).prod()
    inside = (mask[:2] >= box[:2] - 1).all() and (ends[1] <= ends[0] + 1).all()
    return not inside and shared <= _SHARED * (box[2:].prod() + mask[2:].prod() - shared)
