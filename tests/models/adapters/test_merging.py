"""Merge and unmerge: the same features, original weights restored bit by bit, and refusals with a reason."""

import copy

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from frozen_det.errors import InputError

from .families import (
    COMBINATIONS,
    backbone_of,
    features_of,
    images,
    largest_difference,
    lively,
    same_bits,
    small_backbone,
    stir,
)

# In float32 the folded weight is rounded once, then every layer rounds in another order: a few units in the last
# place per layer: at most 9.3e-7 of the largest value over these backbones (3.2e-15 in float64).
FLOAT32_TOLERANCE = 1e-5
# The first is divided by every stride (timm's transformers take no other); then even and odd on various levels,
# where TensorFlow's SAME pads differently.
SIZES = [(64, 96), (63, 65), (66, 71)]
MERGEABLE = [(family, kind) for family, kind in COMBINATIONS if kind != "conv_adapter"]


def stirred(family: str, adapters: dict, **options):
    backbone = backbone_of(family, adapters, **options)
    stir(backbone.adapters)
    return backbone


@pytest.mark.parametrize(("family", "kind"), MERGEABLE, ids=lambda name: name)
def test_merged_features_agree_and_unmerging_restores_every_byte(family, kind):
    backbone = small_backbone(family, kind)
    stir(backbone.adapters)
    sizes = SIZES[:1] if family in ("timm-vit", "timm-swin") else SIZES
    apart = [features_of(backbone, images(*size)) for size in sizes]
    exact = copy.deepcopy(backbone).double()
    exact_apart = [features_of(exact, images(*size, dtype=torch.float64)) for size in sizes]
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    plain = features_of(small_backbone(family, None), images(*sizes[0]))

    backbone.merge()
    exact.merge()
    for size, wanted, exactly in zip(sizes, apart, exact_apart):
        assert largest_difference(exactly, features_of(exact, images(*size, dtype=torch.float64))) < 1e-10
        assert largest_difference(wanted, features_of(backbone, images(*size))) < FLOAT32_TOLERANCE
    assert largest_difference(plain, features_of(backbone, images(*sizes[0]))) > 1e-3

    backbone.unmerge()
    after = backbone.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert same_bits(apart[0], features_of(backbone, images(*sizes[0])))


@pytest.mark.parametrize(
    ("family", "adapters", "reason"),
    [
        ("timm-resnet", dict(type="conv_adapter"), "7 of 7 .* layer1.0.conv1 .* activation"),
        (
            "timm-mbconv",
            dict(type="parallel", sites=("depthwise",)),
            "2 of 2 .* dense 1x1 does not fit into a depthwise",
        ),
        ("timm-convnext", dict(type="series", sites=("depthwise",)), "dense 1x1 after a convolution in groups"),
    ],
)
def test_adapters_that_cannot_be_merged_raise_with_a_reason_and_change_nothing(family, adapters, reason):
    backbone = stirred(family, adapters)
    before = backbone.frozen_fingerprint()
    wanted = features_of(backbone, images())
    with pytest.raises(InputError, match=reason):
        backbone.merge()
    assert not backbone.adapters.merged
    assert before.first_difference(backbone.frozen_fingerprint()) is None
    assert same_bits(wanted, features_of(backbone, images()))


def test_one_adapter_that_cannot_be_merged_keeps_all_the_others_unmerged():
    backbone = stirred("timm-mbconv", dict(type="parallel", sites=("conv3x3", "depthwise")))
    kernel = backbone.body.get_submodule("blocks.0.0.conv").weight
    before = kernel.clone()
    with pytest.raises(InputError, match="2 of 5"):
        backbone.merge()
    assert torch.equal(kernel, before)


def wrapped(module: type, adapters: dict):
    from mmdet.registry import MODELS

    from frozen_det.models import FrozenBackbone

    MODELS.register_module(module=module, force=True)
    return lively(FrozenBackbone(dict(type=f"mmdet.{module.__name__}"), "random", (2,), adapters=adapters))


