"""Plain vision transformers of timm: one map of one stride, from any blocks, at any size, whole or in windows.

The map holds patch tokens only (no class or register tokens) and has ceil(H / stride) x ceil(W / stride) cells for an
image of any H x W. Position embeddings are interpolated by timm from the grid of the weights. Strides far from the
patch size, blocks that do not exist, and weights of another grid are errors; the last one names the `img_size` to set.

Four keys of `body` besides timm's, for plain ViTs only:

- ``taps``: indices of the selected blocks (intermediate layers), ascending, negative from the end; None is the last.
  Blocks after the last selected one are pruned.
- ``tap_fusion``: 'concat' (channels of the selected layers, in order of depth) or 'mean'.
- ``tap_norm``: whether the model's final norm is applied to every selected layer. False as in ViTDet (arXiv
  2203.16527), whose pyramid has its own norms; True as in the dense evaluations of DINOv2 and DINOv3.
- ``window``: ``dict(size=512, overlap=64)`` in pixels of the input image: larger images are split into windows. Each
  runs separately with the position embeddings of an image of its size, and the maps are stitched at the middle of
  the overlaps. The cost of attention is then proportional to the area. Images that fit in a window are not split.

Models with patches of 14 px also support stride 16: the image is resized by 14 / 16, bicubic with antialiasing, as in
the training of these weights. The alternative, a resampled patch kernel (FlexiViT, arXiv 2212.08013), would change the
weights, and with them the digest of the frozen part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import InputError, closest
from ...ops.window_grid import window_spans
from .base import PROBE_SIZE_HW
from .input_size import pad_to_multiple

PLAIN_VIT_OPTIONS = ("taps", "tap_fusion", "tap_norm", "window")

# Largest factor by which an image is resized to reach a stride; beyond it, object sizes differ too much from training.
_LARGEST_RESIZE = 1.5


@dataclass(frozen=True)
class PlainViTFeatures:
    """``extract`` of a plain ViT, without a reference to the module, so that it can be copied.

    Attributes:
        taps: indices of the selected blocks, ascending, 0 or more.
        patch: side of the patches in pixels of the (resized) image that the transformer receives.
        stride: side of a cell in pixels of the input image.
        fusion, norm: see the module's docstring.
        window_hw, overlap: of the windows, in cells; None and 0 without.
    """

    taps: tuple[int, ...]
    patch: int
    stride: int
    fusion: str = "concat"
    norm: bool = False
    window_hw: tuple[int, int] | None = None
    overlap: int = 0

    def __call__(self, module: nn.Module, images: Tensor) -> list[Tensor]:
        """[(N, C, ceil(H / stride), ceil(W / stride))] for images (N, 3, H, W), normalised: zero is the mean colour."""
        images = pad_to_multiple(images, self.stride)
        size_hw = [side // self.stride for side in images.shape[-2:]]  # in cells
        if self.patch != self.stride:
            images = F.interpolate(images, size=[side * self.patch for side in size_hw], mode="bicubic", antialias=True)
        if self.window_hw is None:
            return [self._map(module, images)]
        rows, columns = (window_spans(length, size, self.overlap) for length, size in zip(size_hw, self.window_hw))
        return [
            torch.cat(
                [torch.cat([self._kept(module, images, row, column) for column in columns], 3) for row in rows], 2
            )
        ]

    def _map(self, module: nn.Module, images: Tensor) -> Tensor:
        maps = module.forward_intermediates(
            images, indices=list(self.taps), norm=self.norm, intermediates_only=True, output_fmt="NCHW"
        )  # without prefix tokens
        if len(maps) == 1:
            return maps[0]
        return torch.cat(maps, 1) if self.fusion == "concat" else torch.stack(maps).mean(0)

    def _kept(self, module: nn.Module, images: Tensor, row, column) -> Tensor:
        """The part of one window's map used in the stitched map."""
        patch = self.patch
        inside = self._map(
            module, images[:, :, row.start * patch : row.stop * patch, column.start * patch : column.stop * patch]
        )
        return inside[
            :,
            :,
            row.keep_start - row.start : row.keep_stop - row.start,
            column.keep_start - column.start : column.keep_stop - column.start,
        ]


