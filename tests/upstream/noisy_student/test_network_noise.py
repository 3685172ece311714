import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet
from frozen_det.upstream.noisy_student.network_noise import (
    add_drop_block,
    add_dropout,
    add_stochastic_depth,
    drop_block,
)

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_last_branch_is_left_out_with_the_given_rate_and_others_in_proportion():
    network = CifarResNet(20, num_classes=5)
    rates = add_stochastic_depth(network, "layer*.*.bn2", 0.2)
    assert rates == pytest.approx([0.2 * place / 9 for place in range(1, 10)])  # survival 0.8 is a rate of 0.2
    last = network.layer3[2].bn2.train()
    ones = torch.randn(4000, 64, 1, 1)
    torch.manual_seed(0)
    left_out = (last(ones).flatten(1) == 0).all(1)
    assert left_out.float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_what_is_kept_is_scaled_so_that_the_mean_stays():
    branch = nn.Sequential(nn.Identity())
    add_stochastic_depth(branch, "0", 0.5)
    torch.manual_seed(1)
    values = branch.train()(torch.ones(4000, 1))
    assert set(values.flatten().tolist()) == {0.0, 2.0} and values.mean().item() == pytest.approx(1, abs=0.06)


def test_the_released_rule_which_timm_has_starts_at_zero_and_ends_at_three_sixteenths():
    import timm

    network = timm.create_model("efficientnet_b0", drop_path_rate=0.2)
    rates = [
        block.drop_path.drop_prob
        for stage in network.blocks
        for block in stage
        if hasattr(block.drop_path, "drop_prob")
    ]
    assert max(rates) == pytest.approx(0.2 * 15 / 16)  # 0.1875: l from 0 in 16 blocks


def test_drop_block_blanks_whole_squares_of_the_given_share_and_scales_the_rest_up():
    branch = nn.Sequential(nn.Identity())
    add_drop_block(branch, "0", 0.1, 4)
    torch.manual_seed(2)
    values = branch.train()(torch.ones(50, 8, 32, 32))
    blank = values == 0
    assert blank.float().mean().item() == pytest.approx(0.1, abs=0.01)
    # Each blank cell lies in a blank square of 4 x 4: nothing smaller is left after eroding and growing again.
    inside = torch.nn.functional.conv2d(blank.float().flatten(0, 1)[:, None], torch.ones(1, 1, 4, 4)) == 16
    grown = torch.nn.functional.conv_transpose2d(inside.float(), torch.ones(1, 1, 4, 4)) > 0
    assert torch.equal(grown.view_as(blank), blank)
    assert values.mean().item() == pytest.approx(1, abs=1e-3)
    assert torch.equal(branch.eval()(torch.ones(1, 1, 8, 8)), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("side", [1, 3, 7, 11])
def test_squares_of_odd_sides_are_torchvisions(side):
    from torchvision.ops import drop_block2d

    maps, found = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)), []
    for drop in (drop_block, drop_block2d):
        torch.manual_seed(3)
        found.append(drop(maps, 0.2, side))
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize(
    "given, said", [((1.5, 4), "drop_block"), ((0.1, 0), "block_size"), ((0.1, 4.0), "block_size")]
)
def test_a_bad_drop_block_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        add_drop_block(nn.Sequential(nn.Identity()), "0", *given)


def test_noise_acts_in_training_alone_and_names_stay():
    network, plain = CifarResNet(8, num_classes=5), CifarResNet(8, num_classes=5)
    names = list(network.state_dict())
    add_stochastic_depth(network, "layer*.*.bn2", 0.5)
    add_dropout(network, {"linear.weight", "linear.bias"}, 0.5)
    assert list(network.state_dict()) == names
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(IMAGES), plain.eval()(IMAGES))
    network.train()
    torch.manual_seed(0)
    first = network(IMAGES)
    assert not torch.equal(first, network(IMAGES))


def test_dropout_acts_on_the_input_of_the_last_layer_and_nowhere_else():
    network, given = CifarResNet(8, num_classes=5), []
    add_dropout(network, {"linear.weight", "linear.bias"}, 0.5)
    network.linear.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    network.train()(IMAGES)
    assert (given[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.12)
    assert all(not module._forward_pre_hooks for name, module in network.named_modules() if name != "linear")


def test_a_pattern_that_fits_nothing_and_bad_rates_are_refused():
    with pytest.raises(InputError, match="branches='blocks"):
        add_stochastic_depth(CifarResNet(8), "blocks.*", 0.2)
    with pytest.raises(InputError, match=r"\[0, 1\).*stochastic_depth.*1.0"):
        add_stochastic_depth(CifarResNet(8), "layer*.*.bn2", 1.0)
    with pytest.raises(InputError, match="one layer"):
        add_dropout(CifarResNet(8), {"a.weight", "b.weight"}, 0.2)
