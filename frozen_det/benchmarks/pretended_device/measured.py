"""A training step and a prediction of a config's model on the pretended device, and mmdet's model beside it."""

import contextlib
import copy
import random
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from .device import pretended_device
from .tensors import DEVICE
from .waits import Wait, counted

OURS, HOST = "ours", "mmdet"
TRAINING, PREDICTION = "training", "prediction"
_NUM_CLASSES = 3
# Hooks that look at tensors in every step.
_HOOKS = {OURS: ("frozen_det.NaNGuardHook", "RuntimeInfoHook"), HOST: ("RuntimeInfoHook",)}


class MeasuredModel:
    """A model on the pretended device with its optimiser and the hooks that look at every step.

    Args:
        model: built, on the CPU.
        batch: as a data loader gives it.
        hooks: each ``before_train_iter`` and ``after_train_iter`` runs around a step.
        clip_grad: of the optimiser's wrapper.
        amp: mixed precision, float16 with a scaled loss.
        device: the pretended one, within :func:`.device.pretended_device`, or the CPU.
    """

    def __init__(
        self, model: nn.Module, batch: dict, hooks=(), clip_grad: dict | None = None, amp: bool = False, device=DEVICE
    ):
        from mmengine.logging import MessageHub
        from mmengine.optim import AmpOptimWrapper, OptimWrapper

        self.model, self.batch, self.hooks = model.to(device), batch, list(hooks)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
        kind = AmpOptimWrapper if amp else OptimWrapper
        self.wrapper = kind(optimizer=optimizer, clip_grad=clip_grad, **(dict(loss_scale="dynamic") if amp else {}))
        hub = MessageHub.get_current_instance()
        for counter in ("iter", "epoch"):  # which a Runner sets; some losses ask
            hub.update_info(counter, 0)
        self._runner = SimpleNamespace(
            model=model,
            optim_wrapper=self.wrapper,
            message_hub=hub,
            hooks=self.hooks,
            iter=0,
            epoch=0,
            train_loop=SimpleNamespace(stop_training=False),
        )
        for hook in self.hooks:
            if type(hook).__name__ == "NaNGuardHook":
                hook.before_train(self._runner)

    def train(self, seed: int = 0) -> dict:
        """One step; returns its log variables."""
        from mmengine.registry import DefaultScope

        seeded(seed)
        self.model.train()
        batch = copy.deepcopy(self.batch)
        with DefaultScope.overwrite_default_scope("mmdet"):
            for hook in self.hooks:
                hook.before_train_iter(self._runner, 0, batch)
            outputs = self.model.train_step(batch, self.wrapper)
            for hook in self.hooks:
                hook.after_train_iter(self._runner, 0, batch, outputs)
        return outputs

    def predict(self, seed: int = 0) -> list:
        """One prediction of the whole batch."""
        from mmengine.registry import DefaultScope

        seeded(seed)
        self.model.eval()
        with torch.no_grad(), DefaultScope.overwrite_default_scope("mmdet"):
            return self.model.test_step(copy.deepcopy(self.batch))

    def waits(self) -> dict[str, list[Wait]]:
        """The waits of a step and of a prediction, each after one that fills what is kept from step to step."""
        found = {}
        for name, call in ((TRAINING, self.train), (PREDICTION, self.predict)):
            call()
            with counted() as waits:
                call()
            found[name] = list(waits)
        return found


def measured(cfg, which: str, size: int = 256, images: int = 2, objects: int = 4, amp: bool = False) -> dict:
    """The waits of a config's model.

    Args:
        cfg: a config with ``model``, of this package.
        which: :data:`OURS`, or :data:`HOST` for mmdet's own detector in its place.
        size: side of the synthetic images in px.
        images: in the batch.
        objects: in every image.
        amp: mixed precision.

    Returns:
        :data:`TRAINING` and :data:`PREDICTION`, each a list of waits in order.
    """
    with _quiet(), pretended_device():
        return MeasuredModel(*parts_of(cfg, which, size, images, objects), amp=amp).waits()