def is_plain_vit(module: nn.Module) -> bool:
    """Whether a timm model is a stack of blocks on square patches that takes images of any size."""
    embed = getattr(module, "patch_embed", None)
    if not getattr(module, "dynamic_img_size", False) or not isinstance(getattr(module, "blocks", None), nn.Module):
        return False
    return hasattr(embed, "feat_ratio") and len(set(embed.feat_ratio(as_scalar=False))) == 1


def split_options(options: dict) -> tuple[dict, dict]:
    """Split options into those of :data:`PLAIN_VIT_OPTIONS` and those of timm."""
    own = {key: value for key, value in options.items() if key in PLAIN_VIT_OPTIONS}
    return own, {key: value for key, value in options.items() if key not in own}


def refuse_options(own: dict, where: str) -> None:
    """Raise for options of plain ViTs that were given to another model.

    Raises:
        InputError: any are given.
    """
    if own:
        raise InputError(
            f"expected {sorted(own)} in model.backbone.body for plain vision transformers only, got them "
            f"for {where}, which is not one (or has dynamic_img_size=False). Leave them out."
        )


def plain_vit_features(full: nn.Module, own: dict, strides: Sequence[int], where: str) -> PlainViTFeatures:
    """The extractor described by a config.

    Args:
        full: the whole model, may be on meta tensors.
        own: the options of :data:`PLAIN_VIT_OPTIONS`.
        strides: wanted strides: exactly one.
        where: name of the architecture, for messages.

    Raises:
        InputError: several strides, one far from the patch size, or an option that does not fit the model.
    """
    patch = full.patch_embed.feat_ratio()
    stride = _one_stride(strides, patch, where)
    fusion, norm = own.get("tap_fusion", "concat"), own.get("tap_norm", False)
    if fusion not in ("concat", "mean"):
        raise InputError(f"expected tap_fusion 'concat' or 'mean' in model.backbone.body, got {fusion!r}.")
    if norm not in (True, False):
        raise InputError(f"expected tap_norm True or False in model.backbone.body, got {norm!r}.")
    if norm and isinstance(getattr(full, "norm", None), (nn.Identity, type(None))):
        raise InputError(
            f"expected tap_norm=False in model.backbone.body: {where} has no final norm (it norms what it "
            "has pooled). Leave tap_norm out."
        )
    taps = _block_indices(own.get("taps"), len(full.blocks), where)
    features = PlainViTFeatures(taps, patch, stride, fusion, norm)
    if own.get("window") is None:
        return features
    size_hw, overlap = _window(own["window"], stride)
    return replace(features, window_hw=size_hw, overlap=overlap)


