"""The sources of registered types: `mmdet` for its backbones, `frozen_det` for the networks of this package.

Configs give the type itself (``body=dict(type='ResNet', depth=50)``). Unregistered types are refused.
"""

import inspect
import re
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError, closest
from ...registry import BACKBONE_SOURCES
from .base import PROBE_SIZE_HW, Body, ListFeatures, Preprocess, on_meta, select_by_stride
from .classifier import Network, PooledClassifier, changing_names
from .input_size import Measured, any_size, measure, remembered
from .source import BackboneSource, body_types


@BACKBONE_SOURCES.register_module(name="mmdet")
class MmdetSource(BackboneSource):
    """Backbones registered in mmdet. Classifiers add global average pooling and a linear layer."""

    names_body = False
    names_weights = False

    def names(self) -> list[str]:
        import mmdet.models.backbones as known

        return [name for name in known.__all__ if isinstance(getattr(known, name), type)]

    def build(self, name: str, options: dict, strides) -> Body:
        from mmdet.registry import MODELS

        if MODELS.get(name) is None:
            raise InputError(
                f"expected {', '.join(map(repr, body_types()))} or a backbone registered in mmdet as "
                f"model.backbone.body.type, got {name!r}; {closest(name, MODELS.module_dict)}"
            )
        # Weights are set by `model.backbone.weights` only.
        cfg = {"type": name, **{key: value for key, value in options.items() if key != "init_cfg"}}
        where = f"{self.name}/{name.removeprefix('frozen_det.')}"
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

    def strides(self, name: str, options: dict) -> tuple[int | None, ...]:
        return _found({"type": name, **options}, name).measured.strides

    def classifier(self, name: str, options: dict, num_classes: int) -> Network:
        """A classifier with random weights; networks of this package that accept `num_classes` have their own head."""
        from mmdet.registry import MODELS
        from mmengine.registry import DefaultScope

        with DefaultScope.overwrite_default_scope("mmdet"):
            found = MODELS.get(name) if isinstance(name, str) else None
            if found is None:
                raise InputError(
                    f"expected {', '.join(map(repr, body_types()))}, 'frozen_det.CifarResNet' or a backbone of mmdet "
                    f"as model.backbone.type, got {name!r}; {closest(str(name), MODELS.module_dict)}"
                )
            whole = self.name == "frozen_det" and "num_classes" in inspect.signature(found).parameters

            def build(count: int) -> nn.Module:
                if whole:
                    return found(**options, num_classes=count)
                return PooledClassifier(MODELS.build(dict(type=name, **options)), count)

            module = build(num_classes)
            names = changing_names(build, num_classes) | getattr(found, "new_with_head", frozenset())
        backbone = module if whole else module.body
        architecture = f"{self.name}/{name.split('.')[-1]}{options.get('depth', '')}"
        return Network(module, architecture, names, getattr(backbone, "preprocess", None))

    def body_of(self, name: str) -> dict | None:
        return None  # type and depth are not enough to build one


@BACKBONE_SOURCES.register_module(name="frozen_det")
class OwnSource(MmdetSource):
    """The networks of this package."""

    def names(self) -> list[str]:
        from ...registry import MODELS

        MODELS.import_from_location()
        networks = {name: network for name, network in MODELS.module_dict.items() if hasattr(network, "preprocess")}
        return [f"frozen_det.{name}" for name in networks]

    def body_of(self, name: str) -> dict | None:
        from ...registry import MODELS

        found = re.fullmatch(r"(\w*?[A-Za-z])(\d+)", name)
        MODELS.import_from_location()
        network = MODELS.module_dict.get(found[1]) if found else None  # get() would try to import the name
        if not getattr(network, "depth_says_all", False):
            return None
        return dict(type=f"frozen_det.{found[1]}", depth=int(found[2]))


@dataclass(frozen=True)
class _Found:
    """What was measured of a backbone: features, maps per image in train mode, head keys, expected input.

    TridentNet returns several maps per image, one per branch, in train mode only.
    """

    measured: Measured
    maps_in_training: int
    head_keys: frozenset
    preprocess: Preprocess | None


def _found(cfg: dict, where: str) -> _Found:
    from mmdet.registry import MODELS

    return remembered((MODELS.get(cfg["type"]), cfg), lambda: _run(cfg, where))


def _run(cfg: dict, where: str) -> _Found:
    """Measure a backbone, on meta tensors if possible."""
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
    with suppress(RuntimeError, ValueError):  # it cannot train at this size, which a frozen backbone need not
        maps = run(PROBE_SIZE_HW)[0][0] // in_eval
    return _Found(measured, maps, getattr(probe, "head_keys", frozenset()), getattr(probe, "preprocess", None))
