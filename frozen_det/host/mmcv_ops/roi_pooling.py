"""mmcv's pooling of regions: RoIAlign on torchvision's, RoIPool, deformable and precise pooling in plain arithmetic.

Features are (N, C, H, W); ``rois`` (R, 5) hold the image's index and xyxy in image pixels; ``output`` is (R, C, h, w).
torchvision has a RoIPool, but one that rounds a region to whole cells first, which mmcv's does not.
"""

import torch

from .precision import gradients, wide


def roi_align_forward(
    input,
    rois,
    output,
    argmax_y,
    argmax_x,
    aligned_height,
    aligned_width,
    spatial_scale,
    sampling_ratio,
    pool_mode,
    aligned,
):
    """Fill ``output`` with RoIAlign's average of bilinear samples (He et al., ICCV 2017)."""
    from torchvision.ops import roi_align

    _only_average(pool_mode)
    features = wide(input)
    sampling = sampling_ratio if sampling_ratio > 0 else -1
    pooled = roi_align(
        features, rois.to(features.dtype), (aligned_height, aligned_width), spatial_scale, sampling, aligned
    )
    if type(output) is torch.Tensor and output.dtype == pooled.dtype and output.device.type != "meta":
        output.set_(pooled)  # mmcv made it for this call alone: the result takes its place, without a copy
    else:
        output.copy_(pooled)


def roi_align_backward(
    grad_output,
    rois,
    argmax_y,
    argmax_x,
    grad_input,
    aligned_height,
    aligned_width,
    spatial_scale,
    sampling_ratio,
    pool_mode,
    aligned,
):
    """Add RoIAlign's gradient with respect to its input to ``grad_input`` (N, C, H, W)."""
    import torchvision  # noqa: F401  registers torch.ops.torchvision

    _only_average(pool_mode)
    sampling = sampling_ratio if sampling_ratio > 0 else -1
    grad_output = wide(grad_output).contiguous()
    grad_input.add_(
        torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois.to(grad_output.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling,
            aligned,
        )
    )


def _only_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "mmcv's RoIAlign has pool_mode='max', which torchvision does not have. "
            "Use pool_mode='avg', or install mmcv with its compiled ops."
        )


def roi_pool_forward(input, rois, output, argmax, pooled_height, pooled_width, spatial_scale):
    """Fill ``output`` with the maximum of each bin, and ``argmax`` with its place y * W + x, or -1 without one.

    A region ends one image pixel after x2 and y2; a bin covers every cell that it touches (Girshick, ICCV 2015, as
    mmcv has it). Bins outside the image and regions without an area give 0 and, unlike mmcv's, no gradient.
    """
    if rois.is_meta:
        return  # shapes alone, which mmcv has made
    height, width = input.shape[2:]
    argmax.fill_(-1)
    for index, (image, x1, y1, x2, y2) in enumerate(wide(rois).unbind()):
        x1, y1, x2, y2 = x1 * spatial_scale, y1 * spatial_scale, (x2 + 1) * spatial_scale, (y2 + 1) * spatial_scale
        if x2 <= x1 or y2 <= y1:
            continue
        columns, rows = _bins(x1, x2, pooled_width, width), _bins(y1, y2, pooled_height, height)
        for at_y, (top, bottom) in enumerate(rows):
            for at_x, (left, right) in enumerate(columns):
                if bottom > top and right > left:
                    cells = input[int(image), :, top:bottom, left:right]  # (C, bin height, bin width)
                    best, place = cells.flatten(1).max(dim=1)
                    output[index, :, at_y, at_x] = best
                    argmax[index, :, at_y, at_x] = (
                        (top + place // (right - left)) * width + left + place % (right - left)
                    ).to(argmax.dtype)


def _bins(start, end, count: int, size: int) -> list[tuple[int, int]]:
    """First and last-but-one cell of each of ``count`` bins between two coordinates on an axis of ``size`` cells."""
    steps = torch.arange(count, device=start.device, dtype=start.dtype)
    length = (end - start) / count
    first, last = (steps * length + start).floor(), ((steps + 1) * length + start).ceil()
    return list(zip(first.clamp(0, size).int().tolist(), last.clamp(0, size).int().tolist()))


def roi_pool_backward(grad_output, rois, argmax, grad_input, pooled_height, pooled_width, spatial_scale):
    """Add each bin's gradient to the cell that was its maximum."""
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)  # (R, C)
    cell = plane[:, :, None, None] * (height * width) + argmax
    taken = argmax >= 0
    total = wide(grad_input).new_zeros(grad_input.numel())
    total.index_add_(0, cell[taken], wide(grad_output)[taken].to(total.dtype))
    grad_input.add_(total.view(grad_input.shape))


