"""Bodies registered in mmdet, and this package's own, from their configs. Refuses unknown types."""

import torch
from torch import Tensor, nn

from ..errors import InputError, closest
from .any_size import Measured, any_size, measure
from .body_contract import Body, ListFeatures, on_meta, select_by_stride


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
    probe, measured = _measured(cfg, where)
    indices, channels = select_by_stride(measured.strides, measured.channels, strides, where)
    return Body(MODELS.build(cfg), tuple(strides), tuple(channels),
                any_size(ListFeatures(indices), strides, measured.rule), f"{where}{cfg.get('depth', '')}",
                getattr(probe, "head_keys", frozenset()), getattr(probe, "preprocess", None))


def mmdet_strides(cfg: dict) -> tuple[int | None, ...]:
    """Stride of each feature of a registered backbone."""
    return _measured(cfg, cfg["type"])[1].strides


def _measured(cfg: dict, where: str) -> tuple[nn.Module, Measured]:
    """The backbone, on meta tensors where it can, and its features."""
    from mmdet.registry import MODELS

    probe, device = on_meta(lambda: MODELS.build(dict(cfg)))
    probe.eval()  # not chained: mmdet's ResNet returns None from train()

    def run(size_hw):
        with torch.no_grad():
            features = probe(torch.zeros(1, 3, *size_hw, device=device))
        return [tuple(f.shape) for f in ([features] if isinstance(features, Tensor) else features)]

    return probe, measure(run, None, where)