def model_of(cfg, which: str) -> nn.Module:
    """The model of a config at random weights, light: few regions, no downloads, a threshold of no score."""
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    from ...models.detectors.detector import fill_blanks
    from ..detector_check import made_light, without_downloads
    from .host_model import host_model

    model = cfg.model.to_dict()
    seeded(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        if not is_detector(cfg):
            built = MODELS.build(ConfigDict({**model, "weights": None}))
        else:
            options = {name: model.get(name) for name in ("num_classes", "num_stuff_classes", "backbone")}
            options["num_classes"] = options["num_classes"] or _NUM_CLASSES
            filled = fill_blanks(_random(without_downloads(model.get("detector", model))), **options)
            filled = _without_files(_all_scores(made_light(filled)), options["num_classes"])
            built = MODELS.build(ConfigDict(host_model(filled) if which == HOST else filled))
        built.init_weights()
        if not getattr(built, "stage_one_loaded", True):
            built.load_state_dict(built.state_dict())  # a second stage starts from a first one
    return built


def is_detector(cfg) -> bool:
    """Whether a config's model finds objects; else it is a classifier."""
    return "ImageClassifier" not in str(cfg.model.type)


def seeded(seed: int) -> None:
    """Samplers of mmdet draw from three generators."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def batch_of(model: nn.Module, size: int, images: int, objects: int, boxed: bool) -> dict:
    """Synthetic images and their objects as a data loader gives them to a model; masks where it learns them.

    Args:
        boxed: masks as this package's transforms leave them.
    """
    from ...datasets.transforms.cropped_masks import BoxedMasks
    from ..detector_batch import synthetic_batch

    if not hasattr(model, "backbone"):
        drawn = torch.Generator().manual_seed(0)
        pictures = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8, generator=drawn)
        samples = [dict(label=i % model.num_classes, index=i, path=f"{i}.jpg") for i in range(images)]
        return dict(inputs=list(pictures), data_samples=samples)
    masks = any("mask" in name or "panoptic" in name for name, _ in model.named_modules())
    batch = synthetic_batch(size, _NUM_CLASSES, images=images, with_masks=masks, objects=objects)
    for sample in batch["data_samples"]:
        del sample.proposals
        if masks and boxed:
            sample.gt_instances.masks = BoxedMasks.of(sample.gt_instances.masks)
    return batch


def parts_of(cfg, which: str, size: int, images: int, objects: int) -> tuple:
    """Model, batch, hooks and clipping."""
    from mmengine.registry import HOOKS

    model = model_of(cfg, which)
    hooks = [
        HOOKS.build(dict(hook))
        for hook in [*(cfg.get("custom_hooks") or []), dict(type="RuntimeInfoHook")]
        if hook["type"] in _HOOKS[which]
    ]
    batch = batch_of(model, size, images, objects, boxed=which == OURS)
    return model, batch, hooks, (cfg.get("optim_wrapper") or {}).get("clip_grad")


def _random(detector: dict) -> dict:
    """A detector's config whose backbone asks for no weights."""
    backbone = detector.get("backbone")
    if isinstance(backbone, dict) and "weights" in backbone:
        detector["backbone"] = {**backbone, "weights": "random"}
    return detector


def _all_scores(node):
    """A config without thresholds of scores, so that a detector at random weights finds something."""
    if isinstance(node, (list, tuple)):
        return [_all_scores(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: 0.0 if key == "score_thr" else _all_scores(value) for key, value in node.items()}


def _without_files(node, num_classes: int):
    """A config whose losses count no annotations: every class has as many instances."""
    if isinstance(node, (list, tuple)):
        return [_without_files(item, num_classes) for item in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("type")).startswith("frozen_det.") and "ann_file" in node:
        node = {key: value for key, value in node.items() if key not in ("ann_file", "classes")}
        node["num_instances"] = [10] * num_classes
    return {key: _without_files(value, num_classes) for key, value in node.items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    from ..detector_check import quiet

    with quiet():
        yield