def deform_roi_pool_forward(
    input, rois, offset, output, pooled_height, pooled_width, spatial_scale, sampling_ratio, gamma
):
    """Fill ``output`` with RoIAlign's average in bins that are shifted by ``offset`` (R, 2, h, w), (x, y).

    An offset counts in ``gamma`` times the region's size (Dai et al., ICCV 2017); an empty one shifts nothing.
    """
    pool = _deformable(rois, output.shape[2:], spatial_scale, sampling_ratio, gamma)
    output.copy_(pool(wide(input), wide(offset)))


def deform_roi_pool_backward(
    grad_output,
    input,
    rois,
    offset,
    grad_input,
    grad_offset,
    pooled_height,
    pooled_width,
    spatial_scale,
    sampling_ratio,
    gamma,
):
    """Add the gradients by features and offsets. At the border they are those of the values; mmcv's are not."""
    if not len(rois):
        return
    pool = _deformable(rois, grad_output.shape[2:], spatial_scale, sampling_ratio, gamma)
    if offset.numel():
        by_input, by_offset = gradients(pool, (input, offset), grad_output)
        grad_offset.add_(by_offset)
    else:
        (by_input,) = gradients(lambda features: pool(features, offset), (input,), grad_output)
    grad_input.add_(by_input)


def _deformable(rois, size_hw, spatial_scale: float, sampling_ratio: int, gamma: float):
    """Deformable pooling of these regions, as a function of features (N, C, H, W) and offsets (R, 2, h, w)."""
    rois = wide(rois)
    bins_y, bins_x = size_hw

    def pool(features, offset):
        image = rois[:, 0].long()
        x1, y1, x2, y2 = (rois[:, 1:].to(features.dtype) * spatial_scale - 0.5).unbind(1)
        extents = torch.stack([(y2 - y1) / bins_y, (x2 - x1) / bins_x], dim=1)  # (R, 2): a bin's height and width
        # RoIAlign samples each bin about once a cell, or `sampling_ratio` times along each axis.
        counts = (torch.full_like(extents, sampling_ratio) if sampling_ratio > 0 else extents.ceil()).int()
        output = features.new_zeros(len(rois), features.shape[1], bins_y, bins_x)
        for count_y, count_x in torch.unique(counts, dim=0).tolist():
            if count_y < 1 or count_x < 1:
                continue
            some = ((counts[:, 0] == count_y) & (counts[:, 1] == count_x)).nonzero()[:, 0]
            y = _positions(y1[some], extents[some, 0], bins_y, count_y)[:, :, None]  # (r, h, 1, count_y)
            x = _positions(x1[some], extents[some, 1], bins_x, count_x)[:, None]  # (r, 1, w, count_x)
            if offset.numel():
                shift = gamma * offset[some]
                x = x + (shift[:, 0] * (x2 - x1)[some, None, None])[..., None]
                y = y + (shift[:, 1] * (y2 - y1)[some, None, None])[..., None]
            y, x = torch.broadcast_tensors(y[..., :, None], x[..., None, :])
            samples = _bilinear(features, image[some], y, x)  # (r, h, w, count_y, count_x, C)
            output = output.index_put((some,), samples.mean(dim=(3, 4)).permute(0, 3, 1, 2))
        return output

    return pool


def _positions(start, extent, bins: int, count: int):
    """(r, bins, count): coordinates of ``count`` evenly spread samples in each bin of ``extent`` from ``start`` on."""
    bin_ = torch.arange(bins, device=start.device, dtype=start.dtype)[:, None]
    sample = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    return start[:, None, None] + (bin_ + sample) * extent[:, None, None]


