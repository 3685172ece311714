"""Cutting a length into windows of one size, and which part of each window a stitched result keeps.

Pure arithmetic on whole cells; nothing here touches tensors.
"""

from typing import NamedTuple


class WindowSpan(NamedTuple):
    """A window along one axis, in cells: it reads [start, stop) and gives [keep_start, keep_stop) to the result."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def window_spans(length: int, size: int, overlap: int = 0) -> list[WindowSpan]:
    """Windows that cover ``length`` cells, in order.

    All have ``size`` cells (or ``length``, where that is less) and neighbours share at least ``overlap``: they start
    every ``size - overlap`` cells, but the last one ends where the axis ends. Of what two neighbours share, each
    gives the half that is nearer to its own middle, so the kept parts follow one another without gap or overlap and
    every cell has at least ``overlap // 2`` cells of context on either side, or ends the axis.

    Args:
        length: cells of the axis, at least 1.
        size: cells of a window, above ``overlap``.
        overlap: cells that neighbours share at least, 0 or more.
    """
    assert length >= 1 and 0 <= overlap < size, (length, size, overlap)
    if length <= size:
        return [WindowSpan(0, length, 0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    borders = [0, *((a + size + b) // 2 for a, b in zip(starts, starts[1:])), length]
    return [WindowSpan(start, start + size, low, high) for start, low, high in zip(starts, borders, borders[1:])]
