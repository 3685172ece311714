"""mmcv's deformable convolutions (v1, v2) on torchvision's, and deformable attention on mmcv's own torch version.

Offsets are (N, deform_groups * kh * kw * 2, h, w) in the order (y, x) per kernel position, in pixels of the input, and
masks (N, deform_groups * kh * kw, h, w); torchvision's order is the same. What lies more than one pixel outside the
input is 0. ``im2col_step`` divides mmcv's work into pieces; it changes no value, and torchvision chooses its own.
"""

import torch

from .precision import gradients, wide


def deform_conv_forward(
    input,
    weight,
    offset,
    output,
    columns,
    ones,
    kW,
    kH,
    dW,
    dH,
    padW,
    padH,
    dilationW,
    dilationH,
    group,
    deformable_group,
    im2col_step,
):
    """Fill ``output`` (N, D, h, w) with v1 (Dai et al., ICCV 2017); input (N, C, H, W), weight (D, C/group, kh, kw)."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input,
    offset,
    grad_output,
    grad_input,
    grad_offset,
    weight,
    columns,
    kW,
    kH,
    dW,
    dH,
    padW,
    padH,
    dilationW,
    dilationH,
    group,
    deformable_group,
    im2col_step,
):
    """Add the gradients by input and offset; the one by the weight comes with them and is left in ``columns``.

    torchvision gives all gradients at once. mmcv asks for the weight's right after, with the same scratch tensor.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    by_input, by_weight, by_offset, _, _ = _convolve_backward(grad_output, input, weight, offset, None, None, geometry)
    grad_input.add_(by_input)
    grad_offset.add_(by_offset)
    columns.set_(by_weight.to(columns.dtype))


def deform_conv_backward_parameters(
    input,
    offset,
    grad_output,
    grad_weight,
    columns,
    ones,
    kW,
    kH,
    dW,
    dH,
    padW,
    padH,
    dilationW,
    dilationH,
    group,
    deformable_group,
    scale,
    im2col_step,
):
    """Add the weight's gradient times ``scale``: the one left in ``columns`` by the input's step, or computed here."""
    if columns.shape != grad_weight.shape:
        geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        # The gradient by the weight does not depend on the weight's values.
        columns = _convolve_backward(grad_output, input, grad_weight, offset, None, None, geometry)[1]
        grad_weight.add_(columns.to(grad_weight.dtype), alpha=scale)
    else:
        grad_weight.add_(columns, alpha=scale)
        columns.set_()  # used once: another backward pass has another gradient


def modulated_deform_conv_forward(
    input,
    weight,
    bias,
    ones,
    offset,
    mask,
    output,
    columns,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_h,
    pad_w,
    dilation_h,
    dilation_w,
    group,
    deformable_group,
    with_bias,
):
    """Fill ``output`` (N, D, h, w) with v2 (Zhu et al., CVPR 2019): samples times ``mask``, and ``bias`` (D,)."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    offset, mask = _as_read(offset, output), _as_read(mask, output)
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input,
    weight,
    bias,
    ones,
    offset,
    mask,
    columns,
    grad_input,
    grad_weight,
    grad_bias,
    grad_offset,
    grad_mask,
    grad_output,
    kernel_h,
    kernel_w,
    stride_h,
    stride_w,
    pad_h,
    pad_w,
    dilation_h,
    dilation_w,
    group,
    deformable_group,
    with_bias,
):
    """Add v2's gradients to the five ``grad_`` tensors."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    offset, mask = _as_read(offset, grad_output), _as_read(mask, grad_output)
    found = _convolve_backward(grad_output, input, weight, offset, mask, bias if with_bias else None, geometry)
    sums = (grad_input, grad_weight, _as_read(grad_offset, grad_output), _as_read(grad_mask, grad_output))
    for total, gradient in zip(sums + ((grad_bias,) if with_bias else ()), found):
        total.add_(gradient)


def _as_read(values, output):
    """A view of what mmcv's v2 kernels read of offsets or a mask (N, C, H, W), for an output (N, D, h, w).

    They do not compare sizes: from the start of each sample they take C * h * w values as if the map were h x w. DyHead
    hands the offsets of a level to the coarser one beside it, so its weights were trained with this.
    """
    (samples, channels), cells = values.shape[:2], output.shape[-2:]
    if values.shape[-2:] == cells or values[0:1].numel() < channels * cells.numel():
        return values
    return values.flatten(1)[:, : channels * cells.numel()].view(samples, channels, *cells)


def _convolve(input, weight, offset, mask, bias, geometry):
    import torchvision  # noqa: F401  registers torch.ops.torchvision

    return torch.ops.torchvision.deform_conv2d(
        *_arguments(input, weight, offset, mask, bias), *geometry, mask is not None
    )


def _convolve_backward(grad_output, input, weight, offset, mask, bias, geometry):
    """Gradients by input, weight, offset, mask and bias."""
    import torchvision  # noqa: F401

    return torch.ops.torchvision._deform_conv2d_backward(
        wide(grad_output).contiguous(), *_arguments(input, weight, offset, mask, bias), *geometry, mask is not None
    )


def _arguments(input, weight, offset, mask, bias):
    """The five tensors as torchvision's kernels want them: one dtype, contiguous, placeholders for absent ones."""
    input = wide(input)
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = input.new_zeros(len(weight)) if bias is None else bias
    return [tensor.to(input.dtype).contiguous() for tensor in (input, weight, offset, mask, bias)]


def ms_deform_attn_forward(
    value, value_spatial_shapes, value_level_start_index, sampling_locations, attention_weights, im2col_step
):
    """Multi-scale deformable attention (Zhu et al., ICLR 2021) -> (N, queries, heads * d).

    value (N, keys, heads, d); spatial shapes (levels, 2) as (h, w); sampling locations (N, queries, heads, levels,
    points, 2) as (x, y) in 0..1; attention weights (N, queries, heads, levels, points).
    """
    output = _attend(value_spatial_shapes)(wide(value), wide(sampling_locations), wide(attention_weights))
    return output.to(value.dtype)


def ms_deform_attn_backward(
    value,
    value_spatial_shapes,
    value_level_start_index,
    sampling_locations,
    attention_weights,
    grad_output,
    grad_value,
    grad_sampling_loc,
    grad_attn_weight,
    im2col_step,
):
    """Add the gradients by value, locations and weights; the forward pass is repeated, so nothing large is kept."""
    found = gradients(_attend(value_spatial_shapes), (value, sampling_locations, attention_weights), grad_output)
    for total, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), found):
        total.add_(gradient)


def _attend(spatial_shapes):
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    shapes = [(int(h), int(w)) for h, w in spatial_shapes.tolist()]
    return lambda value, locations, weights: multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)


OPERATORS = {
    function.__name__: function
    for function in (
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
    )
}
