"""mmcv's masked convolution and CARAFE in plain tensor arithmetic: patches are unfolded, weighted and put in place."""

import torch
import torch.nn.functional as F

from .precision import gradients, wide


def masked_im2col_forward(features, mask_h_idx, mask_w_idx, data_col, kernel_h, kernel_w, pad_h, pad_w):
    """Fill ``data_col`` (C * kh * kw, M) with the zero-padded patches of (1, C, H, W) at M places (y, x)."""
    padded = F.pad(features[0], (pad_w, kernel_w, pad_h, kernel_h))
    rows = mask_h_idx[:, None] + torch.arange(kernel_h, device=mask_h_idx.device)
    columns = mask_w_idx[:, None] + torch.arange(kernel_w, device=mask_w_idx.device)
    patches = padded[:, rows[:, :, None], columns[:, None, :]]  # (C, M, kh, kw)
    data_col.copy_(patches.permute(0, 2, 3, 1).reshape(data_col.shape))


def masked_col2im_forward(data_col, mask_h_idx, mask_w_idx, output, height, width, channels):
    """Put the columns of ``data_col`` (D, M) at their places in ``output`` (1, D, H, W)."""
    output[0, :, mask_h_idx, mask_w_idx] = data_col.to(output.dtype)


def carafe_forward(features, masks, rfeatures, routput, rmasks, output, kernel_size, group_size, scale_factor):
    """CARAFE (Wang et al., ICCV 2019): fill ``output`` (N, C, s * h, s * w) from features (N, C, h, w).

    Each cell is a sum of the kernel_size^2 cells around its source, weighted by ``masks`` (N, group_size *
    kernel_size^2, s * h, s * w). ``rfeatures`` is what mmcv keeps for the backward pass: here, the features.
    """
    rfeatures.copy_(features)
    output.copy_(_reassembled(kernel_size, group_size, scale_factor)(wide(features), wide(masks)))


def carafe_backward(
    grad_output,
    rfeatures,
    masks,
    rgrad_output,
    rgrad_input_hs,
    rgrad_input,
    rgrad_masks,
    grad_input,
    grad_masks,
    kernel_size,
    group_size,
    scale_factor,
):
    """Add CARAFE's gradients by features and masks."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor)


def carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor):
    """The same sum under the name of mmcv's slow version."""
    output.copy_(_reassembled(kernel_size, group_size, scale_factor)(wide(features), wide(masks)))


def carafe_naive_backward(grad_output, features, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor):
    """Add the gradients by features and masks."""
    reassemble = _reassembled(kernel_size, group_size, scale_factor)
    by_features, by_masks = gradients(reassemble, (features, masks), grad_output)
    grad_input.add_(by_features)
    grad_masks.add_(by_masks)


def _reassembled(kernel: int, groups: int, scale: int):
    def reassemble(features, masks):
        n, channels, height, width = features.shape
        masks = masks.to(features.dtype).reshape(n, groups, kernel * kernel, height, scale, width, scale)
        patches = F.unfold(features, kernel, padding=kernel // 2)
        patches = patches.view(n, groups, channels // groups, kernel * kernel, height, width)
        output = torch.einsum("ngckhw,ngkhawb->ngchawb", patches, masks)
        return output.reshape(n, channels, height * scale, width * scale)

    return reassemble


OPERATORS = {
    function.__name__: function
    for function in (
        masked_im2col_forward,
        masked_col2im_forward,
        carafe_forward,
        carafe_backward,
        carafe_naive_forward,
        carafe_naive_backward,
    )
}
