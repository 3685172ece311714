"""Finds the class or function that a `type` names. Refuses a type that nothing registers."""

from difflib import get_close_matches
from functools import lru_cache

from ..errors import InputError, closest
from ..weights.reading.recorded_types import body_types

_NODES = (
    "MODELS",
    "DATASETS",
    "TRANSFORMS",
    "HOOKS",
    "METRICS",
    "TASK_UTILS",
    "DATA_SAMPLERS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS",
    "LOOPS",
    "RUNNERS",
    "VISUALIZERS",
    "VISBACKENDS",
    "LOG_PROCESSORS",
    "EVALUATOR",
    "MODEL_WRAPPERS",
    "WEIGHT_INITIALIZERS",
    "FUNCTIONS",
)
# What is below these keys is built from that registry and from no other.
_NODE_OF_KEY = {
    "model": "MODELS",
    "detector": "MODELS",
    "backbone": "MODELS",
    "neck": "MODELS",
    "rpn_head": "MODELS",
    "roi_head": "MODELS",
    "bbox_head": "MODELS",
    "mask_head": "MODELS",
    "data_preprocessor": "MODELS",
    "bbox_roi_extractor": "MODELS",
    "mask_roi_extractor": "MODELS",
    "loss_cls": "MODELS",
    "loss_bbox": "MODELS",
    "loss_mask": "MODELS",
    "loss": "MODELS",
    "norm_cfg": "MODELS",
    "act_cfg": "MODELS",
    "conv_cfg": "MODELS",
    "assigner": "TASK_UTILS",
    "bbox_coder": "TASK_UTILS",
    "anchor_generator": "TASK_UTILS",
    "prior_generator": "TASK_UTILS",
    "iou_calculator": "TASK_UTILS",
    "pipeline": "TRANSFORMS",
    "dataset": "DATASETS",
    "custom_hooks": "HOOKS",
    "default_hooks": "HOOKS",
    "mixing": "MODELS",
    "optimizer": "OPTIMIZERS",
    "optim_wrapper": "OPTIM_WRAPPERS",
    "param_scheduler": "PARAM_SCHEDULERS",
    "visualizer": "VISUALIZERS",
    "vis_backends": "VISBACKENDS",
    "val_evaluator": "METRICS",
    "test_evaluator": "METRICS",
    "batch_sampler": "DATA_SAMPLERS",
    "log_processor": "LOG_PROCESSORS",
    "init_cfg": "WEIGHT_INITIALIZERS",
}
_OPS = ("nms", "roi_layer")  # names of functions and layers of mmcv.ops, not of a registry


def resolve(name, key: str, where: str):
    """The class or function of a type.

    Args:
        name: the type; or a class itself.
        key: the key whose dict names it, e.g. ``optimizer``; entries of a list have the list's.
        where: its dotted place, for the message.

    Returns:
        None where that cannot be known: another library's scope, a name that is no registry's.

    Raises:
        InputError: a type that nothing registers; the closest names are given.
    """
    if not isinstance(name, str):
        if callable(name):
            return name
        raise InputError(f"{where}: expected the name of a type, got {name!r}.")
    if key in _OPS:
        return _op(name, where)
    found = registered(name)
    if found is not None or name in body_types():
        return found
    scope, dot, _ = name.partition(".")
    if dot and scope not in ("mmdet", "frozen_det", "mmengine", "mmcv"):
        return _imported(name)
    known = _known(_NODE_OF_KEY.get(key), own=scope == "frozen_det" and bool(dot))
    known = [*known, *body_types()] if key in ("backbone", "body") else known
    if key in _NODE_OF_KEY or dot or get_close_matches(name, known, n=1, cutoff=0.85):
        raise InputError(f"{where}: there is no type {name!r}; {closest(name, known) or 'its package may be missing'}")
    return None


@lru_cache(maxsize=4096)
def registered(name: str):
    own = name.removeprefix("frozen_det.")
    for registry in _registries(own != name):
        found = registry.module_dict.get(own.removeprefix("mmdet.").removeprefix("mmengine.").removeprefix("mmcv."))
        if found is not None:
            return found
    return None


@lru_cache
def _registries(own: bool) -> list:
    """The registries with all that they hold, the host's from the child (mmdet's) to the root (mmengine's)."""
    names = (*_NODES, *(["ADAPTERS"] if own else []))
    nodes = [node for holder in _holders(own) for name in names if (node := getattr(holder, name, None)) is not None]
    for node in nodes:
        node.import_from_location()
    return list(dict.fromkeys(nodes))


def _known(node: str | None, own: bool) -> list[str]:
    """Names that one node of the registries holds, or that any does."""
    prefix = "frozen_det." if own else ""
    wanted = [getattr(holder, node, None) for holder in _holders(own)] if node else _registries(own)
    return sorted({f"{prefix}{one}" for registry in wanted if registry is not None for one in registry.module_dict})


def _holders(own: bool) -> list:
    import importlib

    return [
        importlib.import_module(name)
        for name in (["frozen_det.registry"] if own else ["mmdet.registry", "mmengine.registry"])
    ]


def _op(name: str, where: str):
    import mmcv.ops
    import torchvision.ops

    found = getattr(mmcv.ops, name, None) or getattr(torchvision.ops, name, None)
    if found is None:
        near = closest(name, [one for one in dir(mmcv.ops) if not one.startswith("_")])
        if get_close_matches(name, dir(mmcv.ops), n=1, cutoff=0.75):
            raise InputError(f"{where}: there is no type {name!r}; {near}")
    return found


def _imported(name: str):
    from mmengine.utils import get_object_from_string

    try:
        return get_object_from_string(name)
    except Exception:  # a scope that is not installed: the build says so
        return None
