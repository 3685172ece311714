"""Support any input size: pad to a multiple, or run in windows of the only size that a network accepts.

A detector's images have any size. Most backbones accept that; some need multiples of their attention windows (HaloNet,
MaxViT), some only the size they were trained at (BEiT, CaiT, CoaT). The requirement is found by running on meta
tensors, as are the strides, for any family. Feature maps have H / stride x W / stride cells, rounded as the family
rounds. Where unpadded convolutions lose cells at the border (Inception), maps are zero-padded to stay spatially
aligned. A network that runs at no size is refused.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError
from ...ops.window_grid import window_spans
from .base import PROBE_SIZE_HW

# A second size, in neither direction a multiple of 64 or of 7 * 32, so that a network that runs accepts multiples of
# 32; and 224 px taller than the first, so that the difference gives the stride of patches of 14 px as well.
SECOND_SIZE_HW = (480, 352)
# Required by patches of 14 px, attention windows of 4, 7, 8 and 12 cells, and pooling of 3 patches.
_MULTIPLES = (14, 28, 48, 56, 64, 112, 128, 224, 256, 384)
# Largest own size, in px, beyond which trials go; larger ones are slow on real tensors.
_LARGEST_OWN = 448
# Cells that unpadded convolutions may lose along an axis.
_MOST_LOST_CELLS = 5
# Results of remembered().
_FOUND: dict = {}
# Errors that networks raise for an unsupported size.
_REFUSALS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError)


class ValuesNeeded(InputError):
    """The forward pass reads values of tensors, which meta tensors do not have."""


@dataclass(frozen=True)
class SizeRule:
    """How a network is run on images of any size.

    Attributes:
        multiple: height and width are padded to multiples of this, in px.
        window_hw: the only size (height, width) in px at which it runs; None for any size.
        fill: whether features may have fewer cells than ceil(H / stride).
    """

    multiple: int = 1
    window_hw: tuple[int, int] | None = None
    fill: bool = False

    @property
    def is_free(self) -> bool:
        """Whether any size is supported without changes."""
        return self == SizeRule()


@dataclass(frozen=True)
class Measured:
    """Stride (None for a feature that is not a map) and channels of all features in execution order; the size rule."""

    strides: tuple[int | None, ...]
    channels: tuple[int, ...]
    rule: SizeRule


def any_size(extract: Callable, strides: Sequence[int], rule: SizeRule) -> Callable:
    """`extract` if the network accepts any size, else :class:`AnySize` around it."""
    return extract if rule.is_free else AnySize(extract, tuple(strides), rule)


def remembered(key: tuple, find: Callable):
    """`find()`, cached, because building a detector measures its backbone several times.

    The global RNG state is restored, so that a second build in one process draws the same weights as the first.

    Args:
        key: (class or name, options). Not cached if the options are not plain values.
        find: computes the result; errors are not cached.
    """
    try:
        key = (key[0], json.dumps(key[1], sort_keys=True))
    except TypeError:
        key = None
    if key is None or key not in _FOUND:
        with torch.random.fork_rng(devices=[]):
            found = find()
        if key is None:
            return found
        _FOUND[key] = found
    return _FOUND[key]


def measure(
    run: Callable[[tuple[int, int]], list[tuple[int, ...]]], own_hw: tuple[int, int] | None, where: str
) -> Measured:
    """Strides and channels of a network, and the sizes that it accepts.

    Args:
        run: input size (height, width) in px -> shapes of all features, NCHW; raises for an unsupported size.
        own_hw: the size that the network was built for; None if unknown.
        where: name of the architecture, for the message.

    Raises:
        InputError: it runs at no size tried.
        ValuesNeeded: `run` uses meta tensors, and the network reads values.
    """
    own = max(own_hw) if own_hw else 224
    trials = [(PROBE_SIZE_HW, SECOND_SIZE_HW, 1)]
    for multiple in sorted({*_MULTIPLES, own}):
        beyond = min(own, _LARGEST_OWN) // multiple + 1  # position embeddings cover the own size only
        trials.append(
            ((beyond * multiple, (beyond + 1) * multiple), ((beyond + 2) * multiple, beyond * multiple), multiple)
        )
    refusals, measured = [], None
    for first_hw, second_hw, multiple in trials:
        try:
            shapes = [run(first_hw), run(second_hw)]
        except _REFUSALS as refusal:
            refusals.append(refusal)
            continue
        strides = [_stride(a, b, first_hw, second_hw) for a, b in zip(*shapes)]
        lost = any(s and _lost(shape, first_hw, s) for s, shape in zip(strides, shapes[0]))
        measured = Measured(tuple(strides), _channels(shapes[0]), SizeRule(multiple, fill=lost))
        if any(strides):
            return measured
        break  # it runs but returns no map of the image; another size would not help
    try:
        if own_hw is not None:
            shapes = run(own_hw)
            strides = _nested([_exact_stride(shape, own_hw) for shape in shapes])
            return Measured(strides, _channels(shapes), SizeRule(window_hw=own_hw))
    except _REFUSALS as refusal:
        refusals.append(refusal)
    unread = [refusal for refusal in refusals if "meta tensors" in str(refusal) or "'Meta' backend" in str(refusal)]
    if unread:
        raise ValuesNeeded(f"{where} could not be measured without values: {unread[0]}.")
    if measured is not None:
        return measured  # it runs, but has no map of the image
    raise InputError(
        f"{where} could not be measured at {PROBE_SIZE_HW}, multiples of "
        f"{sorted({*_MULTIPLES, own})} or {own_hw}: {refusals[0]}. Give its options (img_size=...) in "
        "model.backbone.body."
    ) from refusals[0]


@dataclass(frozen=True)
class AnySize:
    """Wraps an ``extract`` according to a :class:`SizeRule`.

    Attributes:
        extract: of the network.
        strides: of its features, ascending.
        rule: see :class:`SizeRule`.
    """

    extract: Callable[[nn.Module, Tensor], list[Tensor]]
    strides: tuple[int, ...]
    rule: SizeRule

    def __call__(self, module: nn.Module, images: Tensor) -> list[Tensor]:
        """One (N, C, H / stride, W / stride) per stride, for images (N, 3, H, W), normalised."""
        size_hw = tuple(images.shape[-2:])
        if self.rule.window_hw is not None:
            features = self._in_windows(module, images)
        else:
            padded = pad_to_multiple(images, self.rule.multiple)
            features = self.extract(module, padded)
            if self.rule.fill:
                features = [
                    _filled(feature, padded.shape[-2:], stride) for feature, stride in zip(features, self.strides)
                ]
        return [
            feature[:, :, : -(-size_hw[0] // stride), : -(-size_hw[1] // stride)]
            for feature, stride in zip(features, self.strides)
        ]

    def _in_windows(self, module: nn.Module, images: Tensor) -> list[Tensor]:
        """Maps of fixed-size windows, stitched; the last window of a row or column overlaps the previous one."""
        coarse = self.strides[-1]  # windows begin at whole cells of every feature
        window_hw = self.rule.window_hw
        images = pad_to_multiple(images, coarse)
        images = _pad(images, *(max(side, window) for side, window in zip(images.shape[-2:], window_hw)))
        rows, columns = (
            window_spans(side // coarse, window // coarse) for side, window in zip(images.shape[-2:], window_hw)
        )
        maps = [
            [
                self.extract(
                    module, images[:, :, r.start * coarse : r.stop * coarse, c.start * coarse : c.stop * coarse]
                )
                for c in columns
            ]
            for r in rows
        ]
        return [
            torch.cat(
                [
                    torch.cat([_kept(maps[i][j][level], r, c, coarse // stride) for j, c in enumerate(columns)], 3)
                    for i, r in enumerate(rows)
                ],
                2,
            )
            for level, stride in enumerate(self.strides)
        ]


def _kept(feature: Tensor, row, column, scale: int) -> Tensor:
    """The part of a window's map used in the stitched map; spans in cells of `scale` times the map's stride."""
    return feature[
        :,
        :,
        (row.keep_start - row.start) * scale : (row.keep_stop - row.start) * scale,
        (column.keep_start - column.start) * scale : (column.keep_stop - column.start) * scale,
    ]


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Pad right and bottom with zeros to a multiple of `multiple` px."""
    return _pad(images, *(side + -side % multiple for side in images.shape[-2:]))


