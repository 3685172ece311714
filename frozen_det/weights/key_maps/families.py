"""Names of the same tensors in timm, torchvision, mmdet, mmpretrain and the authors' own files, family by family.

Read off the libraries' models (timm 1.0.31, torchvision 0.26, onedl-mmdetection 3.5.1, onedl-mmpretrain 1.3.6).
"""

from torch import Tensor

from .templates import Rule

_LEAF = "{leaf}"  # for templates that are put together with f-strings


def _same(*names: str) -> tuple[Rule, ...]:
    return tuple(Rule(name, name) for name in names)


def _as_linear(weight: Tensor) -> Tensor:
    """A 1x1 convolution's kernel as a linear layer's matrix."""
    return weight.flatten(1)


def _as_vector(value: Tensor) -> Tensor:
    return value.reshape(-1)


def _as_map(value: Tensor) -> Tensor:
    return value.reshape(-1, 1, 1)


def _unfold_order(value: Tensor) -> Tensor:
    """Patch merging from concatenated patches (00, 10, 01, 11; channel fastest) to `nn.Unfold`'s order.

    Args:
        value: (out, 4 C) of the reduction or (4 C,) of the norm before it.
    """
    parts = value.reshape(*value.shape[:-1], 4, value.shape[-1] // 4)
    return parts[..., [0, 2, 1, 3], :].transpose(-1, -2).reshape(value.shape)


def _concatenated_order(value: Tensor) -> Tensor:
    """The inverse of :func:`_unfold_order`."""
    parts = value.reshape(*value.shape[:-1], value.shape[-1] // 4, 4).transpose(-1, -2)
    return parts[..., [0, 2, 1, 3], :].reshape(value.shape)


_RESNET = _same("conv1.weight", "bn1.{leaf}", "layer{s}.{b}.{unit}.{leaf}", "fc.{leaf}")
_RESNET_D = (
    Rule("bn1.{leaf}", "stem.7.{leaf}"),
    Rule("conv1.{n}.{leaf}", "stem.{n}.{leaf}"),
    *_same("layer{s}.{b}.{unit}.{leaf}"),
)
# mmpretrain makes a ConvModule of each part of the stem, and puts no pooling where the shortcut has stride 1.
_RESNET_D_MMPRETRAIN = (
    Rule("bn1.{leaf}", "stem.2.bn.{leaf}"),
    Rule("conv1.{3*n}.weight", "stem.{n}.conv.weight"),
    Rule("conv1.{3*n+1}.{leaf}", "stem.{n}.bn.{leaf}"),
    Rule("layer1.0.downsample.{n+1}.{leaf}", "layer1.0.downsample.{n}.{leaf}"),
    *_same("layer{s}.{b}.{unit}.{leaf}"),
)

_CONVNEXT_TORCHVISION = (
    Rule("stem.{k}.{leaf}", "features.0.{k}.{leaf}"),
    Rule("stages.{s+1}.downsample.{k}.{leaf}", "features.{2*s+2}.{k}.{leaf}"),
    Rule("stages.{s}.blocks.{b}.conv_dw.{leaf}", "features.{2*s+1}.{b}.block.0.{leaf}"),
    Rule("stages.{s}.blocks.{b}.norm.{leaf}", "features.{2*s+1}.{b}.block.2.{leaf}"),
    Rule("stages.{s}.blocks.{b}.mlp.fc1.weight", "features.{2*s+1}.{b}.block.3.weight", _as_linear),
    Rule("stages.{s}.blocks.{b}.mlp.fc1.bias", "features.{2*s+1}.{b}.block.3.bias"),
    Rule("stages.{s}.blocks.{b}.mlp.fc2.weight", "features.{2*s+1}.{b}.block.5.weight", _as_linear),
    Rule("stages.{s}.blocks.{b}.mlp.fc2.bias", "features.{2*s+1}.{b}.block.5.bias"),
    Rule("stages.{s}.blocks.{b}.gamma", "features.{2*s+1}.{b}.layer_scale", _as_map, _as_vector),
    Rule("head.norm.{leaf}", "classifier.0.{leaf}"),
    Rule("head.fc.{leaf}", "classifier.2.{leaf}"),
)


def _convnext(depthwise: str, first: str, second: str, last: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Meta's own names and mmpretrain's differ in three words and in the last norm."""
    block = "stages.{s}.{b}"
    return (
        Rule("stem.{k}.{leaf}", "downsample_layers.0.{k}.{leaf}"),
        Rule("stages.{s+1}.downsample.{k}.{leaf}", "downsample_layers.{s+1}.{k}.{leaf}"),
        Rule("stages.{s}.blocks.{b}.conv_dw.{leaf}", f"{block}.{depthwise}.{_LEAF}"),
        Rule("stages.{s}.blocks.{b}.norm.{leaf}", f"{block}.norm.{_LEAF}"),
        Rule("stages.{s}.blocks.{b}.mlp.fc1.weight", f"{block}.{first}.weight", _as_linear),
        Rule("stages.{s}.blocks.{b}.mlp.fc1.bias", f"{block}.{first}.bias"),
        Rule("stages.{s}.blocks.{b}.mlp.fc2.weight", f"{block}.{second}.weight", _as_linear),
        Rule("stages.{s}.blocks.{b}.mlp.fc2.bias", f"{block}.{second}.bias"),
        Rule("stages.{s}.blocks.{b}.gamma", f"{block}.gamma"),
        *last,
    )


_SWIN_TORCHVISION = (
    Rule("patch_embed.proj.{leaf}", "features.0.0.{leaf}"),
    Rule("patch_embed.norm.{leaf}", "features.0.2.{leaf}"),
    Rule("layers.{s}.blocks.{b}.{norm}.{leaf}", "features.{2*s+1}.{b}.{norm}.{leaf}"),
    Rule(
        "layers.{s}.blocks.{b}.attn.relative_position_bias_table",
        "features.{2*s+1}.{b}.attn.relative_position_bias_table",
    ),
    Rule("layers.{s}.blocks.{b}.attn.{linear}.{leaf}", "features.{2*s+1}.{b}.attn.{linear}.{leaf}"),
    Rule("layers.{s}.blocks.{b}.mlp.fc1.{leaf}", "features.{2*s+1}.{b}.mlp.0.{leaf}"),
    Rule("layers.{s}.blocks.{b}.mlp.fc2.{leaf}", "features.{2*s+1}.{b}.mlp.3.{leaf}"),
    Rule("layers.{s+1}.downsample.{merge}.{leaf}", "features.{2*s+2}.{merge}.{leaf}"),
    *_same("norm.{leaf}"),
    Rule("head.fc.{leaf}", "head.{leaf}"),
)
_SWIN_MM = (
    Rule("patch_embed.proj.{leaf}", "patch_embed.projection.{leaf}"),
    *_same("patch_embed.norm.{leaf}"),
    Rule("layers.{s}.blocks.{b}.{norm}.{leaf}", "stages.{s}.blocks.{b}.{norm}.{leaf}"),
    Rule(
        "layers.{s}.blocks.{b}.attn.relative_position_bias_table",
        "stages.{s}.blocks.{b}.attn.w_msa.relative_position_bias_table",
    ),
    Rule("layers.{s}.blocks.{b}.attn.{linear}.{leaf}", "stages.{s}.blocks.{b}.attn.w_msa.{linear}.{leaf}"),
    Rule("layers.{s}.blocks.{b}.mlp.fc1.{leaf}", "stages.{s}.blocks.{b}.ffn.layers.0.0.{leaf}"),
    Rule("layers.{s}.blocks.{b}.mlp.fc2.{leaf}", "stages.{s}.blocks.{b}.ffn.layers.1.{leaf}"),
    Rule(
        "layers.{s+1}.downsample.{merge}.{leaf}",
        "stages.{s}.downsample.{merge}.{leaf}",
        _unfold_order,
        _concatenated_order,
    ),
    Rule("norm.{leaf}", "norm3.{leaf}"),
)
_SWIN_OFFICIAL = (
    *_same(
        "patch_embed.proj.{leaf}",
        "patch_embed.norm.{leaf}",
        "layers.{s}.blocks.{b}.{norm}.{leaf}",
        "layers.{s}.blocks.{b}.attn.relative_position_bias_table",
        "layers.{s}.blocks.{b}.attn.{linear}.{leaf}",
        "layers.{s}.blocks.{b}.mlp.fc1.{leaf}",
        "layers.{s}.blocks.{b}.mlp.fc2.{leaf}",
        "norm.{leaf}",
    ),
    Rule("layers.{s+1}.downsample.{merge}.{leaf}", "layers.{s}.downsample.{merge}.{leaf}"),
    Rule("head.fc.{leaf}", "head.{leaf}"),
)

_VIT_MM = (
    *_same("cls_token", "pos_embed"),
    Rule("patch_embed.proj.{leaf}", "patch_embed.projection.{leaf}"),
    Rule("blocks.{b}.norm1.{leaf}", "layers.{b}.ln1.{leaf}"),
    Rule("blocks.{b}.norm2.{leaf}", "layers.{b}.ln2.{leaf}"),
    Rule("blocks.{b}.attn.{linear}.{leaf}", "layers.{b}.attn.{linear}.{leaf}"),
    Rule("blocks.{b}.mlp.fc1.{leaf}", "layers.{b}.ffn.layers.0.0.{leaf}"),
    Rule("blocks.{b}.mlp.fc2.{leaf}", "layers.{b}.ffn.layers.1.{leaf}"),
    Rule("blocks.{b}.ls1.gamma", "layers.{b}.attn.gamma1.weight"),
    Rule("blocks.{b}.ls2.gamma", "layers.{b}.ffn.gamma2.weight"),
    Rule("norm_pre.{leaf}", "pre_norm.{leaf}"),
    Rule("norm.{leaf}", "ln1.{leaf}"),
)
_ENCODER = "encoder.layers.encoder_layer_{b}"
_VIT_TORCHVISION = (
    Rule("cls_token", "class_token"),
    Rule("pos_embed", "encoder.pos_embedding"),
    Rule("patch_embed.proj.{leaf}", "conv_proj.{leaf}"),
    Rule("blocks.{b}.norm1.{leaf}", f"{_ENCODER}.ln_1.{_LEAF}"),
    Rule("blocks.{b}.norm2.{leaf}", f"{_ENCODER}.ln_2.{_LEAF}"),
    Rule("blocks.{b}.attn.qkv.weight", f"{_ENCODER}.self_attention.in_proj_weight"),
    Rule("blocks.{b}.attn.qkv.bias", f"{_ENCODER}.self_attention.in_proj_bias"),
    Rule("blocks.{b}.attn.proj.{leaf}", f"{_ENCODER}.self_attention.out_proj.{_LEAF}"),
    Rule("blocks.{b}.mlp.fc1.{leaf}", f"{_ENCODER}.mlp.0.{_LEAF}"),
    Rule("blocks.{b}.mlp.fc2.{leaf}", f"{_ENCODER}.mlp.3.{_LEAF}"),
    Rule("norm.{leaf}", "encoder.ln.{leaf}"),
    Rule("head.{leaf}", "heads.head.{leaf}"),
)

# Family -> layout -> rules. A layout that is not here has no such family.
RULES = {
    "resnet": {"torchvision": _RESNET, "mmdet": _RESNET, "mmpretrain": _RESNET},
    "resnet-d": {"mmdet": _RESNET_D, "mmpretrain": _RESNET_D_MMPRETRAIN},
    "convnext": {
        "torchvision": _CONVNEXT_TORCHVISION,
        "mmpretrain": _convnext(
            "depthwise_conv", "pointwise_conv1", "pointwise_conv2", (Rule("head.norm.{leaf}", "norm3.{leaf}"),)
        ),
        "official": _convnext(
            "dwconv",
            "pwconv1",
            "pwconv2",
            (Rule("head.norm.{leaf}", "norm.{leaf}"), Rule("head.fc.{leaf}", "head.{leaf}")),
        ),
    },
    "swin": {"torchvision": _SWIN_TORCHVISION, "mmdet": _SWIN_MM, "mmpretrain": _SWIN_MM, "official": _SWIN_OFFICIAL},
    "vit": {"torchvision": _VIT_TORCHVISION, "mmpretrain": _VIT_MM},
}
