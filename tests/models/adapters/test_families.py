"""Adapters of every kind on every family: step 0, training, copies, averages, files."""

import copy
import io

import pytest
import torch

from .families import COMBINATIONS, features_of, images, largest_difference, same_bits, small_backbone, stir

each = pytest.mark.parametrize(("family", "kind"), COMBINATIONS, ids=lambda name: name)


@each
def test_step_0_is_the_frozen_model_bit_for_bit(family, kind):
    adapted = features_of(small_backbone(family, kind), images())
    assert same_bits(features_of(small_backbone(family, None), images()), adapted)


@each
def test_twenty_training_steps_move_the_adapters_and_nothing_frozen(family, kind):
    backbone = small_backbone(family, kind).train()
    before = backbone.frozen_fingerprint()
    start = {name: value.clone() for name, value in backbone.adapters.named_parameters()}
    trained = [p for p in backbone.parameters() if p.requires_grad]
    assert len(trained) == len(start)
    optimiser = torch.optim.Adam(trained, lr=1e-3)
    losses = []
    for _ in range(20):
        loss = sum((feature - 1).square().mean() for feature in backbone(images(64, 64, 1)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert before.first_difference(backbone.frozen_fingerprint()) is None
    still = [name for name, value in backbone.adapters.named_parameters() if torch.equal(value, start[name])]
    assert still == []
    assert losses[-1] < losses[0]


@each
def test_a_deep_copy_runs_on_its_own_adapters(family, kind):
    backbone = small_backbone(family, kind)
    stir(backbone.adapters)
    own = features_of(backbone, images())
    twin = copy.deepcopy(backbone)
    assert same_bits(own, features_of(twin, images()))
    for parameter in twin.adapters.parameters():
        parameter.data.zero_()
    assert largest_difference(features_of(small_backbone(family, None), images()), features_of(twin, images())) == 0
    assert same_bits(own, features_of(backbone, images()))
    assert largest_difference(own, features_of(twin, images())) > 1e-3


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_a_deep_copy_of_a_traced_backbone_keeps_its_modes(mode):
    backbone = small_backbone("torchvision-resnet", "series").train(mode)
    twin = copy.deepcopy(backbone)
    assert [n for n, module in twin.body.named_modules() if module.training] == []
    assert all(module.training == mode for module in twin.adapters.modules())
    assert twin.training == mode


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("timm-resnet", "parallel"),
        ("torchvision-resnet", "series"),
        ("timm-mbconv", "conv_adapter"),
        ("mmdet-swin", "lora"),
    ],
)
def test_an_average_follows_the_adapters_and_leaves_the_base_alone(family, kind):
    from mmengine.model import ExponentialMovingAverage

    backbone = small_backbone(family, kind)
    average = ExponentialMovingAverage(backbone, momentum=0.25)
    stir(backbone.adapters)
    moved = {name: value.clone() for name, value in backbone.adapters.named_parameters()}
    start = dict(small_backbone(family, kind).adapters.named_parameters())
    average.update_parameters(backbone)  # the first call copies
    for parameter in backbone.adapters.parameters():
        parameter.data.zero_()
    average.update_parameters(backbone)
    for name, value in average.module.adapters.named_parameters():
        assert torch.allclose(value, 0.75 * moved[name], atol=1e-7), name
    assert set(start) == set(moved)
    assert average.module.frozen_fingerprint().digest == backbone.frozen_fingerprint().digest
    still = features_of(backbone, images())
    assert largest_difference(still, features_of(average.module, images())) > 1e-4


@pytest.mark.parametrize(
    ("family", "kind"), [("timm-mbconv", "parallel"), ("torchvision-mbconv", "lora"), ("mmdet-resnet", "conv_adapter")]
)
def test_a_pickled_model_and_a_loaded_state_dict_compute_the_same(family, kind):
    backbone = small_backbone(family, kind)
    stir(backbone.adapters)
    wanted = features_of(backbone, images())
    file = io.BytesIO()
    torch.save(backbone, file)
    file.seek(0)
    assert same_bits(wanted, features_of(torch.load(file, weights_only=False), images()))
    fresh = small_backbone(family, kind)
    fresh.load_state_dict(backbone.state_dict())
    assert same_bits(wanted, features_of(fresh, images()))


@each
def test_base_keys_are_those_of_the_plain_backbone_and_adapters_are_named_by_their_layers(family, kind):
    backbone = small_backbone(family, kind)
    keys = set(backbone.state_dict())
    assert {key for key in keys if key.startswith("body.")} == set(small_backbone(family, None).state_dict())
    sites = {site.name for site in backbone.adapters.adapted}
    for key in keys - {key for key in keys if key.startswith("body.")}:
        assert any(key.startswith(f"adapters.{site}.") for site in sites), key


def test_under_ddp_only_adapters_are_reduced_and_names_gain_the_wrappers_prefix_only(tmp_path):
    import torch.distributed as dist

    backbone = small_backbone("timm-resnet", "parallel").train()
    keys = set(backbone.state_dict())
    digest = backbone.frozen_fingerprint().digest
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(backbone, broadcast_buffers=False)
        assert {f"module.{key}" for key in keys} == set(wrapped.state_dict())
        sum(feature.mean() for feature in wrapped(images())).backward()
    finally:
        dist.destroy_process_group()
    assert all(p.grad is not None for p in backbone.adapters.parameters())
    assert all(p.grad is None for p in backbone.body.parameters())
    assert backbone.frozen_fingerprint().digest == digest


@pytest.mark.parametrize("family", ["timm-convnext", "timm-resnet", "timm-mbconv"])
def test_recomputed_blocks_run_their_adapters_again(family):
    def gradients(family, recompute):
        backbone = small_backbone(family, "parallel").train()
        stir(backbone.adapters)
        backbone.body.set_grad_checkpointing(recompute)
        sum(feature.square().mean() for feature in backbone(images())).backward()
        return [p.grad for p in backbone.adapters.parameters()]

    for kept, recomputed in zip(gradients(family, False), gradients(family, True), strict=True):
        assert torch.equal(kept, recomputed)
        assert kept.abs().max() > 0
