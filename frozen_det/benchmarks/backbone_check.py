"""One backbone checked by running it: strides, channels, sizes, and that frozen is frozen. It reports and never raises.

A backbone passes if, at random weights and through :class:`FrozenBackbone`, it runs at two sizes of which one is not
square, gives the strides and channels that it declares, channels first and finite, and neither training mode nor the
rest of the batch changes anything.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.backbone_sources.build import body_strides
from ..models.backbone_sources.input_size import AnySize, SizeRule
from ..models.backbones.frozen_backbone import FrozenBackbone

# A detector's images have any size: one square as in classification, one that is not.
SIZES_HW = ((224, 224), (256, 320))
PASSED, FAILED, NO_MAP, TOO_LARGE = "passed", "failed", "no map", "too large"
# Of the largest value: kernels may sum in another order where the rest of the batch differs.
_TOLERANCE = 1e-5


class ContractViolation(Exception):
    """What a backbone declares and does not do, or what a frozen detector must not do."""


def check_body(cfg: dict, sizes_hw: Sequence[tuple[int, int]] = SIZES_HW, seed: int = 0) -> dict:
    """Build a backbone at random weights, freeze it, run it, and compare.

    Args:
        cfg: as of :func:`frozen_det.models.backbone_sources.build.build_body`.
        sizes_hw: input sizes (height, width) in px.
        seed: of the weights and of the images.

    Returns:
        ``status`` (:data:`PASSED`, :data:`FAILED` or :data:`NO_MAP`), ``strides``, ``channels``, ``millions`` (of
        parameters), ``sizes`` (how it takes any size, as text), ``reason`` (empty where it passed), ``seconds``.
    """
    start = time.perf_counter()
    row = dict(status=FAILED, strides=(), channels=(), millions=None, sizes="", reason="")
    torch.manual_seed(seed)
    try:
        row["strides"] = body_strides(cfg)
        if row["strides"]:
            backbone = FrozenBackbone(dict(cfg), weights="random", strides=row["strides"], freeze=True)
            row["channels"] = tuple(backbone.channels)
            row["millions"] = sum(p.numel() for p in backbone.parameters()) / 1e6
            row["sizes"] = in_words(rule_of(backbone))
            check_backbone(backbone, sizes_hw, seed)
            row["status"] = PASSED
        else:
            row.update(status=NO_MAP, reason="none of its features is a map of the image")
    except Exception as error:  # whatever it is, it is this backbone's row, and the sweep continues
        row["reason"] = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")[:300]
    return row | dict(seconds=round(time.perf_counter() - start, 2))


def check_backbone(backbone: FrozenBackbone, sizes_hw: Sequence[tuple[int, int]], seed: int = 0) -> None:
    """Run a frozen backbone on noise, two images at each size, in training mode.

    Raises:
        ContractViolation: it is not what it declares, or not frozen.
    """
    backbone.train()
    _require_frozen(backbone)
    before = backbone.frozen_fingerprint()
    generator = torch.Generator().manual_seed(seed)
    for size_hw in sizes_hw:
        images = torch.randn(2, 3, *size_hw, generator=generator)
        features = backbone(images)
        _require_declared(features, backbone, size_hw)
        if size_hw == sizes_hw[0]:
            _require_independent(features, backbone, images, generator)
    changed = before.first_difference(backbone.frozen_fingerprint())
    if changed is not None:
        raise ContractViolation(f"a forward pass in training mode changed {changed}")


def rule_of(backbone: FrozenBackbone) -> SizeRule:
    """How the backbone takes images of any size."""
    extract = backbone._built.extract
    return extract.rule if isinstance(extract, AnySize) else SizeRule()


def in_words(rule: SizeRule) -> str:
    """A rule for the table."""
    if rule.window_hw is not None:
        return f"windows of {rule.window_hw[0]}x{rule.window_hw[1]}"
    words = ["any"] if rule.multiple == 1 else [f"padded to multiples of {rule.multiple}"]
    return ", ".join(words + (["border filled"] if rule.fill else []))


def _require_frozen(backbone: FrozenBackbone) -> None:
    trained = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    if trained:
        raise ContractViolation(f"{len(trained)} parameters would get a gradient, the first is {trained[0]}")
    awake = [name for name, module in backbone.body.named_modules() if module.training]
    if awake:
        raise ContractViolation(f"{len(awake)} modules are in training mode, the first is {awake[0] or 'the backbone'}")


def _require_declared(features: Sequence[Tensor], backbone: FrozenBackbone, size_hw) -> None:
    at = f"at {size_hw[0]}x{size_hw[1]}"
    if len(features) != len(backbone.strides):
        raise ContractViolation(f"{len(features)} features for {len(backbone.strides)} strides {at}")
    for feature, stride, channels in zip(features, backbone.strides, backbone.channels):
        shape = tuple(feature.shape)
        # A family may round up or down where the stride does not divide the size.
        fits = (
            len(shape) == 4
            and shape[:2] == (2, channels)
            and all(side // stride <= cells <= -(-side // stride) for side, cells in zip(size_hw, shape[2:]))
        )
        if not fits:
            raise ContractViolation(f"declared {channels} channels at stride {stride}, got the shape {shape} {at}")
        if not torch.isfinite(feature).all():
            raise ContractViolation(f"values that are not finite at stride {stride} {at}")
        if feature.requires_grad or feature.grad_fn is not None:
            raise ContractViolation(f"the feature of stride {stride} has autograd history")


def _require_independent(features: Sequence[Tensor], backbone: FrozenBackbone, images: Tensor, generator) -> None:
    """The first image's features do not depend on the second image, as batch statistics would make them."""
    other = images.clone()
    other[1] = 3 * torch.randn(images.shape[1:], generator=generator) + 1
    for feature, again, stride in zip(features, backbone(other), backbone.strides):
        difference = (feature[0] - again[0]).abs().max() / feature[0].abs().max().clamp(min=1e-12)
        if difference > _TOLERANCE:
            raise ContractViolation(
                f"the rest of the batch changes an image's features of stride {stride} by "
                f"{difference:.1g} of the largest"
            )
