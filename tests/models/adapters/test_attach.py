"""Choosing target layers, options, where gradients flow, norms that train."""

import pytest
import torch
from torch import nn

from frozen_det.errors import InputError

from .families import backbone_of, features_of, images, largest_difference, same_bits, small_backbone, stir


def adapted_names(family: str, **adapters) -> list[str]:
    return [site.name for site in backbone_of(family, adapters).adapters.adapted]


def test_parallel_adapters_are_added_to_each_3x3_convolution_and_to_the_stem_on_request():
    blocks = [f"layer{n}.{b}.conv{c}" for n in range(1, 5) for b in range(2) for c in (1, 2)]
    assert adapted_names("mmdet-resnet", type="parallel") == blocks
    assert adapted_names("mmdet-resnet", type="parallel", stem=True) == ["conv1", *blocks]


def test_parallel_adapters_are_added_to_the_pointwise_convolutions_of_mbconv_and_convnext():
    names = adapted_names("timm-mbconv", type="parallel")
    assert [n for n in names if n.startswith("blocks.3")] == ["blocks.3.0.conv_pw", "blocks.3.0.conv_pwl"]
    assert all(name.endswith(("fc1", "fc2")) for name in adapted_names("timm-convnext", type="parallel"))


def test_conv_adapters_of_depthwise_convolutions_have_their_kernel_and_an_eighth_of_the_width():
    backbone = backbone_of("timm-convnext", dict(type="conv_adapter", activation="gelu"))
    first = backbone.adapters.get_submodule("stages.0.blocks.0.conv_dw")
    assert first.reduce.kernel_size == (7, 7)
    assert (first.reduce.groups, first.reduce.out_channels) == (3, 3)
    assert isinstance(first.activation, nn.GELU)


@pytest.mark.parametrize(
    ("channels", "reduction", "width"), [(24, 8, 3), (3, 8, 1), (50, 4, 10), (7, 2, 1), (64, 1, 64)]
)
def test_a_conv_adapters_width_divides_its_input(channels, reduction, width):
    from frozen_det.models.adapters.conv_adapter import _width

    assert _width(channels, reduction) == width


def test_target_layers_are_chosen_by_role_or_by_name():
    assert adapted_names("timm-resnet", type="lora", sites="shortcut") == [
        "layer2.0.downsample.1",
        "layer3.0.downsample.1",
        "layer4.0.downsample.1",
    ]
    assert adapted_names("timm-resnet", type="parallel", sites=("layer1.*", "layer4.0.conv2")) == [
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer4.0.conv2",
    ]
    assert adapted_names("timm-resnet", type="parallel", sites=("layer1",)) == ["layer1.0.conv1", "layer1.0.conv2"]


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        (dict(type="paralel"), "did you mean 'parallel'"),
        (dict(type="parallel", dropuot=0.5), "no option 'dropuot'.*did you mean 'dropout'"),
        (dict(type="parallel", sites=("layer9.*",)), "'layer9.*' .*matches no target layer"),
        (dict(type="parallel", sites=("shortcut", "depthwise")), None),
        (dict(type="lora", sites=("conv3x3",)), "'lora' does not fit the layer layer1.0.conv1 .*3x3"),
        (dict(type="lora", sites=("layer1.0.conv1",)), "a linear layer or a dense 1x1"),
        (dict(type="conv_adapter", sites=("bottleneck",)), "k x k"),
        (dict(type="parallel", start_stage=5), "start_stage from 1 to 4"),
        (dict(type="parallel", init="one"), "'zero' or 'normal'"),
        (dict(type="series", init="one"), "'zero' or 'normal'"),
        (dict(type="conv_adapter", init="one"), "'zero' or 'normal'"),
        (dict(type="conv_adapter", activation="tanh"), "'gelu', 'relu', 'silu'"),
        (dict(type="lora", rank=0), "rank of at least 1"),
        (dict(type="parallel", groups="half"), "'dense' or 'same'"),
    ],
)
def test_an_error_in_the_config_is_reported_with_a_remedy(adapters, message):
    if message is None:  # a role without sites in this backbone is no error as long as another has some
        assert adapted_names("timm-resnet", **adapters)
        return
    with pytest.raises(InputError, match=message):
        backbone_of("timm-resnet", adapters)


def test_without_a_default_target_layer_the_error_lists_the_roles_that_fit():
    with pytest.raises(InputError, match="no target layer .*'attention': 12, 'mlp': 12"):
        backbone_of("timm-vit", dict(type="parallel"))
    assert len(adapted_names("timm-vit", type="parallel", sites=("mlp",))) == 12


def test_layers_before_the_first_adapter_run_without_autograd():
    backbone = backbone_of("timm-resnet", dict(type="parallel", start_stage=3)).train()
    assert [site.name for site in backbone.adapters.adapted] == ["layer3.0.conv2", "layer4.0.conv1", "layer4.0.conv2"]
    kept, at_first = [], []
    first = backbone.body.get_submodule("layer3.0.conv2")
    first.register_forward_pre_hook(lambda module, args: at_first.append((len(kept), args[0].requires_grad)))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        features = backbone(images())
    assert at_first == [(0, False)]
    assert [feature.requires_grad for feature in features] == [False, False, True, True]
    assert len(kept) > 0
    sum(feature.mean() for feature in features[2:]).backward()
    assert all(p.grad is not None for p in backbone.adapters.parameters())


