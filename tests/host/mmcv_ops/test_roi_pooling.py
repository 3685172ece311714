"""The stand-ins for RoI pooling equal loops over bins and samples; gradients equal those of the loops."""

import itertools
import math

import pytest
import torch

from frozen_det.host import mmcv_ops

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")

# Image index and xyxy in image pixels; features are a quarter of that. Inside, over the border, outside, no area.
ROIS = torch.tensor(
    [[1, 3.0, 4, 20, 22], [0, -9, -5, 12.5, 40], [1, 90, 90, 99, 99], [0, 9, 9, 8, 8], [0, 8, 8, 8.5, 8]],
    dtype=torch.float64,
)
SCALE, SIZE = 0.25, (2, 3)


def _features():
    torch.manual_seed(0)
    return torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)


def _by_bin(rois, channels, pooled):
    """(R, C, h, w) from a function of (roi, bin row, bin column) that gives (C,)."""
    rows = [pooled(roi, i, j) for roi in rois for i, j in itertools.product(*map(range, SIZE))]
    return torch.stack(rows).view(len(rois), *SIZE, channels).permute(0, 3, 1, 2)


def _slow_maximum(features, rois):
    """The largest cell that a bin touches; the region ends a pixel after x2 and y2; 0 where there is none."""

    def pooled(roi, i, j):
        image, x1, y1, x2, y2 = roi[0], *(roi[1:3] * SCALE), *((roi[3:] + 1) * SCALE)
        nothing = features[0, :, 0, 0] * 0
        if x2 <= x1 or y2 <= y1:
            return nothing
        h, w = (y2 - y1) / SIZE[0], (x2 - x1) / SIZE[1]
        rows = range(max(math.floor(i * h + y1), 0), min(math.ceil((i + 1) * h + y1), features.shape[2]))
        columns = range(max(math.floor(j * w + x1), 0), min(math.ceil((j + 1) * w + x1), features.shape[3]))
        cells = [features[int(image), :, y, x] for y in rows for x in columns]
        return torch.stack(cells).amax(0) if cells else nothing

    return _by_bin(rois, features.shape[1], pooled)


def test_maximum_pooling_equals_the_loop_and_its_gradient_goes_to_the_largest_cell():
    from mmcv.ops import RoIPool

    features = _features()
    found, expected = RoIPool(SIZE, SCALE)(features, ROIS), _slow_maximum(features, ROIS)
    assert torch.equal(found, expected)
    assert found[2:3].abs().sum() == 0 and found[3].abs().sum() == 0
    toward = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, features, toward),
        torch.autograd.grad(expected, features, toward),
        rtol=1e-12,
        atol=1e-14,
    )


def _sample(features, image, y, x):
    """RoIAlign's bilinear sample (C,): held to the border up to one cell beyond it, then 0."""
    height, width = features.shape[2:]
    if y < -1 or y > height or x < -1 or x > width:
        return features[0, :, 0, 0] * 0
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = int(y), int(x)
    total = 0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if row < height and column < width:
            total = total + features[int(image), :, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def _slow_deformable(features, rois, offset, ratio, gamma):
    def pooled(roi, i, j):
        index = next(k for k in range(len(rois)) if rois[k] is roi or torch.equal(rois[k], roi))
        x1, y1, x2, y2 = roi[1:] * SCALE - 0.5
        h, w = (y2 - y1) / SIZE[0], (x2 - x1) / SIZE[1]
        count_y, count_x = (ratio, ratio) if ratio else (math.ceil(h), math.ceil(w))
        shift_x = gamma * (x2 - x1) * offset[index, 0, i, j] if offset is not None else 0
        shift_y = gamma * (y2 - y1) * offset[index, 1, i, j] if offset is not None else 0
        total = features[0, :, 0, 0] * 0
        for a, b in itertools.product(range(max(count_y, 0)), range(max(count_x, 0))):
            total = total + _sample(
                features,
                roi[0],
                y1 + shift_y + i * h + (a + 0.5) * h / count_y,
                x1 + shift_x + j * w + (b + 0.5) * w / count_x,
            )
        return total / max(count_y * count_x, 1)

    return _by_bin(rois, features.shape[1], pooled)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("shifted", [False, True])
def test_deformable_pooling_equals_the_loop_with_gradients_of_features_and_offsets(ratio, shifted):
    from mmcv.ops import deform_roi_pool

    features = _features()
    offset = torch.randn(len(ROIS), 2, *SIZE, dtype=torch.float64, requires_grad=True) if shifted else None
    found = deform_roi_pool(features, ROIS, offset, SIZE, SCALE, ratio, 0.3)
    expected = _slow_deformable(features, ROIS, offset, ratio, 0.3)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    toward, leaves = torch.randn_like(found), [features] + ([offset] if shifted else [])
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves, toward), torch.autograd.grad(expected, leaves, toward), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("name", ["DeformRoIPoolPack", "ModulatedDeformRoIPoolPack"])
def test_the_layers_of_deformable_pooling_train(name):
    import mmcv.ops

    torch.manual_seed(0)
    layer = getattr(mmcv.ops, name)(SIZE, 3, spatial_scale=SCALE, deform_fc_channels=8)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    features = _features().float().detach().requires_grad_()
    layer(features, ROIS[:2].float()).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in [features, *layer.parameters()])


