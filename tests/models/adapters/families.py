"""Small backbones of every family, with the kinds of adapters that fit them by default."""

import copy
from functools import cache

import torch
from torch import nn

from frozen_det.models import FrozenBackbone

CONVOLUTIONS = ("parallel", "series", "conv_adapter")
FAMILIES = {
    "timm-resnet": (dict(type="timm", name="test_resnet"), (*CONVOLUTIONS, "lora")),
    "timm-mbconv": (dict(type="timm", name="test_efficientnet"), (*CONVOLUTIONS, "lora")),
    "timm-mbconv-same": (dict(type="timm", name="test_efficientnet", pad_type="same"), (*CONVOLUTIONS, "lora")),
    "timm-convnext": (dict(type="timm", name="test_convnext"), (*CONVOLUTIONS, "lora")),
    "timm-vit": (dict(type="timm", name="test_vit"), ("lora",)),
    "timm-swin": (
        dict(
            type="timm", name="swin_tiny_patch4_window7_224", embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)
        ),
        ("lora",),
    ),
    "torchvision-resnet": (dict(type="torchvision", name="resnet18"), CONVOLUTIONS),
    "torchvision-mbconv": (dict(type="torchvision", name="mobilenet_v3_small"), (*CONVOLUTIONS, "lora")),
    "mmdet-resnet": (dict(type="mmdet.ResNet", depth=18, base_channels=16), CONVOLUTIONS),
    "mmdet-swin": (
        dict(type="mmdet.SwinTransformer", embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        ("lora",),
    ),
}
COMBINATIONS = [(family, kind) for family, (_, kinds) in FAMILIES.items() for kind in kinds]


def backbone_of(family: str, adapters=None, **options) -> FrozenBackbone:
    """A backbone whose every parameter matters; the same base for the same family."""
    body = FAMILIES[family][0]
    strides = (16,) if family == "timm-vit" else (4, 8, 16, 32)
    return lively(FrozenBackbone(body, "random", strides, adapters=adapters, **options))


@cache
def _kept(family: str, kind: str | None) -> FrozenBackbone:
    return backbone_of(family, dict(type=kind) if kind else None)


def small_backbone(family: str, kind: str | None) -> FrozenBackbone:
    """A fresh copy of a family's backbone with the default adapters of a kind, or without."""
    return copy.deepcopy(_kept(family, kind))


def lively(backbone: FrozenBackbone) -> FrozenBackbone:
    """Fill the backbone from a fixed seed. Libraries start some scales at zero, which would hide the blocks."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in backbone.body.state_dict().items():
            if not value.is_floating_point():
                continue
            if value.ndim > 1:
                value.normal_(0, (value.shape[0] / value.numel()) ** 0.5, generator=generator)
            elif name.endswith(("running_var", "weight", "gamma")):
                value.uniform_(0.5, 1.5, generator=generator)
            else:
                value.normal_(0, 0.1, generator=generator)
    return backbone


def images(height: int = 64, width: int = 96, count: int = 2, dtype=torch.float32) -> torch.Tensor:
    """(count, 3, height, width) from a fixed seed."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(2)).to(dtype)


def stir(adapters: nn.Module, size: float = 0.1) -> None:
    """Give every adapter parameter a value, as training does."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in adapters.parameters():
            parameter.normal_(0, size / max(parameter[0].numel(), 1) ** 0.5, generator=generator)
        for name, buffer in adapters.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)


def features_of(backbone: FrozenBackbone, batch: torch.Tensor) -> list[torch.Tensor]:
    """Features in evaluation, without autograd."""
    backbone.eval()
    with torch.no_grad():
        return [feature.clone() for feature in backbone(batch)]


def same_bits(first, second) -> bool:
    """Whether two lists of float32 features agree in every bit, the sign of zero included."""
    return all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in zip(first, second, strict=True))


def largest_difference(first, second) -> float:
    """Largest absolute difference, relative to the largest value of each feature."""
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(first, second, strict=True))
