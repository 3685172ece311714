"""One picture seen in several views, tiles and their mirror images, with what is found in them as one list.

Two boxes of different views are one object where they agree in what both views show: same class, IoU above a half of
their parts in the common rectangle. A box that the border of a tile cuts thus meets the whole one of the next tile, and
the halves of one that no tile holds meet each other. Of one view's boxes none goes: its detector has chosen among them.
Of whole pictures and mirror images this is the suppression that mmdet's ``DetTTAModel`` runs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..ops.window_grid import window_spans
from .detections import Detections
from .pictures import Picture

_SAME_IOU = 0.5
# A side nearer to a tile's border than this is cut by it: px, share of the tile.
_CUT_PX, _CUT_SHARE = 2.0, 0.01


class View(NamedTuple):
    """A rectangle of a picture in px, upright or mirrored left to right."""

    left: int
    top: int
    right: int
    bottom: int
    flipped: bool = False


@dataclass(frozen=True)
class Views:
    """Which views of a picture a detector is given.

    Args:
        tile: side of square tiles in px of the picture; None gives it whole. A picture that does not fit one tile is
            given whole as well, for objects larger than a tile.
        overlap: least share of a tile that its neighbour sees too, in [0, 1).
        flip: whether each view is given mirrored as well.

    Raises:
        InputError: a value out of range.
    """

    tile: int | None = None
    overlap: float = 0.2
    flip: bool = False

    def __post_init__(self) -> None:
        if self.tile is not None and (isinstance(self.tile, bool) or not isinstance(self.tile, int) or self.tile < 32):
            raise InputError(f"expected a tile of whole px from 32 on, got {self.tile!r}.")
        if isinstance(self.overlap, bool) or not 0 <= self.overlap < 1:
            raise InputError(f"expected an overlap of tiles from 0 to below 1, got {self.overlap!r}.")

    def of(self, size_hw: tuple[int, int]) -> list[View]:
        """Those of a picture of this size."""
        height, width = size_hw
        whole = View(0, 0, width, height)
        views = [whole]
        if self.tile is not None and max(size_hw) > self.tile:
            shared = int(np.ceil(self.overlap * self.tile))
            rows, columns = (window_spans(side, self.tile, min(shared, self.tile - 1)) for side in size_hw)
            tiles = (View(x.start, y.start, x.stop, y.stop) for y in rows for x in columns)
            views = [*tiles, whole]
        return [*views, *(one._replace(flipped=True) for one in views)] if self.flip else views


WHOLE = Views()


def found_in_views(
    pictures: Iterable[Picture], each: Callable[[Iterable[Picture]], Iterator[tuple[Picture, Any]]], views: Views
) -> Iterator[tuple[Picture, Any]]:
    """Each picture with what was found in all its views, or with the InputError that kept it from being read.

    Args:
        pictures: in any number; they are taken as they are needed.
        each: gives each of many pictures, in order, with its :class:`Detections`, or these by name. The views of all
            pictures pass through one call, so that those of equal size share a forward pass.
        views: which.
    """
    if views == WHOLE:
        yield from each(pictures)
        return
    waiting: deque[tuple[Picture, tuple[int, int], list[View] | InputError]] = deque()

    def seen() -> Iterator[Picture]:
        for picture in pictures:
            try:
                pixels = picture.bgr()
            except InputError as fault:
                waiting.append((picture, (0, 0), fault))
                continue
            chosen = views.of(pixels.shape[:2])
            waiting.append((picture, pixels.shape[:2], chosen))
            for view in chosen:
                yield Picture(None, _shown(pixels, view), picture.reader)

    collected: list[Any] = []
    for _, found in each(seen()):
        yield from _faults(waiting)
        collected.append(found)
        picture, size_hw, chosen = waiting[0]
        assert isinstance(chosen, list)  # what has a fault has been given out
        if len(collected) == len(chosen):
            waiting.popleft()
            yield picture, _merged(collected, chosen, picture, size_hw)
            collected = []
    yield from _faults(waiting)


def _faults(waiting: deque) -> Iterator[tuple[Picture, InputError]]:
    while waiting and isinstance(waiting[0][2], InputError):
        picture, _, fault = waiting.popleft()
        yield picture, fault


def _shown(pixels: np.ndarray, view: View) -> np.ndarray:
    part = pixels[view.top : view.bottom, view.left : view.right]
    return np.ascontiguousarray(part[:, ::-1] if view.flipped else part)


def _merged(found: Sequence[Any], views: Sequence[View], picture: Picture, size_hw: tuple[int, int]) -> Any:
    fault = next((one for one in found if isinstance(one, InputError)), None)
    if fault is not None:
        return fault
    if isinstance(found[0], Mapping):
        return {name: merge([one[name] for one in found], views, picture, size_hw) for name in found[0]}
    return merge(found, views, picture, size_hw)


def merge(
    found: Sequence[Detections], views: Sequence[View], picture: Picture | None, size_hw: tuple[int, int]
) -> Detections:
    """What was found in views of one picture as one list, best first, in px of the picture.

    Of boxes of one object the best uncut one stays, with the best score of all; where each is cut, their hull stays,
    with all their masks. What was found in one view alone stays as it is.

    Args:
        found: of each view, in its own px.
        views: one for each.
        picture, size_hw: the whole one.

    Raises:
        InputError: panoptic maps.
    """
    if any(one.panoptic is not None for one in found):
        raise InputError("expected a detector of boxes or masks for tiles and flips, got one with panoptic maps.")
    if len(views) == 1:
        return replace(found[0], picture=picture)
    boxes = np.concatenate([_in_picture(one.boxes_xyxy, view) for one, view in zip(found, views, strict=True)])
    scores, labels = (np.concatenate([getattr(one, key) for one in found]) for key in ("scores", "labels"))
    owners = np.repeat(np.arange(len(views)), [len(one) for one in found])
    regions = np.array([view[:4] for view in views], np.float64)[owners]
    cut = _cut_sides(boxes, regions, size_hw)
    groups = list(_objects(boxes, scores, labels, owners, regions, cut.any(axis=1)))
    best = np.array([scores[group].max() for group in groups])
    order = np.argsort(-best, kind="stable")
    groups = [groups[place] for place in order]
    kept = np.array([group[0] for group in groups], np.int64)
    masks = None
    if all(one.masks is not None for one in found):
        masks = np.zeros((len(groups), *size_hw), bool)
        firsts = np.cumsum([0, *(len(one) for one in found)])
        for mask, group in zip(masks, groups, strict=True):
            for one in group if cut[group[0]].any() else group[:1]:
                view = views[owners[one]]
                part = found[owners[one]].masks[one - firsts[owners[one]]]
                mask[view.top : view.bottom, view.left : view.right] |= part[:, ::-1] if view.flipped else part
    hulls = [_hull(boxes[group], cut[group[0]]) for group in groups]
    return replace(
        found[0],
        boxes_xyxy=np.array(hulls, found[0].boxes_xyxy.dtype).reshape(-1, 4),
        scores=best[order].astype(scores.dtype),
        labels=labels[kept],
        masks=masks,
        size_hw=size_hw,
        picture=picture,
    )


def _in_picture(boxes: np.ndarray, view: View) -> np.ndarray:
    """(N, 4) float64, from px of the view to px of the picture."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    if view.flipped:
        boxes[:, [0, 2]] = (view.right - view.left) - boxes[:, [2, 0]]
    return boxes + [view.left, view.top, view.left, view.top]


