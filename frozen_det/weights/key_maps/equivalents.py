"""Architectures of different libraries that should be one function under one set of weights, by timm's name.

A pair that turns out not to be (another padding, another epsilon) is found by running both, never assumed.
"""

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_CONVNEXTS = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")


def _mmdet_resnet(name: str) -> dict:
    return dict(type="mmdet.ResNet", depth=int(name.removeprefix("resnet")))


# timm's name -> torchvision's name.
TORCHVISION = {
    **{
        name: name
        for name in (
            *_RESNETS,
            *_CONVNEXTS,
            "resnext50_32x4d",
            "resnext101_32x8d",
            "resnext101_64x4d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        )
    },
    "swin_tiny_patch4_window7_224": "swin_t",
    "swin_small_patch4_window7_224": "swin_s",
    "swin_base_patch4_window7_224": "swin_b",
    **{f"efficientnet_b{n}": f"efficientnet_b{n}" for n in range(8)},
    **{f"tf_efficientnet_b{n}": f"efficientnet_b{n}" for n in range(8)},
}
# timm's name -> config of mmdet's backbone.
MMDET = {
    **{name: _mmdet_resnet(name) for name in _RESNETS},
    "resnext50_32x4d": dict(type="mmdet.ResNeXt", depth=50, groups=32, base_width=4),
    "resnext101_32x8d": dict(type="mmdet.ResNeXt", depth=101, groups=32, base_width=8),
    "resnet50d": dict(type="mmdet.ResNetV1d", depth=50),
    "resnet101d": dict(type="mmdet.ResNetV1d", depth=101),
    **{
        f"{family}_b{n}": dict(type="mmdet.EfficientNet", arch=f"b{n}", out_indices=(0, 1, 2, 3, 4, 5))
        for family in ("efficientnet", "tf_efficientnet")
        for n in range(8)
    },
}


def equivalent(architecture: str, layout: str) -> dict | None:
    """Config of the backbone in another library that should be the same function, or None if none is known.

    Args:
        architecture: library and name, e.g. ``timm/resnet50.a1_in1k`` or ``torchvision/swin_t``.
        layout: timm, torchvision or mmdet.
    """
    library, _, name = architecture.partition("/")
    name = name.removeprefix("mmdet.").split(".")[0]
    if library == "torchvision":
        name = next((timm for timm, other in TORCHVISION.items() if other == name), None)
    elif library == "mmdet":
        name = next(
            (
                timm
                for timm, cfg in MMDET.items()
                if f"{cfg['type'].removeprefix('mmdet.')}{cfg.get('depth', '')}" == name and "depth" in cfg
            ),
            None,
        )
    if name is None:
        return None
    if layout == "timm":
        return dict(type="timm", name=name)
    if layout == "torchvision":
        return dict(type="torchvision", name=TORCHVISION[name]) if name in TORCHVISION else None
    return dict(MMDET[name]) if layout == "mmdet" and name in MMDET else None