def _pad(images: Tensor, height: int, width: int) -> Tensor:
    """Pad right and bottom with zeros, which are the mean colour."""
    bottom, right = height - images.shape[-2], width - images.shape[-1]
    return F.pad(images, (0, right, 0, bottom)) if bottom or right else images


def _filled(feature: Tensor, size_hw, stride: int) -> Tensor:
    """Zero-pad missing cells, half on either side, since an unpadded convolution loses them on both."""
    down, across = (max(-(-side // stride) - cells, 0) for side, cells in zip(size_hw, feature.shape[-2:]))
    return F.pad(feature, (across // 2, across - across // 2, down // 2, down - down // 2))


def _channels(shapes) -> tuple[int, ...]:
    return tuple(shape[1] if len(shape) == 4 else 0 for shape in shapes)


def _stride(first, second, first_hw, second_hw) -> int | None:
    """Stride of a feature from its shapes at two sizes; None for what is not a map of the image."""
    if len(first) != 4 or len(second) != 4:
        return None
    exact = _exact_stride(first, first_hw)
    grown = abs(first[2] - second[2])
    stride = exact or (round(abs(first_hw[0] - second_hw[0]) / grown) if grown else None)
    fits = stride and all(
        0 <= -(-side // stride) - cells <= _MOST_LOST_CELLS
        for shape, size_hw in ((first, first_hw), (second, second_hw))
        for side, cells in zip(size_hw, shape[2:])
    )
    return stride if fits else None


def _nested(strides) -> tuple[int | None, ...]:
    """`strides` without those that are no multiple of the next finer one, as windows must begin at whole cells of all.

    Such a stride is an artefact of rounding: 4 cells for 224 px are 3.5 cells of stride 64, rounded up.
    """
    kept = []
    for stride in sorted({s for s in strides if s}):
        if not kept or stride % kept[-1] == 0:
            kept.append(stride)
    return tuple(s if s in kept else None for s in strides)


def _exact_stride(shape, size_hw) -> int | None:
    if len(shape) != 4 or any(side % cells for side, cells in zip(size_hw, shape[2:])):
        return None
    down, across = (side // cells for side, cells in zip(size_hw, shape[2:]))
    return down if down == across else None


def _lost(shape, size_hw, stride: int) -> bool:
    """Whether more cells are missing than by rounding down."""
    return any(side // stride > cells for side, cells in zip(size_hw, shape[2:]))
