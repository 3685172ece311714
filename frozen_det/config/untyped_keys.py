"""The keys that are read of a dict without a `type`, by its place in the config.

At the top they are what mmengine's Runner and its loops take. Below a typed dict they are what the class that receives
the dict reads of it; of `train_cfg` and `test_cfg`, what any class of the model reads of its settings.
"""

import inspect
import re
from dataclasses import dataclass, field
from functools import lru_cache

from ..host.signatures import argument_names
from .finding import stock_folder
from .registered import registered
from .source_reads import reads_of_settings, reads_of_variable

# mmdet's two-stage detectors pass each part to its head; a key in the wrong part has no effect.
_PROPOSALS = {"nms_pre", "nms_post", "max_per_img", "nms", "min_bbox_size"}
_PARTS = {
    ("train_cfg", "rpn"): {
        "assigner",
        "sampler",
        "allowed_border",
        "pos_weight",
        "debug",
        "ga_assigner",
        "ga_sampler",
        "center_ratio",
        "ignore_ratio",
    },
    ("train_cfg", "rpn_proposal"): _PROPOSALS,
    ("train_cfg", "rcnn"): {"assigner", "sampler", "pos_weight", "debug", "mask_size", "mask_thr_binary"},
    ("test_cfg", "rpn"): _PROPOSALS,
    ("test_cfg", "rcnn"): {"score_thr", "nms", "max_per_img", "mask_thr_binary"},
}
# Keys of mmdet's own configs that no class reads by name: some are spread, some (`debug`) have lost their reader.
_WRITTEN_BY_STOCK = {
    "debug",
    "mask_size",
    "allowed_border",
    "init",
    "refine",
    "assigner",
    "sampler",
    "pos_weight",
    "k",
    "bias",
    "score_voting",
    "iou_topk",
    "beta_topk",
    "update_iter_interval",
    "initial_iou",
    "initial_beta",
    "rpn",
    "rcnn",
    "rpn_proposal",
    "nms",
    "score_thr",
    "max_per_img",
}
# Keys that no class reads by name, but mmdet's own configs and mmengine's default write.
_WRITTEN_TOO = {"filter_cfg": {"bbox_min_size"}, "data_prefix": {"img_path", "sub_data_root"}}
_FREE = (
    "custom_keys",
    "keymap",
    "path_mapping",
    "caption_prompt",
    "init_kwargs",
    "define_metric_cfg",
    "metainfo",
    "options",
    "backend_args",
    "momentums",
    "compile",
)


@dataclass(frozen=True)
class Known:
    """Names that are read, and whether any other is refused or a near miss alone."""

    names: frozenset[str]
    all_of_them: bool = True
    or_stock: bool = False  # keys of mmdet's own configs are allowed here, too
    elsewhere: dict = field(default_factory=dict)  # names that are read in another part of the same settings: where


def known_keys(cfg, node, owner, keys: list[str], settings: frozenset[str] | None) -> Known | None:
    """What is read of a dict.

    Args:
        cfg: the whole config; node: the dict.
        owner: the class of the nearest typed dict above, None below the top.
        keys: the way from there to the dict.
        settings: what the classes of the model read of any settings; None outside a model.

    Returns:
        None where anything is allowed.
    """
    if any(key in _FREE for key in keys[:-1]) and "custom_keys" not in keys:
        return None
    if "paramwise_cfg" in keys:
        return _of_parameter_groups(cfg, keys[keys.index("paramwise_cfg") :])
    if keys[-1] in _FREE:
        return _of_metainfo(node) if keys[-1] == "metainfo" else None
    if owner is None:
        return _at_top(cfg, keys)
    if keys[-1] == "nms":
        import mmcv.ops

        return Known(_of_nms(mmcv.ops.nms))
    if keys[0] in ("train_cfg", "test_cfg") and settings is not None:
        return _of_settings(node, keys, settings)
    if keys[-1] == "clip_grad":
        return Known(frozenset({"type", *_clip_names()}))
    read = reads_of_variable(owner, re.escape(keys[-1]))
    if keys[-1] in _WRITTEN_TOO and read:
        return Known(frozenset(read) | _WRITTEN_TOO[keys[-1]])
    if str(getattr(owner, "__module__", "")).startswith("frozen_det."):
        return None  # the package's own types check the dicts that they take
    return Known(frozenset(read), all_of_them=False, or_stock=True)


def read_before_the_build(keys: list[str], owner) -> set[str]:
    """Keys that the builder of a typed dict removes first."""
    last = keys[-1]
    found = {"priority"} if keys[0] in ("custom_hooks", "default_hooks") else set()
    if last.endswith("norm_cfg") or last == "_norm":
        found.add("requires_grad")  # mmcv's build_norm_layer
    if last == "nms":
        found |= {"class_agnostic", "split_thr", "max_num"}  # mmcv's batched_nms
    if owner is not None:
        found |= reads_of_variable(owner, re.escape(last))
    if last == "param_scheduler":
        found.add("convert_to_iter_based")
    if last == "optim_wrapper":
        found |= {"constructor", "paramwise_cfg", "optimizer"}
    return found


