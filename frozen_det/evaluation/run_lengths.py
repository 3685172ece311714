"""Masks of the original image as compressed run lengths, and the faults by which evaluators give wrong numbers or hang.

A run-length mask is ``{"size": [h, w], "counts": bytes | str | list}`` as pycocotools writes it: runs of background and
object in turn, column by column, whose sum is h x w.
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np

_BEYOND = 1e300
_FARTHEST = 1e6  # px
_MOST_PIXELS = 2**32 - 1  # evaluators hold runs in 32 bits
_AT_ONCE = 2000  # masks decoded together: what they take stays in the processor's cache


def farthest_point(size_hw) -> float:
    """How far from 0 a polygon's coordinates may lie, in px: ten times the image's longer side and 1000 more.

    pycocotools walks along every edge in steps of a fifth of a pixel: a stray coordinate of 1e9 takes it minutes and
    gigabytes, one of 1e12 crashes it.

    Args:
        size_hw: None where it is not known.
    """
    return _FARTHEST if size_hw is None else min(10.0 * max(size_hw) + 1000, _FARTHEST)


def run_length(segmentation, size_hw: tuple[int, int]) -> dict:
    """Polygons, uncompressed or compressed run lengths -> one compressed mask ``{"size": [h, w], "counts": ...}``."""
    from pycocotools import mask as rle_tools

    if isinstance(segmentation, list):
        return rle_tools.merge(rle_tools.frPyObjects(segmentation, *size_hw))
    if isinstance(segmentation["counts"], list):
        return rle_tools.frPyObjects(segmentation, *size_hw)
    return segmentation


def annotation_area(ann: dict, size_hw: tuple[int, int]) -> float:
    """Area in square pixels of one annotation: of its mask, else of its box."""
    from pycocotools import mask as rle_tools

    if ann.get("segmentation"):
        return float(rle_tools.area(run_length(ann["segmentation"], size_hw)))
    return float(ann["bbox"][2] * ann["bbox"][3])


def largest_area(bbox, size_hw: tuple[int, int]) -> float:
    """The most square pixels that an annotation can have: its image's or, where it sticks out, its box's, and 1% more.
    A larger one is an error: evaluators would take the object for one outside every range of sizes."""
    return 1.01 * max(size_hw[0] * size_hw[1], bbox[2] * bbox[3])


def segmentation_fault(segmentation, size_hw: tuple[int, int] | None) -> str | None:
    """What is wrong with polygons or run lengths, as text; None for a mask that can be used.

    Args:
        size_hw: the image's size in px; None where it is not known.
    """
    if isinstance(segmentation, list):
        return _polygon_fault(segmentation, farthest_point(size_hw))
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        return f"neither polygons nor run lengths with 'counts': {segmentation!r:.60}"
    size = segmentation.get("size")
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        return f"run lengths without a size [height, width]: {size!r:.60}"
    if size_hw is not None and tuple(size) != tuple(size_hw):
        return f"run lengths of size {list(size)} on an image of {list(size_hw)} [height, width]"
    runs = _runs(segmentation["counts"])
    if runs is None:
        return f"counts that are no run lengths: {segmentation['counts']!r:.60}"
    if min(runs, default=0) < 0:
        return f"the run {min(runs)} below 0"
    if sum(runs) != size[0] * size[1]:
        return f"runs that sum up to {sum(runs)} instead of {size[0]} x {size[1]} = {size[0] * size[1]}"
    if size[0] * size[1] > _MOST_PIXELS:
        return f"run lengths of {size[0]} x {size[1]} pixels, more than the {_MOST_PIXELS} that evaluators can count"
    return None


def run_length_faults(masks: list) -> Iterator[tuple[int, str]]:
    """Place and fault of each of many run-length masks that is faulty in itself, by :func:`segmentation_fault`.

    The counts of all masks are decoded at once: a mask of a large set takes microseconds.
    """
    sizes = [mask.get("size") if isinstance(mask, dict) else None for mask in masks]
    counts = [mask.get("counts") if isinstance(mask, dict) else None for mask in masks]
    plain = [type(one) is bytes or type(one) is str and one.isascii() for one in counts]
    sized = [
        isinstance(size, list | tuple)
        and len(size) == 2
        and all(type(side) is int and 0 < side < 2**31 for side in size)
        for size in sizes
    ]
    usual = np.array(plain, bool) & np.array(sized, bool)
    rows = np.flatnonzero(usual)
    pixels = np.array([sizes[row][0] * sizes[row][1] for row in rows.tolist()], np.int64)
    joined = [counts[row].encode() if type(counts[row]) is str else counts[row] for row in rows.tolist()]
    suspicious = [
        _suspicious(joined[start : start + _AT_ONCE], pixels[start : start + _AT_ONCE])
        for start in range(0, len(joined), _AT_ONCE)
    ]
    suspects = np.concatenate([np.flatnonzero(~usual), rows[np.concatenate([np.zeros(0, bool), *suspicious])]])
    for row in np.sort(suspects).tolist():
        fault = segmentation_fault(masks[row], None)
        if fault:
            yield row, fault


def _suspicious(counts: list[bytes], pixels: np.ndarray) -> np.ndarray:
    """(n,) bool: masks whose compressed counts are not n runs from 0 on that sum up to ``pixels``."""
    lengths = np.array([len(one) for one in counts], np.int64)
    ends = np.cumsum(lengths)
    bad = lengths == 0
    if not ends.size or ends[-1] == 0:
        return bad
    bits = np.frombuffer(b"".join(counts), np.uint8).astype(np.int64) - 48
    mask_of_byte = np.repeat(np.arange(len(counts)), lengths)
    last = (bits & 32) == 0  # of a value
    bad[mask_of_byte[(bits < 0) | (bits > 63)]] = True
    bad[lengths > 0] |= ~last[ends[lengths > 0] - 1]
    first = np.r_[True, last[:-1]]
    starts = np.flatnonzero(first)
    place = np.arange(len(bits)) - np.repeat(starts, np.diff(np.r_[starts, len(bits)]))
    bad[mask_of_byte[place > 9]] = True  # beyond 50 bits
    shift = np.minimum(place, 9) * 5
    values = np.add.reduceat((bits & 31) << shift, starts)
    stops = np.r_[starts[1:], len(bits)] - 1
    values -= np.where(bits[stops] & 16, np.int64(1) << (shift[stops] + 5), 0)
    mask = mask_of_byte[starts]
    number = np.arange(len(values)) - np.r_[0, np.cumsum(np.bincount(mask, minlength=len(counts)))[:-1]][mask]
    runs = values.copy()
    for parity in ((number % 2 == 1), (number % 2 == 0) & (number > 0)):  # 1, 3, 5, ... and 2, 4, 6, ...: differences
        of_chain = np.flatnonzero(parity)
        if of_chain.size:
            total = np.cumsum(values[of_chain])
            begins = np.r_[True, mask[of_chain][1:] != mask[of_chain][:-1]]
            before = np.where(begins, total - values[of_chain], 0)
            runs[of_chain] = total - before[np.maximum.accumulate(np.where(begins, np.arange(len(total)), 0))]
    bad[mask[runs < 0]] = True
    return bad | (np.bincount(mask, runs, minlength=len(counts)).astype(np.int64) != pixels)


def are_finite(numbers) -> bool:
    """Whether all of a list are plain numbers, none of them NaN, infinite or beyond any picture."""
    return set(map(type, numbers)) <= {int, float} and -_BEYOND < sum(numbers) < _BEYOND


def plain_numbers(lists: list) -> np.ndarray | None:
    """The numbers of all lists, joined, float64; None where :func:`are_finite` would not hold for each."""
    numbers = list(chain.from_iterable(lists))
    if not {int, float}.issuperset(map(type, numbers)):
        return None
    try:
        joined = np.array(numbers, np.float64)
    except OverflowError:
        return None
    return joined if (np.abs(joined) < _BEYOND).all() else None  # NaN fails too


def are_plain_polygons(segmentations: list, farthest: float) -> bool:
    """Whether these lists are polygons in none of which :func:`segmentation_fault` finds a fault.

    Args:
        farthest: the least :func:`farthest_point` of their images, in px.
    """
    polygons = list(chain.from_iterable(segmentations))
    if not {list}.issuperset(map(type, polygons)):
        return False
    if any(size < 6 or size % 2 for size in set(map(len, polygons))):
        return False
    numbers = plain_numbers(polygons)
    return numbers is not None and bool((np.abs(numbers) <= farthest).all())


def _polygon_fault(polygons: list, farthest: float) -> str | None:
    if not polygons:
        return "no polygon"
    for polygon in polygons:
        if not isinstance(polygon, list | tuple) or len(polygon) < 6 or len(polygon) % 2:
            return f"a polygon that is not a list of x, y from three corners on: {polygon!r:.60}"
        if not are_finite(polygon):
            return f"a polygon with something else than finite numbers: {polygon!r:.60}"
        if max(map(abs, polygon)) > farthest:
            return f"a polygon with the coordinate {max(polygon, key=abs):.6g}, far from the image: {polygon!r:.60}"
    return None


def _runs(counts) -> list[int] | None:
    """The runs that a list, bytes or text of counts encodes; None if it encodes none."""
    if isinstance(counts, list):
        return counts if all(type(one) is int for one in counts) else None
    if isinstance(counts, str):
        if not counts.isascii():
            return None
        counts = counts.encode("ascii")
    if not isinstance(counts, bytes):
        return None
    runs: list[int] = []
    value, shift = 0, 0
    for byte in counts:  # five bits a character, the lowest first; bit 5: more follow; each run from the third on is
        bits = byte - 48  # given by its difference from the last but one
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if shift > 50:  # more than any image has pixels
            return None
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    return None if shift else runs
