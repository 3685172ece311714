"""Classifiers of timm, torchvision, mmdet and this package behind one contract: images (N, 3, H, W) -> logits (N, C).

timm's and torchvision's are the library's whole classifier under its own names. A body without a head (mmdet's) gets
global average pooling and one linear layer. Refuses names that the library does not have.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError, closest
from ..models.backbone_sources.base import Preprocess, check_input_channels, on_meta
from ..models.backbone_sources.timm_models import timm_preprocess
from ..models.backbone_sources.torchvision_models import torchvision_preprocess


@dataclass
class Network:
    """A classifier and what is known about it.

    Attributes:
        module: images (N, 3, H, W) -> logits (N, C); its state-dict keys are the library's.
        architecture: library and name, e.g. ``timm/resnet50``.
        head_names: state-dict keys of what depends on the number of classes, and of what is new with it.
        preprocess: what the library says about the input; None if it says nothing.
    """

    module: nn.Module
    architecture: str
    head_names: frozenset[str]
    preprocess: Preprocess | None


def build_network(backbone: dict, num_classes: int) -> Network:
    """Build a classifier with random weights, initialised as its library does.

    Args:
        backbone: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` (further keys go to the
            library's constructor), ``dict(type='frozen_det.CifarResNet', depth=20)``, or any backbone of mmdet.
        num_classes: C, at least 2.

    Raises:
        InputError: an unknown name, an option that the library does not take, or fewer than two classes.
    """
    cfg = {key: value for key, value in dict(backbone).items() if key != "init_cfg"}
    kind = cfg.pop("type", None)
    if not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"expected at least two classes in model.num_classes, got {num_classes!r}.")
    check_input_channels(cfg, "model.backbone")
    if kind not in ("timm", "torchvision"):
        return _registered(kind, cfg, num_classes)
    if "name" not in cfg:
        raise InputError(f"expected `name` beside type={kind!r} in model.backbone, got {cfg}.")
    name = cfg.pop("name")
    return (_timm if kind == "timm" else _torchvision)(name, cfg, num_classes)


def changing_names(build: Callable[[int], nn.Module], num_classes: int) -> frozenset[str]:
    """State-dict keys whose shape follows the number of classes, found by building twice on meta tensors."""
    shapes = [
        {name: value.shape for name, value in on_meta(lambda count=count: build(count))[0].state_dict().items()}
        for count in (num_classes, num_classes + 1)
    ]
    return frozenset(name for name, shape in shapes[0].items() if shapes[1].get(name) != shape)


def _timm(name: str, options: dict, num_classes: int) -> Network:
    import timm

    if not timm.is_model(name):
        raise InputError(
            f"timm has no model {name!r} (model.backbone.name); "
            f"{closest(name.split('.')[0], timm.list_models()) or 'see timm.list_models()'}"
        )
    overlay = options.pop("pretrained_cfg_overlay", None)

    def build(count: int) -> nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=count, **options)

    module = _built(lambda: build(num_classes), f"timm/{name}", options)
    return Network(module, f"timm/{name}", changing_names(build, num_classes), timm_preprocess(module, overlay))


def _torchvision(name: str, options: dict, num_classes: int) -> Network:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"torchvision has no classification model {name!r} (model.backbone.name); "
            f"{closest(name, known) or 'see torchvision.models.list_models()'}"
        )

    def build(count: int) -> nn.Module:
        return torchvision.models.get_model(name, weights=None, num_classes=count, **options)

    module = _built(lambda: build(num_classes), f"torchvision/{name}", options)
    if getattr(module, "aux_logits", False):
        raise InputError(
            f"torchvision's {name} trains with auxiliary classifiers, which this version does not support "
            "(model.backbone.name). Take timm's model of the same name."
        )
    return Network(module, f"torchvision/{name}", changing_names(build, num_classes), torchvision_preprocess(name))


def _built(build: Callable[[], nn.Module], where: str, options: dict) -> nn.Module:
    try:
        return build()
    except TypeError as error:
        raise InputError(f"{where} does not take the options {options} of model.backbone: {error}.") from error


def _registered(kind, options: dict, num_classes: int) -> Network:
    """A module of this package's or mmdet's registry; one that takes `num_classes` is a whole classifier itself."""
    import inspect

    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmdet"):
        found = MODELS.get(kind) if isinstance(kind, str) else None
        if found is None:
            raise InputError(
                "expected 'timm', 'torchvision', 'frozen_det.CifarResNet' or a backbone of mmdet as "
                f"model.backbone.type, got {kind!r}; {closest(str(kind), MODELS.module_dict)}"
            )
        own = kind.startswith("frozen_det.")
        architecture = f"{'frozen_det' if own else 'mmdet'}/{kind.split('.')[-1]}{options.get('depth', '')}"
        whole = own and "num_classes" in inspect.signature(found).parameters

        def build(count: int) -> nn.Module:
            if whole:
                return found(**options, num_classes=count)
            return PooledClassifier(MODELS.build(dict(type=kind, **options)), count)

        module = build(num_classes)
        names = changing_names(build, num_classes) | getattr(found, "new_with_head", frozenset())
    body = module if whole else module.body
    return Network(module, architecture, names, getattr(body, "preprocess", None))


class PooledClassifier(nn.Module):
    """A body, the mean of its last feature over all positions, one linear layer.

    Args:
        body: images (N, 3, H, W) -> features, one or several (N, C, h, w), the deepest last.
        num_classes: number of logits.
    """

    def __init__(self, body: nn.Module, num_classes: int):
        super().__init__()
        if hasattr(body, "init_weights"):
            body.init_weights()  # mmdet's random initialisation is done here; there is no checkpoint in the config
        self.body = body
        probe, device = body, next(body.parameters()).device
        training = probe.training
        probe.eval()
        with torch.no_grad():
            channels = self._last(probe(torch.zeros(1, 3, 64, 64, device=device))).shape[1]
        probe.train(training)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, H, W)
        """Logits (N, num_classes)."""
        return self.head(self._last(self.body(images)).mean((2, 3)))  # (N, num_classes)

    @staticmethod
    def _last(features) -> Tensor:
        return features if isinstance(features, Tensor) else features[-1]
