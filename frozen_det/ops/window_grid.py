"""Split an axis into windows of equal size, with the part of each window that is used in the stitched result.

Integer arithmetic on cells, without tensors.
"""

from typing import NamedTuple


class WindowSpan(NamedTuple):
    """A window along one axis, in cells: reads [start, stop) and contributes [keep_start, keep_stop)."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def window_spans(length: int, size: int, overlap: int = 0) -> list[WindowSpan]:
    """Windows that cover ``length`` cells, in order.

    All have ``size`` cells (or ``length``, where that is less) and neighbours share at least ``overlap``: they start
    every ``size - overlap`` cells, but the last one ends where the axis ends. Of the cells that two neighbours
    share, each contributes the half nearer to its centre, so the used parts have neither gaps nor overlap, and every
    cell has at least ``overlap // 2`` cells of context on either side, except at the ends of the axis.

    Args:
        length: cells of the axis, at least 1.
        size: cells of a window, above ``overlap``.
        overlap: least number of cells that neighbours share, 0 or more.
    """
    assert length >= 1 and 0 <= overlap < size, (length, size, overlap)
    if length <= size:
        return [WindowSpan(0, length, 0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    borders = [0, *((a + size + b) // 2 for a, b in zip(starts, starts[1:])), length]
    return [WindowSpan(start, start + size, low, high) for start, low, high in zip(starts, borders, borders[1:])]