def settings_reads(model) -> frozenset[str]:
    """What the classes named in a model's config read of settings."""
    return frozenset(reads_of_settings(set(_classes(model)))) | _WRITTEN_BY_STOCK


def _classes(node):
    if isinstance(node, list | tuple):
        for one in node:
            yield from _classes(one)
    elif hasattr(node, "items"):
        kind = node.get("type")
        found = registered(kind) if isinstance(kind, str) else kind
        if inspect.isclass(found):
            yield found
        for value in node.values():
            yield from _classes(value)


def _of_settings(node, keys: list[str], settings: frozenset[str]) -> Known:
    part = _PARTS.get(tuple(keys)) or (set() if len(keys) == 1 and "rcnn" in node else None)
    if part is None:
        return Known(settings)
    others = {
        name: place
        for place, names in _PARTS.items()
        if place[0] == keys[0] and place != tuple(keys)
        for name in names - part
    }
    return Known(settings - set(others), elsewhere=others)


def _at_top(cfg, keys: list[str]) -> Known | None:
    top = keys[0]
    if len(keys) == 1 and top.endswith("_dataloader"):
        return Known(_loader_names())
    if len(keys) == 1 and top in ("train_cfg", "val_cfg", "test_cfg"):
        return Known(_loop_names(top, bool(cfg[top].get("by_epoch", True))))
    if len(keys) == 1 and top in _TYPED_BY_DEFAULT:
        return Known(
            frozenset(argument_names(registered(_TYPED_BY_DEFAULT[top]))[0])
            | read_before_the_build(keys, None)
            | {"type"}
        )
    names = _RUNNER_DICTS.get(".".join(keys))
    if names is not None:
        return Known(frozenset(names), all_of_them=top != "default_hooks" and keys[-1] != "dist_cfg")
    if keys[-1] == "clip_grad":
        return Known(frozenset({"type", *_clip_names()}))
    return None


_TYPED_BY_DEFAULT = {"optim_wrapper": "OptimWrapper", "visualizer": "Visualizer", "log_processor": "LogProcessor"}
_RUNNER_DICTS = {
    "env_cfg": ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"),
    "env_cfg.mp_cfg": ("mp_start_method", "opencv_num_threads"),
    "env_cfg.dist_cfg": ("backend", "timeout", "init_method", "init_backend", "port", "store"),
    "randomness": ("seed", "diff_rank_seed", "deterministic"),
    "auto_scale_lr": ("enable", "base_batch_size", "scaling", "divided_by"),
    "custom_imports": ("imports", "allow_failed_imports"),
    "default_hooks": (
        "runtime_info",
        "timer",
        "sampler_seed",
        "logger",
        "param_scheduler",
        "checkpoint",
        "visualization",
    ),
}


def _of_parameter_groups(cfg, keys: list[str]) -> Known | None:
    wrapper = cfg.get("optim_wrapper")
    if wrapper is None:
        return None
    constructor = registered(wrapper.get("constructor") or "DefaultOptimWrapperConstructor")
    if len(keys) == 1:
        read = reads_of_variable(constructor, "paramwise_cfg") if constructor else set()
        return Known(frozenset(read)) if read else None
    if len(keys) == 3 and keys[1] == "custom_keys":
        given = wrapper.get("optimizer")
        optimizer = registered(str(given.get("type"))) if hasattr(given, "get") else None
        names = argument_names(optimizer)[0] if optimizer else set()
        return Known(frozenset(names) | {"lr_mult", "decay_mult"})
    return None


def _of_metainfo(node) -> Known:
    """Anything may be noted there; without `classes`, a name like it was meant for them."""
    like = "classes" not in node and any("class" in str(key).lower() for key in node)
    return Known(frozenset({"classes", "palette", "thing_classes", "stuff_classes"}), all_of_them=like)


@lru_cache
def _loader_names() -> frozenset[str]:
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader

    return frozenset(
        argument_names(DataLoader)[0]
        | reads_of_variable(Runner, "dataloader_cfg")
        | {"dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn"}
    )


@lru_cache
def _loop_names(which: str, by_epoch: bool) -> frozenset[str]:
    name = {
        "train_cfg": "EpochBasedTrainLoop" if by_epoch else "IterBasedTrainLoop",
        "val_cfg": "ValLoop",
        "test_cfg": "TestLoop",
    }[which]
    return frozenset(argument_names(registered(name))[0] | {"type", "by_epoch"}) - {"runner", "dataloader", "evaluator"}


def _clip_names() -> set[str]:
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_

    return {name for one in (clip_grad_norm_, clip_grad_value_) for name in inspect.signature(one).parameters} - {
        "parameters"
    }


def _of_nms(module) -> frozenset[str]:
    return frozenset(
        {"type", "iou_threshold", "class_agnostic", "split_thr", "max_num"}
        | set(inspect.signature(inspect.unwrap(module)).parameters)
    )


@lru_cache
def stock_words() -> frozenset[str]:
    """Every key that mmdet's own configs use, where they are installed."""
    folder = stock_folder()
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("*.py")) if folder else ()
    return frozenset(word for text in texts for word in re.findall(r"['\"]?(\w+)['\"]?\s*[=:][^=]", text))
