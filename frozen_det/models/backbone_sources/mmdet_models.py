"""Bodies registered in mmdet, and this package's own, from their configs. Refuses unknown types."""

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError, closest
from .base import PROBE_SIZE_HW, Body, ListFeatures, Preprocess, on_meta, select_by_stride
from .input_size import Measured, any_size, measure, remembered


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
        raise InputError(
            f"expected 'timm', 'torchvision' or a backbone registered in mmdet as "
            f"model.backbone.body.type, got {cfg['type']!r}; {closest(cfg['type'], MODELS.module_dict)}"
        )
    cfg.pop("init_cfg", None)  # weights come through the one door only
    own = cfg["type"].startswith("frozen_det.")
    where = f"frozen_det/{cfg['type'].removeprefix('frozen_det.')}" if own else f"mmdet/{cfg['type']}"
    found = _found(cfg, where)
    measured = found.measured
    indices, channels = select_by_stride(measured.strides, measured.channels, strides, where)
    return Body(
        MODELS.build(cfg),
        tuple(strides),
        tuple(channels),
        any_size(ListFeatures(indices), strides, measured.rule),
        f"{where}{cfg.get('depth', '')}",
        found.head_keys,
        found.preprocess,
        found.maps_in_training,
    )


def mmdet_strides(cfg: dict) -> tuple[int | None, ...]:
    """Stride of each feature of a registered backbone."""
    return _found(cfg, cfg["type"]).measured.strides


@dataclass(frozen=True)
class _Found:
    """What a backbone says and gives: its features, how many maps of an image in training, weights of its head, input.

    TridentNet's branches are more maps of one image in training mode alone.
    """

    measured: Measured
    maps_in_training: int
    head_keys: frozenset
    preprocess: Preprocess | None


def _found(cfg: dict, where: str) -> _Found:
    from mmdet.registry import MODELS

    return remembered((MODELS.get(cfg["type"]), cfg), lambda: _run(cfg, where))


def _run(cfg: dict, where: str) -> _Found:
    """The backbone run on meta tensors where it can."""
    from mmdet.registry import MODELS

    probe, device = on_meta(lambda: MODELS.build(dict(cfg)))
    probe.eval()  # not chained: mmdet's ResNet returns None from train()

    def run(size_hw):
        with torch.no_grad():
            features = probe(torch.zeros(1, 3, *size_hw, device=device))
        return [tuple(f.shape) for f in ([features] if isinstance(features, Tensor) else features)]

    measured = measure(run, None, where)
    in_eval, maps = run(PROBE_SIZE_HW)[0][0] if measured.rule.is_free else 1, 1
    probe.train()
    with suppress(RuntimeError, ValueError):  # it does not train at this size, which is nothing that a frozen body does
        maps = run(PROBE_SIZE_HW)[0][0] // in_eval
    return _Found(measured, maps, getattr(probe, "head_keys", frozenset()), getattr(probe, "preprocess", None))
