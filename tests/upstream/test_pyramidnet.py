"""Pyramidal networks: parameter counts of the papers, widths, shortcuts, ShakeDrop's two factors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from frozen_det.errors import InputError
from frozen_det.upstream.pyramidnet import CifarPyramidNet, shake_drop


@pytest.mark.parametrize(
    "depth, alpha, bottleneck, millions", [(200, 240, True, 26.8), (110, 64, True, 1.7), (110, 48, False, 1.7)]
)
def test_the_published_numbers_of_parameters(depth, alpha, bottleneck, millions):
    with torch.device("meta"):
        network = CifarPyramidNet(depth, alpha, bottleneck, num_classes=100)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.1)  # the papers print one digit, some of them cut off
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    assert convolutions + 1 == depth


def test_blocks_widen_to_16_plus_alpha_and_halve_the_map_twice():
    body = CifarPyramidNet(depth=20, alpha=9, bottleneck=False)
    first, second, third = body(torch.randn(2, 3, 32, 32))
    assert [tuple(out.shape[1:]) for out in (first, second, third)] == [(19, 32, 32), (22, 16, 16), (25, 8, 8)]
    network = CifarPyramidNet(depth=29, alpha=9, num_classes=5)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 5) and network.fc.in_features == 100


def test_bottlenecks_are_the_released_networks_steps_written_out():
    """clovaai/CutMix-PyTorch, pyramidnet.py: two blocks a stage, alpha 64, by functions on the weights' names."""
    network = CifarPyramidNet(depth=20, alpha=64, num_classes=7).eval()
    generator, state = torch.Generator().manual_seed(0), network.state_dict()
    for value in state.values():  # norms that are not the identity, branches that do not drown the shortcut
        if value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
        elif value.ndim == 1:
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)

    def norm(values, name):
        return F.batch_norm(
            values, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        )

    images = torch.randn(2, 3, 32, 32, generator=generator)
    values, width = norm(F.conv2d(images, state["conv1.weight"], padding=1), "bn1"), 16.0
    for stage in (1, 2, 3):
        for number in range(2):
            at, width = f"layer{stage}.{number}", width + 64 / 6
            assert state[f"{at}.conv1.weight"].shape[0] == round(width)
            stride = 2 if stage > 1 and number == 0 else 1
            branch = F.conv2d(norm(values, f"{at}.bn1"), state[f"{at}.conv1.weight"])
            branch = F.conv2d(norm(branch, f"{at}.bn2").relu(), state[f"{at}.conv2.weight"], stride=stride, padding=1)
            branch = norm(F.conv2d(norm(branch, f"{at}.bn3").relu(), state[f"{at}.conv3.weight"]), f"{at}.bn4")
            shortcut = F.avg_pool2d(values, 2) if stride == 2 else values
            blank = torch.zeros(2, branch.shape[1] - shortcut.shape[1], *shortcut.shape[2:])
            values = branch + torch.cat([shortcut, blank], 1)
    pooled = F.avg_pool2d(norm(values, "bn_final").relu(), 8).flatten(1)
    wanted = F.linear(pooled, state["fc.weight"], state["fc.bias"])
    assert torch.allclose(network(images), wanted, rtol=1e-4, atol=1e-5)


def test_channels_that_a_block_adds_come_from_its_branch_alone():
    block = CifarPyramidNet(depth=20, alpha=9, bottleneck=False).layer1[0].eval()
    nn.init.zeros_(block.bn3.weight)
    images = torch.randn(1, 16, 4, 4)
    out = block(images)
    assert torch.equal(out[:, :16], images) and not out[:, 16:].any()


def test_shaking_grows_linearly_to_the_last_block():
    network = CifarPyramidNet(depth=20, alpha=9, bottleneck=False, shake_drop=0.5)
    probs = [block.shake_prob for stage in (network.layer1, network.layer2, network.layer3) for block in stage]
    assert probs == pytest.approx([0.5 * place / 9 for place in range(1, 10)])


def test_a_shaken_branch_has_one_factor_forward_and_another_backward_for_each_image():
    torch.manual_seed(0)
    branch = torch.ones(2000, 2, 1, 1, requires_grad=True)
    out = shake_drop(branch, 1.0, training=True)
    out.sum().backward()
    assert torch.equal(out[:, 0], out[:, 1])
    assert out.min() < -0.9 and out.max() > 0.9 and abs(out.mean()) < 0.05
    assert branch.grad.min() >= 0 and branch.grad.max() <= 1
    assert branch.grad.mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.corrcoef(torch.stack([out[:, 0, 0, 0].detach(), branch.grad[:, 0, 0, 0]]))[0, 1].abs() < 0.1


def test_shaking_keeps_the_expectation_that_evaluation_uses():
    branch = torch.ones(64, 1, 1, 1)
    torch.manual_seed(0)
    drawn = torch.stack([shake_drop(branch, 0.3, training=True).mean() for _ in range(3000)])
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.03)
    assert torch.equal(shake_drop(branch, 0.3, training=False), branch * 0.7)
    assert torch.equal(shake_drop(branch, 0.0, training=True), branch)


@pytest.mark.parametrize(
    "given, said",
    [
        (dict(depth=100), r"9n \+ 2 with bottleneck=True, got 100"),
        (dict(depth=200, bottleneck=False, alpha=-1), r"alpha from 0 on"),
        (dict(shake_drop=2.0), r"shake_drop in \[0, 1\]"),
    ],
)
def test_a_bad_setting_is_one_message(given, said):
    with pytest.raises(InputError, match=said):
        CifarPyramidNet(**given)
