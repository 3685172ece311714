"""The stand-ins for deformable convolution and attention equal loops over single samples, forward and backward."""

import itertools
import math

import pytest
import torch

from frozen_det.host import mmcv_ops

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")


def _value_at(planes, y, x):
    """Bilinear values (C,) of planes (C, H, W) at a point; cells outside are 0. Differentiable in planes, y and x."""
    total = planes[:, 0, 0] * 0
    top, left = math.floor(y.detach()), math.floor(x.detach())
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < planes.shape[1] and 0 <= column < planes.shape[2]:
                total = total + planes[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def _slow_convolution(input, weight, offset, mask, bias, stride, padding, dilation, groups, deform_groups):
    """One sample at a time; offsets and masks are numbered by deform group, then kernel position, then (y, x)."""
    n, channels, _, _ = input.shape
    filters, per_group, kh, kw = weight.shape
    share = channels // deform_groups
    places = []
    for image, y, x in itertools.product(range(n), range(offset.shape[2]), range(offset.shape[3])):
        taps = []
        for i, j in itertools.product(range(kh), range(kw)):
            samples = []
            for part in range(deform_groups):
                k = part * kh * kw + i * kw + j
                at_y = y * stride - padding + i * dilation + offset[image, 2 * k, y, x]
                at_x = x * stride - padding + j * dilation + offset[image, 2 * k + 1, y, x]
                planes = input[image, part * share : (part + 1) * share]
                samples.append(_value_at(planes, at_y, at_x) * mask[image, k, y, x])
            taps.append(torch.cat(samples))
        patch = torch.stack(taps, dim=1).view(channels, kh, kw)
        places.append(
            torch.stack(
                [
                    (weight[d] * patch[d // (filters // groups) * per_group :][:per_group]).sum() + bias[d]
                    for d in range(filters)
                ]
            )
        )
    return torch.stack(places).view(n, *offset.shape[2:], filters).permute(0, 3, 1, 2)


def _scene(stride, padding, dilation, groups, deform_groups, kernel=(3, 2)):
    torch.manual_seed(0)
    size = [(s + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for s, k in zip((4, 5), kernel)]
    taps = deform_groups * kernel[0] * kernel[1]
    shapes = [(2, 4, 4, 5), (4, 4 // groups, *kernel), (2, 2 * taps, *size), (2, taps, *size), (4,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("geometry", [(1, 1, 1, 1, 1), (2, 2, 1, 2, 1), (1, 1, 2, 2, 4)])
def test_convolution_with_masks_equals_single_products_with_all_five_gradients(geometry):
    from mmcv.ops import modulated_deform_conv2d

    input, weight, offset, mask, bias = tensors = _scene(*geometry)
    found = modulated_deform_conv2d(input, offset, mask, weight, bias, *geometry)
    expected = _slow_convolution(input, weight, offset, mask, bias, *geometry)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    toward = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, tensors, toward),
        torch.autograd.grad(expected, tensors, toward),
        rtol=1e-9,
        atol=1e-11,
    )


def test_offsets_of_a_finer_map_are_read_as_mmcvs_kernels_read_them_with_their_gradients():
    """DyHead: from each sample's start, as many values as the output needs, in memory's order."""
    from mmcv.ops import modulated_deform_conv2d

    geometry = (1, 1, 1, 1, 1)
    input, weight, offset, mask, bias = _scene(*geometry)
    finer = [
        torch.randn(2, tensor.shape[1] + 3, 7, 8, dtype=torch.float64)[:, : tensor.shape[1]].requires_grad_()
        for tensor in (offset, mask)
    ]  # views, as DyHead has them
    read = [
        torch.stack(
            [
                torch.stack([sample.reshape(-1)[i] for i in range(tensor[0].numel())]).view_as(tensor[0])
                for sample in larger
            ]
        )
        for larger, tensor in zip(finer, (offset, mask))
    ]
    tensors = (input, weight, *finer, bias)
    found = modulated_deform_conv2d(input, *finer, weight, bias, *geometry)
    expected = _slow_convolution(input, weight, *read, bias, *geometry)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    toward = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, tensors, toward),
        torch.autograd.grad(expected, tensors, toward),
        rtol=1e-9,
        atol=1e-11,
    )


@pytest.mark.parametrize("geometry", [(1, 1, 1, 1, 1), (2, 2, 1, 2, 2)])
@pytest.mark.parametrize("im2col_step", [1, 32])
def test_convolution_without_masks_equals_single_products_with_its_gradients(geometry, im2col_step):
    from mmcv.ops import deform_conv2d

    input, weight, offset, mask, bias = _scene(*geometry)
    tensors = (input, weight, offset)
    found = deform_conv2d(input, offset, weight, *geometry, False, im2col_step)
    expected = _slow_convolution(input, weight, offset, torch.ones_like(mask), torch.zeros_like(bias), *geometry)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    toward = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, tensors, toward),
        torch.autograd.grad(expected, tensors, toward),
        rtol=1e-9,
        atol=1e-11,
    )