class GroupedBackbone(BaseModule):
    """A stem and a convolution in two groups."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.layer = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8))

    def forward(self, x):
        return [self.layer(self.stem(x))]


@pytest.mark.parametrize("groups", ["same", "dense"])
def test_a_grouped_convolution_takes_a_branch_of_its_own_groups(groups):
    backbone = wrapped(GroupedBackbone, dict(type="parallel", groups=groups))
    stir(backbone.adapters)
    wanted = features_of(backbone, images())
    if groups == "dense":
        with pytest.raises(InputError, match="convolution in 2 groups kernel"):
            backbone.merge()
        return
    backbone.merge()
    assert largest_difference(wanted, features_of(backbone, images())) < FLOAT32_TOLERANCE


class StandardisedBackbone(BaseModule):
    """A convolution that standardises its weight, as in NFNet and BiT."""

    def __init__(self):
        super().__init__()
        from timm.layers import StdConv2d

        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.conv2 = StdConv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return [self.conv2(self.conv1(x).relu())]


def test_a_layer_that_computes_its_weight_is_refused():
    backbone = wrapped(StandardisedBackbone, dict(type="parallel", sites=("conv2",)))
    with pytest.raises(InputError, match="StdConv2d may compute another weight"):
        backbone.merge()


class PreActivationBackbone(BaseModule):
    """A convolution whose output goes to a norm and past it, as in pre-activation residual networks."""

    def __init__(self, shared: bool = True):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.shared = shared

    def forward(self, x):
        z = self.conv(self.stem(x).relu())
        return [z + self.norm(z).relu()] if self.shared else [self.norm(z).relu()]


class PostActivationBackbone(PreActivationBackbone):
    """The same without the path past the norm."""

    def __init__(self):
        super().__init__(shared=False)


def test_a_constant_goes_into_the_norms_mean_only_if_the_norm_is_the_sole_consumer():
    alone = wrapped(PostActivationBackbone, dict(type="series", sites=("conv",)))
    assert [site.norm for site in alone.sites()] == [None, "norm"]
    stir(alone.adapters)
    wanted = features_of(alone, images())
    mean = alone.body.norm.running_mean.clone()
    alone.merge()
    assert not torch.equal(mean, alone.body.norm.running_mean)
    assert largest_difference(wanted, features_of(alone, images())) < FLOAT32_TOLERANCE
    alone.unmerge()
    assert torch.equal(mean, alone.body.norm.running_mean)

    shared = wrapped(PreActivationBackbone, dict(type="series", sites=("conv",)))
    assert [site.norm for site in shared.sites()] == [None, None]
    with pytest.raises(InputError, match="neither a bias nor a following BatchNorm"):
        shared.merge()
    without_norm = wrapped(PreActivationBackbone, dict(type="series", sites=("conv",), norm=False))
    stir(without_norm.adapters)
    wanted = features_of(without_norm, images())
    without_norm.merge()
    assert largest_difference(wanted, features_of(without_norm, images())) < FLOAT32_TOLERANCE


def test_the_frozen_digest_of_a_merged_base_uses_the_stored_originals():
    backbone = stirred("timm-resnet", dict(type="parallel"))
    before = backbone.frozen_fingerprint()
    assert "not merged" in backbone.frozen_summary()
    backbone.merge()
    assert before.first_difference(backbone.frozen_fingerprint()) is None
    assert "merged into the backbone" in backbone.frozen_summary()
    twin = copy.deepcopy(backbone)
    assert before.first_difference(twin.frozen_fingerprint()) is None
    twin.unmerge()
    assert backbone.adapters.merged
    assert before.first_difference(twin.frozen_fingerprint()) is None


def test_a_merged_state_dict_fits_a_plain_backbone_and_gives_the_same_features():
    backbone = stirred("timm-resnet", dict(type="parallel"))
    backbone.merge()
    wanted = features_of(backbone, images())
    plain = small_backbone("timm-resnet", None)
    plain.load_state_dict(backbone.state_dict())  # strict
    assert same_bits(wanted, features_of(plain, images()))


def test_a_merged_backbone_neither_loads_nor_trains():
    backbone = stirred("timm-resnet", dict(type="parallel"))
    state = backbone.state_dict()
    backbone.merge()
    with pytest.raises(InputError, match="unmerge"):
        backbone.load_state_dict(state)
    backbone.train()
    with pytest.raises(InputError, match="unmerge"):
        backbone(images())
    backbone.unmerge()
    backbone.load_state_dict(state)
    assert backbone(images())[0].requires_grad


def test_merging_twice_is_merging_once():
    backbone = stirred("timm-resnet", dict(type="parallel"))
    before = backbone.frozen_fingerprint()
    backbone.merge()
    wanted = features_of(backbone, images())
    backbone.merge()
    assert same_bits(wanted, features_of(backbone, images()))
    backbone.unmerge()
    backbone.unmerge()
    assert before.first_difference(backbone.frozen_fingerprint()) is None


def test_a_backbone_without_adapters_has_nothing_to_merge():
    with pytest.raises(InputError, match="without"):
        small_backbone("timm-resnet", None).merge()


def test_a_stem_of_any_odd_kernel_merges():
    backbone = stirred("torchvision-resnet", dict(type="parallel", stem=True))
    assert backbone.adapters.adapted[0].name == "conv1"
    wanted = features_of(backbone, images(63, 66))
    backbone.merge()
    assert largest_difference(wanted, features_of(backbone, images(63, 66))) < FLOAT32_TOLERANCE
