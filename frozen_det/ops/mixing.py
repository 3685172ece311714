"""Batch mixing as arithmetic: CutMix, Mixup and Cutout on the tensors' device, from one explicit draw.

A batch has one mixing ratio, one box and one random permutation of partners. The label weight is the
pasted share of pixels after the box is clipped at the borders. Random numbers come from a CPU generator as Python
numbers, and partners are copied to a GPU without blocking, so nothing synchronises with the device.

Sources: CutMix (arXiv 1905.04899, eq. 1 and 2, algorithm A1 and the authors' code, whose truncation of the box's sides
is kept); Mixup (arXiv 1710.09412, eq. 1); Cutout (arXiv 1708.04552, section 3.2: a hole may lie partly outside).
Difference: the authors' code pastes `2 * (side // 2)` pixels, here it is `side`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Mixed:
    """A mixed batch and its labels.

    Attributes:
        images: (N, 3, H, W), the mixed images; the unmixed input if a feature map was mixed.
        labels_a: (N,) int64, classes of the images.
        labels_b: (N,) int64, classes of their partners.
        lam: weight of ``labels_a`` in [0, 1]; ``labels_b`` weighs ``1 - lam``. 1.0 for a batch that was not mixed.
    """

    images: Tensor
    labels_a: Tensor
    labels_b: Tensor
    lam: float


@dataclass(frozen=True)
class MixingDraw:
    """The random part of one mixing, independent of the size of what is mixed.

    Attributes:
        lam: share of each image that is kept, in [0, 1], before a box is clipped.
        centre_uv: centre of the box as shares of width and height, in [0, 1).
        partners: (N,) int64 on the CPU, a permutation: image i is mixed with image ``partners[i]``.
    """

    lam: float
    centre_uv: tuple[float, float]
    partners: Tensor


def draw_mixing(
    num_images: int, alpha: float, generator: torch.Generator | None = None, centre_spread: float | None = None
) -> MixingDraw:
    """Draw a ratio, a centre and partners.

    Args:
        num_images: images in the batch.
        alpha: lam is drawn from Beta(alpha, alpha); above 0.
        generator: a CPU generator; None for torch's default.
        centre_spread: None for centres uniform over the image (the paper); else the standard deviation, as a share of
            the side, of a normal distribution around the middle, clipped to the image (the paper's centre-Gaussian).
    """
    if alpha <= 0:
        raise InputError(f"expected alpha above 0 for Beta(alpha, alpha), got {alpha}.")
    lam = _beta(alpha, generator)
    if centre_spread is None:
        centre = torch.rand(2, generator=generator, dtype=torch.float64)
    else:
        centre = 0.5 + centre_spread * torch.randn(2, generator=generator, dtype=torch.float64)
    u, v = centre.clamp_(0, math.nextafter(1, 0)).tolist()
    return MixingDraw(lam, (u, v), torch.randperm(num_images, generator=generator))


def cutmix(
    images: Tensor, labels: Tensor, alpha: float = 1.0, generator: torch.Generator | None = None, in_place: bool = False
) -> Mixed:
    """CutMix of a batch as in the paper; see :func:`draw_mixing` and :func:`cutmix_drawn`.

    Args:
        images: (N, C, H, W), any type.
        labels: (N,) int64 on the images' device.
        alpha: of the Beta distribution; the paper uses 1.0 throughout.
        generator: a CPU generator.
        in_place: write into ``images`` instead of a copy.
    """
    draw = draw_mixing(len(images), alpha, generator)
    mixed, lam = cutmix_drawn(images, draw, in_place=in_place)
    return Mixed(mixed, labels, partner_labels(labels, draw.partners), lam)


def mixup(
    images: Tensor, labels: Tensor, alpha: float = 1.0, generator: torch.Generator | None = None, in_place: bool = False
) -> Mixed:
    """Mixup of a batch; arguments as for :func:`cutmix`. uint8 images are rounded to whole levels."""
    draw = draw_mixing(len(images), alpha, generator)
    return Mixed(mixup_drawn(images, draw, in_place), labels, partner_labels(labels, draw.partners), draw.lam)


def cutout(
    images: Tensor, size_px: int, generator: torch.Generator | None = None, fill: float = 0.0, in_place: bool = False
) -> Tensor:
    """Erase a square hole from every image, at independent positions.

    Args:
        images: (N, C, H, W), any type; normalised ones for a hole of the mean colour.
        size_px: side of the hole, 1 or more. It is centred on a uniform pixel and clipped at the borders.
        generator: a CPU generator.
        fill: value inside the hole.
        in_place: write into ``images`` instead of a copy.

    Returns:
        (N, C, H, W).
    """
    if size_px < 1:
        raise InputError(f"expected a hole of 1 px or more, got {size_px}.")
    centres_uv = torch.rand(len(images), 2, generator=generator, dtype=torch.float64).tolist()
    boxes_xyxy = [clipped_box(images.shape[-2:], centre, (size_px, size_px)) for centre in centres_uv]
    return erase_boxes(images if in_place else images.clone(), boxes_xyxy, fill)


def clipped_box(size_hw, centre_uv, cut_hw) -> tuple[int, int, int, int]:
    """A box of whole pixels around a pixel, clipped at the borders.

    Args:
        size_hw: height and width of the image, at least 1.
        centre_uv: shares of width and height in [0, 1); the pixel they fall on is the centre.
        cut_hw: height and width before clipping, at least 0.

    Returns:
        (x1, y1, x2, y2) with 0 <= x1 <= x2 <= width; before clipping exactly ``cut_hw`` large.
    """
    (height, width), (cut_h, cut_w) = size_hw, cut_hw
    left, top = int(centre_uv[0] * width) - cut_w // 2, int(centre_uv[1] * height) - cut_h // 2
    return max(left, 0), max(top, 0), min(left + cut_w, width), min(top + cut_h, height)


def cutmix_box(size_hw, draw: MixingDraw) -> tuple[int, int, int, int]:
    """The box of a draw: the image's own aspect ratio, ``1 - lam`` of its area before clipping (eq. 2)."""
    ratio = math.sqrt(1 - draw.lam)
    return clipped_box(size_hw, draw.centre_uv, (int(size_hw[0] * ratio), int(size_hw[1] * ratio)))


def kept_share(size_hw, box_xyxy) -> float:
    """The share of pixels outside a box, in [0, 1]: lam after clipping."""
    x1, y1, x2, y2 = box_xyxy
    return 1 - (x2 - x1) * (y2 - y1) / (size_hw[0] * size_hw[1])


def cutmix_drawn(
    maps: Tensor, draw: MixingDraw, cut_hw: tuple[int, int] | None = None, in_place: bool = False
) -> tuple[Tensor, float]:
    """Paste each partner's pixels of one box, at the same place.

    Args:
        maps: (N, C, H, W), images or feature maps of any type.
        draw: the random part, for N images.
        cut_hw: size of the box before clipping; None: from ``draw.lam``.
        in_place: write into ``maps``. Only the box is touched then.

    Returns:
        (N, C, H, W) and lam: the share of pixels that was kept.
    """
    size_hw = maps.shape[-2:]
    box_xyxy = cutmix_box(size_hw, draw) if cut_hw is None else clipped_box(size_hw, draw.centre_uv, cut_hw)
    return paste_partners(maps, draw.partners, box_xyxy, in_place), kept_share(size_hw, box_xyxy)


def mixup_drawn(maps: Tensor, draw: MixingDraw, in_place: bool = False) -> Tensor:
    """``lam * map + (1 - lam) * partner's map``; (N, ...) of any type, rounded for integer types."""
    partners, weight = draw.partners, 1 - draw.lam
    if weight == 0:
        return maps if in_place else maps.clone()
    if _map_by_map(maps):
        return _each(maps, partners, lambda own, other: _lerp_(own, other, weight), in_place)
    others = maps.index_select(0, partners_on(maps.device, partners))
    if maps.is_floating_point():
        return maps.lerp_(others, weight) if in_place else torch.lerp(maps, others, weight)
    return _lerp_(maps if in_place else maps.clone(), others, weight)


def paste_partners(maps: Tensor, partners: Tensor, box_xyxy, in_place: bool = False) -> Tensor:
    """Give each map its partner's pixels inside one box. The sources are the maps as they came in.

    Args:
        maps: (N, C, H, W).
        partners: (N,) int64 on the CPU, a permutation.
        box_xyxy: whole pixels; may be empty.
        in_place: write into ``maps``. On a CPU a single map is then buffered, not all.

    Returns:
        (N, C, H, W).
    """
    x1, y1, x2, y2 = box_xyxy
    if x1 >= x2 or y1 >= y2:
        return maps if in_place else maps.clone()
    if _map_by_map(maps):
        return _each(maps, partners, Tensor.copy_, in_place, (..., slice(y1, y2), slice(x1, x2)))
    source = maps[..., y1:y2, x1:x2].index_select(0, partners_on(maps.device, partners))
    mixed = maps if in_place else maps.clone()
    mixed[..., y1:y2, x1:x2] = source
    return mixed


def erase_boxes(images: Tensor, boxes_xyxy, fill: float = 0.0) -> Tensor:
    """Fill one box per image, in place: (N, C, H, W) and N boxes of whole pixels."""
    if images.device.type == "cpu":
        for image, (x1, y1, x2, y2) in zip(images.unbind(0), boxes_xyxy):
            image[:, y1:y2, x1:x2] = fill
        return images
    return images.masked_fill_(_inside_boxes(images, boxes_xyxy), fill)


def partners_on(device: torch.device, partners: Tensor) -> Tensor:
    """A CPU tensor on a device; to a GPU from pinned memory, so that the CPU does not wait."""
    if device.type != "cuda":
        return partners.to(device)
    return partners.pin_memory().to(device, non_blocking=True)


def partner_labels(labels: Tensor, partners: Tensor) -> Tensor:
    """(N,) labels of the partners, on the labels' device."""
    return labels.index_select(0, partners_on(labels.device, partners))


def soft_targets(
    labels_a: Tensor, labels_b: Tensor, lam: float, num_classes: int, label_smoothing: float = 0.0
) -> Tensor:
    """(N, num_classes) float32: ``lam`` at ``labels_a`` plus ``1 - lam`` at ``labels_b``, rows summing to 1.

    With ``label_smoothing`` eps it is ``(1 - eps) * targets + eps / num_classes``, as in PyTorch's cross entropy.
    """
    targets = torch.full(
        (len(labels_a), num_classes), label_smoothing / num_classes, dtype=torch.float32, device=labels_a.device
    )
    weight = 1 - label_smoothing
    # Two steps of one element per row: a single step with both would add in undefined order on a GPU.
    targets.scatter_add_(1, labels_a[:, None], targets.new_full((len(labels_a), 1), weight * lam))
    return targets.scatter_add_(1, labels_b[:, None], targets.new_full((len(labels_b), 1), weight * (1 - lam)))


def _beta(alpha: float, generator: torch.Generator | None) -> float:
    """From Beta(alpha, alpha) by numpy, seeded from the generator (torch's public one takes no generator)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _map_by_map(maps: Tensor) -> bool:
    """Whether to mix map by map: on a CPU, for its caches; not on a GPU, nor if autograd records."""
    return maps.device.type == "cpu" and not (maps.requires_grad and torch.is_grad_enabled())


def _each(
    maps: Tensor, partners: Tensor, write: Callable[[Tensor, Tensor], object], in_place: bool, part=...
) -> Tensor:
    """Call ``write(mixed[i], maps[partners[i]])`` for all i, on a part of each map; mixed[i] is map i or a copy.

    In place, the order is that of the permutation's cycles: no map is read after it was written, one map per cycle
    is buffered, and each is written right after it was read, while it is still in the processor's cache.
    """
    sources = maps[part].unbind(0)
    if not in_place:
        mixed = maps.clone()
        for target, other in zip(mixed[part].unbind(0), partners.tolist()):
            write(target, sources[other])
        return mixed
    for cycle in _cycles(partners.tolist()):
        first = sources[cycle[0]].clone()
        for own, other in zip(cycle, cycle[1:]):
            write(sources[own], sources[other])
        write(sources[cycle[-1]], first)
    return maps


def _cycles(partners: list[int]) -> Iterator[list[int]]:
    """The cycles of a permutation. Those of one element are left out: a map mixed with itself is unchanged."""
    seen = [False] * len(partners)
    for start in range(len(partners)):
        cycle, index = [], start
        while not seen[index]:
            seen[index] = True
            cycle.append(index)
            index = partners[index]
        assert index == start, "partners are not a permutation"
        if len(cycle) > 1:
            yield cycle


def _lerp_(own: Tensor, other: Tensor, weight: float) -> Tensor:
    """``own += weight * (other - own)``, in place; integers are mixed in float32 and rounded to nearest."""
    if own.is_floating_point():
        return own.lerp_(other, weight)
    return own.copy_(torch.lerp(own.float(), other.float(), weight).round_())


def _inside_boxes(images: Tensor, boxes_xyxy) -> Tensor:
    """(N, 1, H, W) bool on the images' device: whether a pixel lies in its image's box."""
    boxes = partners_on(images.device, torch.tensor(boxes_xyxy, dtype=torch.int64).reshape(-1, 4))
    left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    inside_y, inside_x = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    return (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
