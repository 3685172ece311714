"""What a config's model is: parameters, what trains, strides, FLOPs, bytes kept for backward. Needs no weights.

The model is built and run on meta tensors, so a 130 M parameter detector at 1280 x 1280 is described in seconds.
FLOPs count a multiply-add as two operations (see flop_count.py); RoIAlign, NMS and losses are left out.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..models.backbone_sources.build import on_meta
from ..models.backbones.description import describing
from ..models.detectors.swapping import innermost
from ..models.layers.norms import NORMS
from .cache_estimate import CacheEstimate, cache_estimate
from .flop_count import flop_counter
from .one_pass import VALUES_NEEDED, run_once

# Divisible by stride 128 and not square, so that every level's stride is exact.
_LEVEL_PROBE_HW = (1024, 1280)


@dataclass
class PartRow:
    """One part of the model: a stage of the body, the neck, a head."""

    name: str
    params: int
    trainable: int
    norm: str
    flops: int


@dataclass
class ModelDescription:
    """What a model is.

    Attributes:
        total_params, trainable_params, frozen_params: numbers of scalars.
        trainable_share: of the parameters, from 0 to 1.
        forward_flops, training_step_flops: of one image; a multiply-add counts as two.
        bytes_kept_for_backward: of one image, in float32.
        size_hw: height and width of the padded input in px.
        num_rois_training, num_rois_inference: regions that were counted; 0 without a second stage.
        levels, neck_levels: ``stride`` and ``channels`` of the features.
        parts: counts of each stage, neck and head.
        not_run: parts that did not run, since they wait for objects that were found: their FLOPs are left out.
        cache: what a feature cache could save; None unless the backbone is a wholly frozen ``FrozenBackbone``.
    """

    total_params: int
    trainable_params: int
    frozen_params: int
    trainable_share: float
    forward_flops: int
    training_step_flops: int
    bytes_kept_for_backward: int
    size_hw: tuple[int, int]
    num_rois_training: int
    num_rois_inference: int
    levels: list[dict] = field(default_factory=list)
    neck_levels: list[dict] = field(default_factory=list)
    parts: list[PartRow] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    cache: CacheEstimate | None = None

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def describe(
    config: str | Path, size_hw: tuple[int, int] | None = None, options: Mapping[str, Any] | None = None
) -> ModelDescription:
    """What a config's model is: what trains, strides and channels, FLOPs, memory. Needs neither weights nor data.

    Args:
        config: path, or name of a config that ships, of a detector or classifier.
        size_hw: height and width of the input in px; by default the largest of the training pipeline.
        options: overrides of the config, ``{"model.detector.backbone.freeze": False}``.

    Returns:
        counts of scalars, FLOPs of one image, bytes of float32 values; :meth:`ModelDescription.to_dict` for JSON.

    Raises:
        InputError: a config or override that cannot be right, or a model without a backbone.
    """
    from ..config import load_config

    return describe_model(load_config(config, options), size_hw)


def describe_model(cfg, size_hw: tuple[int, int] | None = None) -> ModelDescription:
    """Describe ``cfg.model``.

    Args:
        cfg: a loaded config.
        size_hw: size of the padded input; by default the largest size of the training pipeline.
    """
    model = build_without_weights(cfg.model)
    if hasattr(model, "network"):
        return _describe_classifier(cfg, model, size_hw)
    if not hasattr(model, "backbone"):
        raise InputError(f"expected a detector with a backbone in {cfg.filename}, got {type(model).__name__}.")
    size_hw = _padded(size_hw or training_size_hw(cfg), model)
    rois = _roi_counts(cfg) if getattr(model, "with_roi_head", False) else (0, 0)
    levels, neck_levels = _levels(model), _neck_levels(model)
    model.train()
    try:
        counted = _counted(model, size_hw, *rois)
    except VALUES_NEEDED:  # queries chosen by their scores, levels split by their sizes: this decoder reads values
        model = _built(cfg.model)
        model.train()
        counted = _counted(model, size_hw, *rois)
    forward, step, kept, part_flops = counted
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return ModelDescription(
        total,
        trainable,
        total - trainable,
        trainable / total,
        forward.get_total_flops(),
        step.get_total_flops(),
        kept.total,
        size_hw,
        *rois,
        levels,
        neck_levels,
        _parts(model, part_flops),
        [
            name
            for name, part in _named_parts(model)
            if any(True for _ in part.parameters()) and not part_flops.ran(part)
        ],
        _cache(cfg, model, part_flops, step.get_total_flops(), size_hw, levels),
    )


def _cache(cfg, model, part_flops, step_flops: int, size_hw, levels) -> CacheEstimate | None:
    if not getattr(model.backbone, "is_wholly_frozen", False):
        return None
    values = sum(row["channels"] * math.prod(-(-side // row["stride"]) for side in size_hw) for row in levels)
    return cache_estimate(cfg, part_flops.of(model.backbone), step_flops, values)


def _counted(model, size_hw, rois_training: int, rois_inference: int):
    """FLOPs of a forward pass and of a training step, bytes kept for backward, and FLOPs by part."""
    with flop_counter() as forward, _PartFlops(model, forward) as part_flops:
        run_once(model, size_hw, rois_inference)
    with flop_counter() as step, _KeptBytes(model) as kept:
        _backward(run_once(model, size_hw, rois_training))
    return forward, step, kept, part_flops


def _describe_classifier(cfg, model, size_hw) -> ModelDescription:
    from .describe_classifier import input_size_hw, levels, parts

    size_hw = tuple(size_hw or input_size_hw(cfg, model))
    images = torch.zeros(2, 3, *size_hw, device="meta")  # norms in training want more than one value
    model.train()
    with flop_counter() as forward, _PartFlops(model, forward) as part_flops:
        model(images)
    with flop_counter() as step, _KeptBytes(model) as kept:
        _backward([model(images)])
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    rows = [
        PartRow(
            name,
            sum(p.numel() for p in part.parameters()),
            sum(p.numel() for p in part.parameters() if p.requires_grad),
            _norm_mode(part),
            part_flops.of(part) // 2,
        )
        for name, part in parts(model.network)
        if list(part.parameters())
    ]
    return ModelDescription(
        total,
        trainable,
        total - trainable,
        trainable / total,
        forward.get_total_flops() // 2,
        step.get_total_flops() // 2,
        kept.total // 2,
        size_hw,
        0,
        0,
        levels(cfg.model.backbone),
        [],
        rows,
    )


def build_without_weights(model_cfg) -> nn.Module:
    """Build a model on meta tensors; pretrained weights and annotation files are not looked at."""
    return on_meta(lambda: _built(model_cfg))[0].to("meta")


def _built(model_cfg) -> nn.Module:
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    with describing(), DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(copy.deepcopy(model_cfg))
    return getattr(model, "student", model)  # a semi-supervised detector holds two of one kind


def training_size_hw(cfg) -> tuple[int, int]:
    """(height, width) of the largest image the training pipeline gives; (1024, 1024) where it does not say."""
    dataset = (cfg.get("train_dataloader") or {}).get("dataset") or {}
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    found = None
    for step in dataset.get("pipeline") or []:
        if step.get("type", "").split(".")[-1] == "LargeScaleJitter":
            size = step.get("size_hw") or step.get("size")
            found = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        elif step.get("type") == "RandomCrop" and "crop_size" in step:
            found = tuple(step["crop_size"])
        elif step.get("type") in ("Resize", "RandomResize") and step.get("scale") and found is None:
            scale = step["scale"]
            scale = scale if isinstance(scale[0], int) else scale[-1]
            found = (scale[1], scale[0])  # mmcv writes (width, height)
    return found or (1024, 1024)


def _padded(size_hw, model) -> tuple[int, int]:
    divisor = getattr(model.data_preprocessor, "pad_size_divisor", 32) or 32
    return tuple(-(-side // divisor) * divisor for side in size_hw)


def _roi_counts(cfg) -> tuple[int, int]:
    detector = innermost(cfg.model.get("detector", cfg.model))
    rcnn = (detector.get("train_cfg") or {}).get("rcnn")
    rcnn = rcnn[0] if isinstance(rcnn, (list, tuple)) else rcnn
    training = (rcnn or {}).get("sampler", {}).get("num", 512)
    inference = ((detector.get("test_cfg") or {}).get("rpn") or {}).get("max_per_img", 1000)
    return int(training), int(inference)


def _backward(outputs) -> None:
    loss = sum(output.float().sum() for output in outputs if output.requires_grad)
    if isinstance(loss, torch.Tensor):
        loss.backward()


class _KeptBytes:
    """Counts the bytes autograd saves for backward, each storage once, parameters left out."""

    def __init__(self, model):
        self.total = 0
        self._own = {p.untyped_storage()._cdata for p in [*model.parameters(), *model.buffers()]}
        self._kept = {}

    def __enter__(self):
        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._own and storage._cdata not in self._kept:
                self._kept[storage._cdata] = tensor  # held, so that no later storage gets the same address
                self.total += storage.nbytes()
            return tensor

        self._hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error):
        self._hooks.__exit__(*error)
        self._kept.clear()


class _PartFlops:
    """Books FLOPs under the modules that were running, whether they were called alone or inside the model."""

    def __init__(self, model, counter):
        self.flops = defaultdict(int)
        self._model, self._counter = model, counter
        self._handles, self._open = [], {}

    def __enter__(self):
        for module in self._model.modules():
            self._handles.append(module.register_forward_pre_hook(self._before))
            self._handles.append(module.register_forward_hook(self._after))
        return self

    def __exit__(self, *error):
        for handle in self._handles:
            handle.remove()

    def _before(self, module, inputs):
        self._open[module] = self._counter.get_total_flops()

    def _after(self, module, inputs, output):
        self.flops[module] += self._counter.get_total_flops() - self._open.pop(module)

    def of(self, module: nn.Module) -> int:
        """FLOPs of a module; of one that was never called (a container), of its children."""
        if module in self.flops:
            return self.flops[module]
        return sum(self.of(child) for child in module.children())

    def ran(self, module: nn.Module) -> bool:
        """Whether a module or anything in it was called. Tables of embeddings alone may be read without a call."""
        called = any(part in self.flops for part in module.modules())
        return called or all(
            isinstance(part, nn.Embedding)
            for part in module.modules()
            if any(True for _ in part.parameters(recurse=False))
        )


def _levels(model) -> list[dict]:
    return _measured(model.backbone(torch.zeros(1, 3, *_LEVEL_PROBE_HW, device="meta")))


def _neck_levels(model) -> list[dict]:
    if not getattr(model, "with_neck", False):
        return []
    return _measured(model.neck(model.backbone(torch.zeros(1, 3, *_LEVEL_PROBE_HW, device="meta"))))


def _measured(features) -> list[dict]:
    return [{"stride": round(_LEVEL_PROBE_HW[0] / f.shape[2]), "channels": f.shape[1]} for f in features]


def _parts(model, part_flops: _PartFlops) -> list[PartRow]:
    named = [(name, part) for name, part in _named_parts(model) if any(True for _ in part.parameters())]
    return [
        PartRow(
            name,
            sum(p.numel() for p in part.parameters()),
            sum(p.numel() for p in part.parameters() if p.requires_grad),
            _norm_mode(part),
            part_flops.of(part),
        )
        for name, part in named
    ]


def _named_parts(model):
    """Stages of the body, then neck and heads, one level into the RoI head."""
    backbone = model.backbone
    body, prefix = (backbone.body, "backbone.body") if hasattr(backbone, "body") else (backbone, "backbone")
    for name, child in body.named_children():
        # Many families keep all stages in one container; its children are the stages.
        stages = list(child.named_children()) if isinstance(child, (nn.Sequential, nn.ModuleList)) else []
        if len(stages) > 1 and name in ("blocks", "stages", "layers", "features", "trunk_output"):
            yield from ((f"{prefix}.{name}.{inner}", stage) for inner, stage in stages)
        else:
            yield f"{prefix}.{name}", child
    if getattr(backbone, "adapters", None) is not None:
        yield "backbone.adapters", backbone.adapters
    for name, part in model.named_children():
        if name in ("backbone", "data_preprocessor"):
            continue
        if name == "roi_head":
            for inner, head in part.named_children():
                several = head.named_children() if isinstance(head, nn.ModuleList) else [(None, head)]
                yield from ((f"roi_head.{inner}" + (f".{i}" if i is not None else ""), h) for i, h in several)
        else:
            yield name, part


def _norm_mode(part: nn.Module) -> str:
    modes = {module.training for module in part.modules() if isinstance(module, NORMS)}
    if not modes:
        return "-"
    return "mixed" if len(modes) == 2 else ("train" if modes.pop() else "eval")
