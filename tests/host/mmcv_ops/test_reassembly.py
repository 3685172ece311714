"""The stand-ins for masked convolution and CARAFE equal the plain convolution and a loop over cells."""

import itertools

import pytest
import torch

from frozen_det.host import mmcv_ops

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")


@pytest.mark.parametrize("kernel, padding", [(3, 1), ((1, 3), (0, 1))])
def test_masked_convolution_is_the_convolution_where_the_mask_is_and_zero_elsewhere(kernel, padding):
    from mmcv.ops import MaskedConv2d

    torch.manual_seed(0)
    layer, image = MaskedConv2d(2, 4, kernel, padding=padding), torch.randn(1, 2, 5, 6)
    mask = (torch.rand(1, 5, 6) > 0.5).float()
    with torch.no_grad():
        torch.testing.assert_close(layer(image, mask), layer(image) * mask)
        assert layer(image, mask * 0).abs().sum() == 0


def _slow_carafe(features, masks, kernel, groups, scale):
    n, channels, height, width = features.shape
    output = torch.zeros(n, channels, height * scale, width * scale, dtype=features.dtype)
    for image, c, y, x in itertools.product(*map(range, output.shape)):
        group = c // (channels // groups)
        for i, j in itertools.product(range(kernel), repeat=2):
            row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
            if 0 <= row < height and 0 <= column < width:
                weight = masks[image, (group * kernel + i) * kernel + j, y, x]
                output[image, c, y, x] += features[image, c, row, column] * weight
    return output


@pytest.mark.parametrize("kernel, groups, scale", [(3, 1, 2), (1, 2, 1), (5, 2, 2)])
def test_carafe_equals_the_loop_over_cells_with_its_gradients(kernel, groups, scale):
    from mmcv.ops import carafe, carafe_naive

    torch.manual_seed(0)
    features = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(2, groups * kernel**2, 2 * scale, 3 * scale, dtype=torch.float64, requires_grad=True)
    found = carafe(features, masks, kernel, groups, scale)
    expected = _slow_carafe(features.detach(), masks.detach(), kernel, groups, scale)
    torch.testing.assert_close(found, expected)
    assert torch.equal(carafe_naive(features, masks, kernel, groups, scale), found)
    toward = torch.randn_like(found)
    gradients = torch.autograd.grad(found, (features, masks), toward)
    # Linear in each: <gradient, other> is what the loop makes of the other, along the same direction.
    others = torch.randn_like(features), torch.randn_like(masks)
    made = (
        _slow_carafe(others[0], masks.detach(), kernel, groups, scale),
        _slow_carafe(features.detach(), others[1], kernel, groups, scale),
    )
    for gradient, other, values in zip(gradients, others, made):
        assert float((gradient * other).sum()) == pytest.approx(float((values * toward).sum()), rel=1e-9)


def test_carafe_trains_under_autocast():
    from mmcv.ops import CARAFEPack

    torch.manual_seed(0)
    layer = CARAFEPack(8, scale_factor=2, compressed_channels=4)
    image = torch.randn(2, 5, 6, 8).permute(0, 3, 1, 2)  # channels last
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(image)
    torch.testing.assert_close(found.float(), layer(image), rtol=0.05, atol=0.05)
    found.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
