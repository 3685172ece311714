"""Target layers: their description, order and stage, and which adapters fit."""

from functools import cache

import pytest

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.adapters import ROLES, list_sites, site_table
from frozen_det.models.backbone_sources.build import build_body

from .families import FAMILIES, backbone_of


@cache
def sites_of(family: str):
    strides = (16,) if family == "timm-vit" else (4, 8, 16, 32)
    return {site.name: site for site in list_sites(build_body(FAMILIES[family][0], strides))}


@pytest.mark.parametrize(
    ("family", "name", "role", "stage", "stride", "channels", "layer"),
    [
        ("timm-resnet", "conv1.3", "stem", 1, 2, (16, 16), "3x3"),
        ("timm-resnet", "layer2.0.conv1", "conv3x3", 2, 8, (32, 48), "3x3/2"),
        ("timm-resnet", "layer3.0.conv1", "bottleneck", 3, 8, (48, 48), "1x1"),
        ("timm-resnet", "layer3.0.downsample.1", "shortcut", 3, 16, (48, 192), "1x1"),
        ("timm-mbconv", "blocks.0.0.conv", "conv3x3", 1, 2, (24, 16), "3x3"),
        ("timm-mbconv", "blocks.3.0.conv_dw", "depthwise", 3, 16, (128, 128), "3x3/2 in 128 groups"),
        ("timm-mbconv", "blocks.3.0.conv_pw", "pointwise", 3, 8, (32, 128), "1x1"),
        ("timm-mbconv", "blocks.3.0.se.conv_reduce", "gate", 3, 0, (128, 8), "1x1"),
        ("timm-convnext", "stem.0", "patch", 1, 4, (3, 24), "4x4/4"),
        ("timm-convnext", "stages.1.blocks.1.mlp.fc2", "pointwise", 2, 8, (128, 32), "linear"),
        ("timm-convnext", "stages.2.downsample.1", "patch", 3, 16, (32, 48), "2x2/2"),
        ("timm-vit", "blocks.5.attn.qkv", "attention", 1, 16, (64, 192), "linear"),
        ("timm-vit", "blocks.5.mlp.fc1", "mlp", 1, 16, (64, 192), "linear"),
        ("timm-swin", "layers.3.blocks.0.attn.proj", "attention", 4, 32, (192, 192), "linear"),
        ("timm-swin", "layers.1.downsample.reduction", "patch", 2, 8, (96, 48), "linear"),
        ("torchvision-resnet", "layer4.0.downsample.0", "shortcut", 4, 32, (256, 512), "1x1/2"),
        ("torchvision-mbconv", "features.0.0", "stem", 1, 2, (3, 16), "3x3/2"),
        ("torchvision-mbconv", "features.11.block.1.0", "depthwise", 4, 32, (576, 576), "5x5 in 576 groups"),
        ("mmdet-resnet", "conv1", "stem", 1, 2, (3, 16), "7x7/2"),
        ("mmdet-resnet", "layer3.0.conv1", "conv3x3", 3, 16, (32, 64), "3x3/2"),
        ("mmdet-swin", "stages.2.blocks.0.ffn.layers.0.0", "mlp", 3, 16, (96, 384), "linear"),
    ],
)
def test_a_target_layer_is_described_by_what_runs_there(family, name, role, stage, stride, channels, layer):
    site = sites_of(family)[name]
    assert (site.role, site.stage, site.stride) == (role, stage, stride)
    assert (site.in_channels, site.out_channels) == channels
    assert site.layer == layer


@pytest.mark.parametrize("family", FAMILIES)
def test_every_target_layer_fits_a_kind_or_has_a_reason_and_roles_are_known(family):
    from frozen_det.registry import ADAPTERS

    for site in sites_of(family).values():
        assert site.role in ROLES
        assert set(site.fits) | set(site.reasons) == set(ADAPTERS.module_dict)
        assert not set(site.fits) & set(site.reasons)
        assert all(site.reasons.values())


def test_target_layers_are_in_execution_order_with_the_norms_that_follow_them():
    sites = list(sites_of("timm-resnet").values())
    assert [site.name for site in sites[:4]] == ["conv1.0", "conv1.3", "conv1.6", "layer1.0.conv1"]
    assert [site.norm for site in sites[:4]] == ["conv1.1", "conv1.4", "bn1", "layer1.0.bn1"]


def test_stages_follow_the_requested_features():
    body = build_body(FAMILIES["timm-resnet"][0], (8, 32))
    stages = {site.name: site.stage for site in list_sites(body)}
    assert stages["conv1.0"] == stages["layer1.0.conv1"] == stages["layer2.0.conv1"] == 1
    assert stages["layer3.0.conv1"] == stages["layer4.0.conv1"] == 2


def test_an_attention_whose_weights_a_function_reads_is_listed_and_refused_by_name():
    body = build_body(
        dict(type="mmdet.PyramidVisionTransformer", embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
        (4, 8, 16, 32),
    )
    sites = {site.name: site for site in list_sites(body)}
    bare = sites["layers.0.1.1.attn.attn.in_proj_weight"]
    assert (bare.role, bare.fits, bare.out_channels) == ("unreachable", (), 24)
    assert "a function reads this weight" in bare.reasons["lora"]
    assert sites["layers.0.1.1.attn.attn.out_proj"].role == "unreachable"
    with pytest.raises(InputError, match="in_proj_weight.* a function reads this weight"):
        FrozenBackbone(
            dict(type="mmdet.PyramidVisionTransformer", embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
            "random",
            adapters=dict(type="lora", sites=("layers.0.1.1.attn.attn",)),
        )


def test_torchvisions_traced_swin_lists_its_attention_as_unreachable():
    sites = {
        site.name: site for site in list_sites(build_body(dict(type="torchvision", name="swin_t"), (4, 8, 16, 32)))
    }
    assert sites["features.1.0.attn.qkv"].role == "unreachable"
    assert sites["features.1.0.mlp.0"].role == "mlp"
    assert "lora" in sites["features.1.0.mlp.0"].fits


def test_listing_target_layers_changes_neither_modes_nor_values():
    backbone = backbone_of("timm-resnet", freeze=1).train()
    modes = [module.training for module in backbone.modules()]
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert len(set(modes)) == 2
    backbone.sites()
    assert [module.training for module in backbone.modules()] == modes
    assert all((value == state[name]).all() for name, value in backbone.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.body.modules())


def test_a_backbone_with_adapters_lists_the_same_target_layers():
    assert backbone_of("timm-mbconv", dict(type="parallel")).sites() == backbone_of("timm-mbconv").sites()


def test_the_table_has_a_line_per_target_layer_with_kinds_or_the_reason():
    lines = site_table(list(sites_of("timm-mbconv").values())).splitlines()
    assert len(lines) == 1 + 16
    assert lines[2].split() == [
        "blocks.0.0.conv",
        "conv3x3",
        "1",
        "2",
        "24>16",
        "3x3",
        "conv_adapter,",
        "parallel,",
        "series",
    ]
    gate = next(line for line in lines if "se.conv_reduce" in line)
    assert gate.split()[3] == "-"
    assert gate.endswith("none: it works on pooled features; there is no map to adapt")
    assert site_table([]).startswith("site")
