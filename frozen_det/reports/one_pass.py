"""Everything of a detector that has parameters, once, for one image: what its FLOPs and memory are counted on.

Heads are given the features, and heads on regions stand-ins for RoIAlign's. A detector whose head does not see the
features themselves (DETR's kin, mask transformers) runs as a whole, in eval mode: without the denoising queries that
some have in training.
"""

import inspect

import torch
from torch import nn

# How a forward pass says that it reads values, which meta tensors do not have.
VALUES_NEEDED = (NotImplementedError, RuntimeError)
_NOT_HEADS = ("backbone", "neck", "data_preprocessor", "roi_head")


def run_once(model: nn.Module, size_hw: tuple[int, int], num_rois: int) -> list[torch.Tensor]:
    """Run a detector on one image of zeros, on its own device.

    Args:
        model: a detector of mmdet.
        size_hw: height and width in px.
        num_rois: regions in the second stage.

    Returns:
        all outputs, whose sum depends on everything that ran.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    device = next(model.parameters()).device
    image = torch.zeros(1, 3, *size_hw, device=device)
    with sdpa_kernel(SDPBackend.MATH):  # as matrix products, which are counted
        if _runs_as_a_whole(model):
            return _whole(model, image)
        features = model.backbone(image)
        if getattr(model, "with_neck", False):
            features = model.neck(features)
        heads = [child for name, child in model.named_children() if name not in _NOT_HEADS]
        outputs = [tensor for head in heads if _takes_features(head) for tensor in tensors_in(head(features))]
        if getattr(model, "roi_head", None) is not None:
            outputs += _on_regions(model.roi_head, features, num_rois)
    return outputs or tensors_in(features)


def tensors_in(value) -> list[torch.Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in tensors_in(item)] if isinstance(value, (list, tuple)) else []


def _runs_as_a_whole(model: nn.Module) -> bool:
    return hasattr(model, "forward_transformer") or hasattr(model, "panoptic_head")


def _whole(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    from mmdet.structures import DetDataSample

    size_hw = tuple(image.shape[2:])
    sample = DetDataSample(
        metainfo=dict(
            img_shape=size_hw, ori_shape=size_hw, batch_input_shape=size_hw, pad_shape=size_hw, scale_factor=(1.0, 1.0)
        )
    )
    was_training = model.training
    model.eval()
    try:
        return tensors_in(model(image, [sample], mode="tensor"))
    finally:
        model.train(was_training)


def _takes_features(head: nn.Module) -> bool:
    """Whether a head with parameters runs on the features alone; others wait for objects that were found."""
    if not any(True for _ in head.parameters()):
        return False
    try:
        inspect.signature(head.forward).bind(())
    except TypeError:
        return False
    return True


def _on_regions(roi_head: nn.Module, features, num_rois: int) -> list[torch.Tensor]:
    outputs = []
    link = sum(feature.mean() for feature in features)  # carries the gradient that RoIAlign would
    channels = features[0].shape[1]
    for heads, rois in (
        (getattr(roi_head, "bbox_head", None), num_rois),
        (getattr(roi_head, "mask_head", None), min(100, num_rois // 4)),
    ):
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            if head is None or not _takes_features(head):
                continue
            side = getattr(head, "roi_feat_size", 14)
            side = side if isinstance(side, int) else side[0]
            outputs += tensors_in(head(link * torch.ones(rois, channels, side, side, device=link.device)))
    return outputs