def _bilinear(features, image, y, x):
    """Values (r, ..., C) of ``features[image]`` at y, x (r, ...); held to the border one cell beyond it, then 0."""
    height, width = features.shape[2:]
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.detach().floor(), x.detach().floor()
    part_y, part_x = (y - top)[..., None], (x - left)[..., None]
    top, left = top.long(), left.long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    image = image.view(-1, *[1] * (y.dim() - 1)).expand_as(top)
    by_cell = features.permute(0, 2, 3, 1)
    upper = by_cell[image, top, left] * (1 - part_x) + by_cell[image, top, right] * part_x
    lower = by_cell[image, bottom, left] * (1 - part_x) + by_cell[image, bottom, right] * part_x
    return (upper * (1 - part_y) + lower * part_y) * inside[..., None]


def prroi_pool_forward(features, rois, output, pooled_height, pooled_width, spatial_scale):
    """Fill ``output`` with the mean of the bilinear surface over each bin, exactly (Jiang et al., ECCV 2018).

    The surface is 0 one cell outside the features. Regions without an area give 0.
    """
    output.copy_(_mean_of_surface(features, rois, output.shape[2:], spatial_scale))


def prroi_pool_backward(grad_output, rois, grad_input, pooled_height, pooled_width, spatial_scale):
    """Add the gradient by the features."""
    if len(rois):
        # Pooling is linear in the features: zeros have the same gradient.
        grad_input.add_(
            gradients(
                lambda features: _mean_of_surface(features, rois, grad_output.shape[2:], spatial_scale),
                (grad_input,),
                grad_output,
            )[0]
        )


def prroi_pool_coor_backward(
    output, grad_output, features, rois, grad_coor, pooled_height, pooled_width, spatial_scale
):
    """Add the gradient by the regions' coordinates to ``grad_coor`` (R, 5)."""
    if len(rois):
        grad_coor.add_(
            gradients(
                lambda moved: _mean_of_surface(features, moved, grad_output.shape[2:], spatial_scale),
                (rois,),
                grad_output,
            )[0]
        )


def _mean_of_surface(features, rois, size_hw, spatial_scale: float):
    """(R, C, h, w). A bilinear surface is a sum of hats, and the integral of a hat over a bin is a product of two."""
    features, rois = wide(features), wide(rois)
    x1, y1, x2, y2 = (rois[:, 1:] * spatial_scale).unbind(1)
    over_y, extent_y = _hat_integrals(y1, y2, size_hw[0], features.shape[2])
    over_x, extent_x = _hat_integrals(x1, x2, size_hw[1], features.shape[3])
    pooled = [
        torch.einsum("hy,cyx,wx->chw", rows, features[int(image)], columns)
        for image, rows, columns in zip(rois[:, 0].tolist(), over_y, over_x)
    ]
    if not pooled:
        return features.new_zeros(0, features.shape[1], *size_hw)
    area = (extent_y * extent_x)[:, None, None, None]
    return torch.where(area > 0, torch.stack(pooled) / area.where(area > 0, 1), 0)


def _hat_integrals(start, end, bins: int, size: int):
    """Integrals (R, bins, size) of each cell's hat over each bin of start..end, and a bin's extent (R,)."""
    extent = (end - start).clamp(min=0) / bins
    edges = start[:, None] + extent[:, None] * torch.arange(bins + 1, device=start.device, dtype=start.dtype)
    distance = (edges[..., None] - torch.arange(size, device=start.device, dtype=start.dtype)).clamp(-1, 1)
    upto = distance - distance * distance.abs() / 2  # integral of 1 - |t| up to here
    return upto[:, 1:] - upto[:, :-1], extent


OPERATORS = {
    function.__name__: function
    for function in (
        roi_align_forward,
        roi_align_backward,
        roi_pool_forward,
        roi_pool_backward,
        deform_roi_pool_forward,
        deform_roi_pool_backward,
        prroi_pool_forward,
        prroi_pool_backward,
        prroi_pool_coor_backward,
    )
}
