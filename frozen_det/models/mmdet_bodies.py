"""Bodies registered in mmdet, and this package's own, from their configs. Refuses unknown types."""

import torch
from torch import Tensor

from ..errors import InputError, closest
from .body_contract import PROBE_SIZE_HW, Body, ListFeatures, on_meta, select_by_stride


def mmdet_body(cfg: dict, strides) -> Body:
    """A registered backbone as a :class:`Body`.

    Args:
        cfg: the backbone's config; `init_cfg` is dropped.
        strides: wanted strides, ascending.

    Raises:
        InputError: an unknown type, or a stride that the backbone does not have.
    """
    from mmdet.registry import MODELS

    if MODELS.get(cfg["type"]) is None:
        raise InputError(f"expected 'timm', 'torchvision' or a backbone registered in mmdet as "
                         f"model.backbone.body.type, got {cfg['type']!r}; {closest(cfg['type'], MODELS.module_dict)}")
    cfg.pop("init_cfg", None)  # weights come through the one door only
    own = cfg["type"].startswith("frozen_det.")
    where = f"frozen_det/{cfg['type'].removeprefix('frozen_det.')}" if own else f"mmdet/{cfg['type']}"
    probe, shapes = _measured(cfg)
    indices, channels = select_by_stride(shapes, strides, where)
    return Body(MODELS.build(cfg), tuple(strides), tuple(channels), ListFeatures(indices),
                f"{where}{cfg.get('depth', '')}", getattr(probe, "head_keys", frozenset()),
                getattr(probe, "preprocess", None))


def mmdet_shapes(cfg: dict) -> tuple[tuple[int, int], list[tuple[int, ...]]]:
    """Size of the probe in px (height, width), and NCHW shapes of all features of a registered backbone."""
    return PROBE_SIZE_HW, _measured(cfg)[1]


def _measured(cfg: dict):
    """The backbone, on meta tensors where it can, and the shapes of its features."""
    from mmdet.registry import MODELS

    probe, device = on_meta(lambda: MODELS.build(dict(cfg)))
    probe.eval()  # not chained: mmdet's ResNet returns None from train()
    with torch.no_grad():
        features = probe(torch.zeros(1, 3, *PROBE_SIZE_HW, device=device))
    return probe, [tuple(f.shape) for f in ([features] if isinstance(features, Tensor) else features)]
