"""FLOPs are those of a count by hand: layers of every kind, forward and backward, and the parts that backward skips."""

import pytest
import torch
import torchvision
from torch import nn

from frozen_det.reports.flop_count import flop_counter

# Layer, input, and by hand: 2 x images x positions x output channels x input channels of a group x kernel.
LAYERS = {
    "dense": (lambda: nn.Conv2d(8, 6, 3, padding=1), (2, 8, 5, 7), 2 * 2 * (5 * 7) * 6 * 8 * 9),
    "dense, stride 2": (lambda: nn.Conv2d(8, 6, 3, stride=2), (2, 8, 5, 7), 2 * 2 * (2 * 3) * 6 * 8 * 9),
    "pointwise": (lambda: nn.Conv2d(8, 6, 1), (2, 8, 5, 7), 2 * 2 * (5 * 7) * 6 * 8),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, padding=1, groups=4), (2, 8, 5, 7), 2 * 2 * (5 * 7) * 12 * 2 * 9),
    "depthwise": (lambda: nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), (1, 8, 6, 6), 2 * (3 * 3) * 8 * 25),
    "depthwise, twice as many out": (lambda: nn.Conv2d(8, 16, 3, groups=8), (1, 8, 6, 6), 2 * (4 * 4) * 16 * 9),
    "1-D grouped": (lambda: nn.Conv1d(8, 8, 3, groups=4), (2, 8, 16), 2 * 2 * 14 * 8 * 2 * 3),
    "3-D depthwise": (lambda: nn.Conv3d(8, 8, 3, groups=8), (1, 8, 4, 4, 4), 2 * (2 * 2 * 2) * 8 * 27),
    # A transposed convolution uses each weight at every position of its input.
    "transposed": (lambda: nn.ConvTranspose2d(8, 6, 2, stride=2), (2, 8, 5, 7), 2 * 2 * (5 * 7) * 8 * 6 * 4),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2),
        (2, 8, 5, 7),
        2 * 2 * (5 * 7) * 8 * 3 * 4,
    ),
    "linear": (lambda: nn.Linear(8, 6), (5, 8), 2 * 5 * 8 * 6),
}


def counted(run) -> int:
    with flop_counter() as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_costs_once_forward_and_once_for_each_gradient(kind, device):
    make, shape, forward = LAYERS[kind]
    layer = make().to(device)
    images = torch.zeros(shape, device=device)
    assert counted(lambda: layer(images)) == forward
    assert counted(lambda: layer(images).sum().backward()) == 2 * forward  # the input needs no gradient
    images.requires_grad_()
    assert counted(lambda: layer(images).sum().backward()) == 3 * forward
    layer.requires_grad_(False)
    assert counted(lambda: layer(images).sum().backward()) == 2 * forward  # frozen: by the input alone


def test_attention_is_two_products_forward_and_four_backward():
    query = torch.zeros(2, 3, 10, 16, device="meta", requires_grad=True)
    forward = 2 * (2 * 2 * 3 * 10 * 10 * 16)
    assert counted(lambda: nn.functional.scaled_dot_product_attention(query, query, query)) == forward
    assert (
        counted(lambda: nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()) == 3 * forward
    )


def test_a_deformable_convolution_costs_what_a_plain_one_does():
    images = torch.zeros(2, 4, 8, 9, device="meta", requires_grad=True)
    offsets = torch.zeros(2, 18, 8, 9, device="meta", requires_grad=True)
    weight = torch.zeros(6, 4, 3, 3, device="meta", requires_grad=True)
    forward = 2 * 2 * (8 * 9) * 6 * 4 * 9
    assert counted(lambda: torchvision.ops.deform_conv2d(images, offsets, weight, padding=1)) == forward
    assert (
        counted(lambda: torchvision.ops.deform_conv2d(images, offsets, weight, padding=1).sum().backward())
        == 3 * forward
    )