def _cut_sides(boxes: np.ndarray, regions: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(N, 4) bool: which sides lie on a border of their view that is none of the picture's."""
    height, width = size_hw
    inner = regions != [0, 0, width, height]
    sides = (regions[:, 2:] - regions[:, :2])[:, [0, 1, 0, 1]]
    return inner & (np.abs(boxes - regions) <= np.maximum(_CUT_PX, _CUT_SHARE * sides))


def _objects(boxes, scores, labels, owners, regions, is_cut) -> Iterator[np.ndarray]:
    """Indices of the boxes of each object, the one that stays first: uncut ones lead, best first."""
    free = np.ones(len(boxes), bool)
    for leader in np.lexsort((-scores, is_cut)):
        if not free[leader]:
            continue
        free[leader] = False
        group = [leader]
        for one in group:  # grows: halves of a cut object may meet through a third
            if one != leader and not (is_cut[leader] and is_cut[one]):
                continue
            rivals = np.flatnonzero(free & (labels == labels[one]) & (owners != owners[one]))
            a, b = _within(boxes[one], regions[rivals]), _within(boxes[rivals], regions[one])
            same = rivals[_iou(a, b) > _SAME_IOU]
            free[same] = False
            group.extend(same)
        yield np.array(group)


def _within(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(N, 4): boxes cut to rectangles."""
    low = np.maximum(boxes[..., :2], regions[..., :2])
    return np.concatenate([low, np.maximum(np.minimum(boxes[..., 2:], regions[..., 2:]), low)], axis=-1)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,): of boxes (N, 4) pair by pair; 0 where one is empty."""
    sizes = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (a, b, _within(a, b))]
    return sizes[2] / np.maximum(sizes[0] + sizes[1] - sizes[2], 1e-12)


def _hull(boxes: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """(4,): the first box, with the farthest sides of all where its own are cut."""
    farthest = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return np.where(cut, farthest, boxes[0])