def test_a_normal_start_follows_the_reference_and_changes_step_0():
    backbone = backbone_of("torchvision-resnet", dict(type="parallel", init="normal"))
    weight = backbone.adapters.get_submodule("layer4.1.conv2").mix.weight
    assert weight.shape == (512, 512, 1, 1)
    assert abs(weight.std().item() - (2 / 512) ** 0.5) < 1e-3
    plain = features_of(small_backbone("torchvision-resnet", None), images())
    assert largest_difference(plain, features_of(backbone, images())) > 0.01


def test_task_norms_train_with_live_statistics_and_are_not_part_of_the_frozen_base():
    backbone = backbone_of("mmdet-resnet", dict(type="parallel", train_norms=True, start_stage=3)).train()
    norms = [name for name, module in backbone.body.named_modules() if isinstance(module, nn.BatchNorm2d)]
    late = [name for name in norms if name.startswith(("layer3", "layer4"))]
    assert sorted(backbone.adapters.trained_norms) == sorted(late)
    assert len(late) == 10
    frozen = backbone.frozen_tensors()
    assert not any(name.startswith(f"{norm}.") for name in frozen for norm in late)
    assert {f"{norm}.running_mean" for norm in set(norms) - set(late)} <= set(frozen)
    before = backbone.frozen_fingerprint()
    means = {name: backbone.body.get_submodule(name).running_mean.clone() for name in norms}
    sum(feature.square().mean() for feature in backbone(images())).backward()
    for name in norms:
        module = backbone.body.get_submodule(name)
        assert module.training == (name in late)
        assert torch.equal(module.running_mean, means[name]) == (name not in late)
        assert (module.weight.grad is not None) == (name in late)
    assert before.first_difference(backbone.frozen_fingerprint()) is None
    assert not backbone.eval().body.get_submodule(late[0]).training


def test_task_norms_do_not_enable_drop_path_in_the_frozen_backbone():
    from frozen_det.models import FrozenBackbone

    backbone = FrozenBackbone(
        dict(type="timm", name="test_convnext", drop_path_rate=0.5),
        "random",
        adapters=dict(type="parallel", train_norms=True),
    ).train()
    awake = {type(module).__name__ for module in backbone.body.modules() if module.training}
    assert awake == {"LayerNorm", "LayerNorm2d"}


def test_dropout_of_the_adapters_input_acts_in_training_only():
    backbone = backbone_of("timm-resnet", dict(type="parallel", dropout=0.5))
    stir(backbone.adapters)
    without = backbone_of("timm-resnet", dict(type="parallel"))
    without.load_state_dict(backbone.state_dict())
    assert same_bits(features_of(without, images()), features_of(backbone, images()))
    backbone.train()
    assert not torch.equal(backbone(images())[0], backbone(images())[0])


def test_a_fine_tuned_backbone_can_have_adapters_too():
    backbone = backbone_of("timm-resnet", dict(type="parallel"), freeze=False).train()
    sum(feature.mean() for feature in backbone(images())).backward()
    assert all(p.grad is not None for p in backbone.parameters())
    assert backbone.frozen_summary().startswith("nothing frozen; 7 parallel adapters")


def test_a_partly_frozen_backbone_keeps_its_frozen_stages_before_the_adapters():
    backbone = backbone_of("timm-resnet", dict(type="series", start_stage=4), freeze=2).train()
    sum(feature.mean() for feature in backbone(images())).backward()
    without = [name for name, p in backbone.body.named_parameters() if p.grad is None]
    assert without
    assert all(name.startswith(("conv1", "bn1", "layer1", "layer2")) for name in without)


def test_mixed_precision_keeps_the_dtype_of_the_frozen_model():
    plain, adapted = small_backbone("timm-resnet", None), small_backbone("timm-resnet", "parallel")
    plain.eval(), adapted.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        for a, b in zip(plain(images()), adapted(images()), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_an_unfrozen_part_trains():
    backbone = backbone_of("timm-resnet", dict(type="parallel")).train()
    names = backbone.unfreeze(["layer4.*"])
    assert names == [name for name, _ in backbone.body.named_parameters() if name.startswith("layer4.")]
    assert backbone.body.get_submodule("layer4.0.bn1").training
    assert not backbone.body.get_submodule("layer3.0.bn1").training
    assert not any(name.startswith("layer4.") for name in backbone.frozen_tensors())
    sum(feature.mean() for feature in backbone(images())).backward()
    assert all((p.grad is not None) == name.startswith("layer4.") for name, p in backbone.body.named_parameters())
    with pytest.raises(InputError, match="train already"):
        backbone.unfreeze(["layer4.*"])
    with pytest.raises(InputError, match="matches no parameter"):
        backbone.unfreeze(["layer7.*"])
    rest = backbone.unfreeze()
    assert len(rest) + len(names) == len(list(backbone.body.parameters()))
    assert not backbone.is_frozen
    assert all(module.training for module in backbone.body.modules())


def test_unfreezing_keeps_task_norms_training():
    backbone = backbone_of("timm-resnet", dict(type="parallel", train_norms=True)).train()
    backbone.unfreeze(["layer4.*"])
    assert backbone.body.get_submodule("layer1.0.bn1").training
    assert not any("bn" in name for name in backbone.frozen_tensors())
    assert backbone.body.get_submodule("layer1.0.conv1").weight.requires_grad is False
