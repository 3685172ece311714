"""What a classifier's config is: parameters, strides, FLOPs, bytes kept for backward; on meta tensors, without weights.

The rows are those of :mod:`frozen_det.reports.describe`, which counts; here is what a classifier is asked.
"""

import torch
from torch import nn

from ..models.backbone_sources.build import body_strides, build_body


def input_size_hw(cfg, model) -> tuple[int, int]:
    """(height, width) of the images that training sees: of its transforms, else what the library says, else 224."""
    dataset = (cfg.get("train_dataloader") or cfg.get("test_dataloader") or {}).get("dataset") or {}
    steps = dataset.get("transform") or []
    for step in reversed(steps if isinstance(steps, (list, tuple)) else [steps]):
        size = step.get("size")
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    known = getattr(model._preprocess, "input_size", None) or 224
    return known, known


def levels(backbone: dict) -> list[dict]:
    """Stride and channels of each feature that the classifier's body can hand to a detector."""
    cfg = {key: value for key, value in dict(backbone).items() if key != "init_cfg"}
    strides = body_strides(cfg)
    with torch.device("meta"):
        body = build_body(cfg, strides)
    return [{"stride": stride, "channels": channels} for stride, channels in zip(body.strides, body.channels)]


def parts(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """(name, module) of the network's children, stages of a common container one by one."""
    found = []
    for name, child in network.named_children():
        inner = list(child.named_children()) if isinstance(child, (nn.Sequential, nn.ModuleList)) else []
        if len(inner) > 1 and name in ("blocks", "stages", "layers", "features"):
            found += [(f"network.{name}.{stage}", module) for stage, module in inner]
        else:
            found.append((f"network.{name}", child))
    return found