def _slow_precise(features, roi, i, j, per_cell=400):
    """The mean of the bilinear surface over a bin by many samples: good to about one part in per_cell."""
    x1, y1, x2, y2 = roi[1:] * SCALE
    h, w = (y2 - y1) / SIZE[0], (x2 - x1) / SIZE[1]
    steps = (torch.arange(per_cell, dtype=torch.float64) + 0.5) / per_cell
    y, x = y1 + (i + steps) * h, x1 + (j + steps) * w
    over_y = (1 - (y[:, None] - torch.arange(features.shape[2])).abs()).clamp(min=0)
    over_x = (1 - (x[:, None] - torch.arange(features.shape[3])).abs()).clamp(min=0)
    return torch.einsum("yh,chw,xw->c", over_y, features[int(roi[0])], over_x) / per_cell**2


def test_precise_pooling_equals_the_mean_of_many_samples_of_the_surface():
    from mmcv.ops import PrRoIPool

    features = _features().detach()
    found = PrRoIPool(SIZE, SCALE)(features.float(), ROIS.float())
    expected = _by_bin(ROIS[:3], 3, lambda roi, i, j: _slow_precise(features, roi, i, j))
    torch.testing.assert_close(found[:3].double(), expected, rtol=1e-3, atol=1e-4)
    assert found[3:].abs().sum() == 0  # no area


def test_the_gradients_of_precise_pooling_are_those_of_its_values():
    """By finite differences in float64, in features and in the coordinates of regions with an area."""
    import mmcv._ext as operators

    features, rois = _features().detach(), ROIS[:3].clone()

    def pooled(features, rois):
        output = features.new_zeros(len(rois), 3, *SIZE)
        operators.prroi_pool_forward(features, rois, output, pooled_height=2, pooled_width=3, spatial_scale=SCALE)
        return output

    toward = torch.randn(3, 3, *SIZE, dtype=torch.float64)
    by_features, by_rois = torch.zeros_like(features), torch.zeros_like(rois)
    geometry = dict(pooled_height=2, pooled_width=3, spatial_scale=SCALE)
    operators.prroi_pool_backward(toward, rois, by_features, **geometry)
    operators.prroi_pool_coor_backward(pooled(features, rois), toward, features, rois, by_rois, **geometry)
    step = 1e-6
    for tensor, gradient, places in (
        (features, by_features, [(0, 1, 2, 3), (1, 0, 0, 0), (1, 2, 5, 5)]),
        (rois, by_rois, [(0, 1), (0, 4), (1, 2), (1, 3), (2, 1)]),
    ):
        for place in places:
            plus, minus = tensor.clone(), tensor.clone()
            plus[place] += step
            minus[place] -= step
            values = [pooled(t, rois) if tensor is features else pooled(features, t) for t in (plus, minus)]
            slope = float(((values[0] - values[1]) * toward).sum() / (2 * step))
            assert float(gradient[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


LAYERS = {"RoIAlign": {}, "RoIPool": {}, "PrRoIPool": {}, "DeformRoIPool": {}}


@pytest.mark.parametrize("name", LAYERS)
def test_no_regions_and_views_and_half_precision_are_taken(name):
    import mmcv.ops

    layer = getattr(mmcv.ops, name)(SIZE, SCALE)
    features, rois = _features().detach().float().requires_grad_(), ROIS[:3].float()
    nothing = layer(features, rois[:0])
    assert nothing.shape == (0, 3, *SIZE)
    nothing.sum().backward()
    assert features.grad.abs().sum() == 0
    view = features.detach().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last
    exact = layer(view, rois)
    assert torch.equal(exact, layer(features, rois))
    if name == "PrRoIPool":
        return  # mmcv's layer takes float32 only
    with torch.autocast("cpu", torch.bfloat16):
        short = features.detach().bfloat16().requires_grad_()
        found = layer(short, rois + 0.0625)  # a coordinate that bfloat16 does not hold
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, layer(short.float(), rois + 0.0625).bfloat16())
    found.float().sum().backward()
    assert short.grad.isfinite().all() and short.grad.abs().sum() > 0


def test_regions_are_not_copied_out_of_torchvisions_result(monkeypatch):
    import torchvision.ops
    from mmcv.ops import RoIAlign

    made = []
    pool = torchvision.ops.roi_align
    monkeypatch.setattr(torchvision.ops, "roi_align", lambda *given: made.append(pool(*given)) or made[-1])
    features, rois = _features().detach().float(), ROIS[:3].float()
    found = RoIAlign(SIZE, SCALE)(features, rois)
    assert found.data_ptr() == made[0].data_ptr() and torch.equal(found, pool(features, rois, SIZE, SCALE, -1, True))