def test_a_second_backward_pass_has_its_own_gradient_of_the_weight():
    from mmcv.ops import deform_conv2d

    input, weight, offset, *_ = _scene(1, 1, 1, 1, 1)
    found = deform_conv2d(input, offset, weight, 1, 1)
    (once,) = torch.autograd.grad(found, weight, torch.ones_like(found), retain_graph=True)
    (twice,) = torch.autograd.grad(found, weight, 2 * torch.ones_like(found), retain_graph=True)
    torch.testing.assert_close(twice, 2 * once)
    alone = deform_conv2d(input.detach(), offset.detach(), weight, 1, 1)  # nothing before it asks for other gradients
    torch.testing.assert_close(torch.autograd.grad(alone, weight, torch.ones_like(found))[0], once)


@pytest.mark.parametrize("name", ["DCN", "DCNv2"])
def test_convolution_layers_of_mmcv_train_under_autocast_and_on_views(name):
    import mmcv.ops  # noqa: F401  registers the layers
    from mmengine.registry import MODELS

    torch.manual_seed(0)
    layer = MODELS.get(name)(4, 6, 3, padding=1, groups=2, deform_groups=2)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
    images = torch.randn(2, 5, 7, 4).permute(0, 3, 1, 2)  # channels last: not contiguous
    exact = layer(images)
    torch.testing.assert_close(exact, layer(images.contiguous()))
    with torch.autocast("cpu", torch.bfloat16):
        short = layer(images)
    assert short.dtype == torch.bfloat16
    assert float((short.float() - exact).abs().max()) < 0.05 * float(exact.abs().max())
    short.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in layer.parameters())


def _slow_attention(value, shapes, locations, weights):
    """Each query's sum over levels and points of weight times the value at (x * W - 0.5, y * H - 0.5)."""
    n, queries, heads, levels, points, _ = locations.shape
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(levels)]
    output = []
    for image, query, head in itertools.product(range(n), range(queries), range(heads)):
        total = value[0, 0, 0] * 0
        for level, (h, w) in enumerate(shapes):
            planes = value[image, starts[level] : starts[level] + h * w, head].t().view(-1, h, w)
            for point in range(points):
                x, y = locations[image, query, head, level, point].unbind()
                total = total + weights[image, query, head, level, point] * _value_at(planes, y * h - 0.5, x * w - 0.5)
        output.append(total)
    return torch.cat(output).view(n, queries, heads * value.shape[3])


def _attention_scene():
    torch.manual_seed(1)
    shapes = [(3, 4), (2, 2)]
    value = torch.randn(2, 16, 2, 3, dtype=torch.float64, requires_grad=True)
    locations = torch.empty(2, 3, 2, 2, 2, 2, dtype=torch.float64).uniform_(-0.2, 1.2).requires_grad_()
    weights = torch.rand(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    return value, shapes, locations, weights


def test_attention_equals_single_samples_with_all_three_gradients():
    """The function that mmcv's layer calls on a GPU, here with tensors of the processor."""
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value, shapes, locations, weights = _attention_scene()
    found = MultiScaleDeformableAttnFunction.apply(
        value, torch.tensor(shapes), torch.tensor([0, 12]), locations, weights, 64
    )
    expected = _slow_attention(value, shapes, locations, weights)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    toward, leaves = torch.randn_like(found), (value, locations, weights)
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves, toward), torch.autograd.grad(expected, leaves, toward), rtol=1e-9, atol=1e-11
    )


def test_attention_in_half_precision_computes_in_single():
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value, shapes, locations, weights = (t.detach().float() if torch.is_tensor(t) else t for t in _attention_scene())
    short = value.half().requires_grad_()
    found = MultiScaleDeformableAttnFunction.apply(
        short, torch.tensor(shapes), torch.tensor([0, 12]), locations, weights, 64
    )
    assert found.dtype == torch.float16
    # mmcv casts locations and weights to the values' type before it calls the operator.
    exact = _slow_attention(value.half().float(), shapes, locations.half().float(), weights.half().float())
    assert float((found.float() - exact).abs().max()) < 1e-3 * float(exact.abs().max())
    found.float().sum().backward()
    assert short.grad.dtype == torch.float16 and short.grad.abs().sum() > 0


@pytest.mark.parametrize("queries", [0, 5])
def test_the_attention_layer_trains_under_autocast(queries):
    from mmcv.ops import MultiScaleDeformableAttention

    torch.manual_seed(2)
    layer = MultiScaleDeformableAttention(16, num_heads=2, num_levels=2, num_points=2, batch_first=True, dropout=0)
    query = torch.randn(2, queries, 16)
    arguments = dict(
        value=torch.randn(2, 16, 16),
        reference_points=torch.rand(2, queries, 2, 2),
        spatial_shapes=torch.tensor([(3, 4), (2, 2)]),
        level_start_index=torch.tensor([0, 12]),
    )
    exact = layer(query, **arguments)
    with torch.autocast("cpu", torch.bfloat16):
        short = layer(query, **arguments)
    assert short.shape == (2, queries, 16)
    torch.testing.assert_close(short.float(), exact, rtol=0.05, atol=0.05)
    short.float().sum().backward()
    assert layer.value_proj.weight.grad.isfinite().all()