def measured_channels(full: nn.Module, device: str, features: PlainViTFeatures, where: str) -> int:
    """Channels of the map, by one run on meta tensors.

    Raises:
        InputError: the model does not run.
    """
    whole = replace(features, window_hw=None)  # windows do not change the channels, and are slower
    try:
        with torch.no_grad():
            shape = whole(full.eval(), torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))[0].shape
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{where} could not be measured at {PROBE_SIZE_HW}: {error}. Give its options "
            "(img_size=...) in model.backbone.body."
        ) from error
    assert tuple(shape[2:]) == tuple(-(-side // features.stride) for side in PROBE_SIZE_HW), (where, shape)
    return shape[1]


def refuse_other_grid(module: nn.Module, state: dict, where: str) -> None:
    """Raise if a file's position embeddings were trained on another grid than the model's.

    timm would resample them on loading. The frozen weights would then differ from the file, and position embeddings
    for other image sizes would be resampled twice.

    Args:
        module: the model.
        state: the file's tensors, under their own names.
        where: the file, for the message.

    Raises:
        InputError: the grids differ; the message gives the `img_size` to set.
    """
    theirs = state.get("pos_embed", state.get("visual.positional_embedding"))
    ours = getattr(module, "pos_embed", None)
    if ours is None or theirs is None or theirs.dim() not in (2, 3) or not is_plain_vit(module):
        return
    tokens, grid_hw = theirs.shape[-2], tuple(module.patch_embed.grid_size)
    # With or without entries for class and register tokens; at most one of these counts is a square.
    sides = [
        math.isqrt(tokens - prefix)
        for prefix in {0, 1, module.num_prefix_tokens}
        if tokens > prefix and math.isqrt(tokens - prefix) ** 2 == tokens - prefix
    ]
    if not sides or math.prod(grid_hw) in {tokens - prefix for prefix in {0, 1, module.num_prefix_tokens}}:
        return
    patch = module.patch_embed.feat_ratio()
    raise InputError(
        f"{where} holds position embeddings of {sides[0]} x {sides[0]} patches, the model has {grid_hw[0]} "
        f"x {grid_hw[1]}. Set img_size={sides[0] * patch} in model.backbone.body: images of any size "
        "are still accepted, and the weights are loaded unchanged."
    )


def _one_stride(strides: Sequence[int], patch: int, where: str) -> int:
    reachable = [patch] + ([s for s in (8, 16, 32) if patch & (patch - 1) and _near(s, patch)])
    if len(strides) == 1 and strides[0] in reachable:
        return strides[0]
    choices = " or ".join(f"({s},)" for s in reachable)
    raise InputError(
        f"expected features at strides {tuple(strides)} (model.backbone.strides), but {where} has strides ({patch},). "
        f"All its features have one stride, as in plain vision transformers; ask for {choices} alone and let "
        "model.neck=dict(type='frozen_det.SimpleFeaturePyramid') make the others."
    )


def _near(stride: int, patch: int) -> bool:
    return max(stride, patch) / min(stride, patch) <= _LARGEST_RESIZE


def _block_indices(taps, num_blocks: int, where: str) -> tuple[int, ...]:
    """Indices from 0, ascending."""
    if taps is None:
        return (num_blocks - 1,)
    given = [taps] if isinstance(taps, int) else list(taps)
    if not given or not all(isinstance(i, int) and -num_blocks <= i < num_blocks for i in given):
        raise InputError(
            f"expected block indices from {-num_blocks} to {num_blocks - 1} in model.backbone.body.taps, "
            f"got {taps!r}: {where} has {num_blocks} blocks."
        )
    indices = [i % num_blocks for i in given]
    if indices != sorted(set(indices)):
        raise InputError(
            f"expected ascending block indices, each once, in model.backbone.body.taps, got {taps!r}, "
            f"which are the blocks {indices} of {num_blocks} of {where}."
        )
    return tuple(indices)


def _window(window, stride: int) -> tuple[tuple[int, int], int]:
    """Size and overlap of the windows, in cells."""
    form = f"model.backbone.body.window as dict(size=..., overlap=...) in pixels, multiples of the stride {stride}"
    if not isinstance(window, dict) or "size" not in window:
        raise InputError(f"expected {form}, got {window!r}.")
    unknown = sorted(set(window) - {"size", "overlap"})
    if unknown:
        raise InputError(f"expected {form}, got the key {unknown[0]!r}; {closest(unknown[0], ('size', 'overlap'))}")
    size, overlap = window["size"], window.get("overlap", 0)
    size_hw = (size, size) if isinstance(size, int) else tuple(size)
    sides = [*size_hw, overlap]
    if (
        len(size_hw) != 2
        or not all(isinstance(side, int) and side % stride == 0 for side in sides)
        or not 0 <= overlap < min(size_hw)
    ):
        raise InputError(f"expected {form}, with an overlap below the size, got size={size} and overlap={overlap}.")
    return tuple(side // stride for side in size_hw), overlap // stride
