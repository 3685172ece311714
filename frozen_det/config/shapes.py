"""Refuses a text, a number or None where a config needs a dict, a list of dicts, or the type of what is to be built.

mmengine meets them while it builds, in the middle of some constructor.
"""

from ..errors import InputError, in_short
from .top_level import live_keys


def check_top(cfg, where: str) -> None:
    """Compare the top-level keys with those that mmengine takes.

    Args:
        cfg: the config; where: its file, for messages.

    Raises:
        InputError: with the key, what was expected and what came.
    """
    runs = any(f"{split}_dataloader" in cfg for split in ("train", "val", "test"))
    for key in live_keys(cfg) & set(cfg):
        if key != "model" or runs:  # a backbone alone is enough to convert or to export
            _check(cfg[key], _AT_TOP.get(key), key, where)


def check_parts_below(cfg, where: str) -> None:
    """The same for keys that hold a part, at any depth.

    Raises:
        InputError: with the dotted place, what was expected and what came.
    """
    for key in cfg:
        if key in live_keys(cfg):
            _visit(cfg[key], key, where)


def check_record(cfg, where: str) -> None:
    """Refuse a recorded config without a model, or with something else than dicts and lists where these belong.

    Args:
        cfg, where: as of :func:`check_top`.

    Raises:
        InputError: with the key, what was expected and what came.
    """
    check_top(cfg, where)
    model = cfg.get("model")
    if not hasattr(model, "items") or not isinstance(model.get("type"), str):
        raise InputError(
            f"expected a model, a dict with a type, in the config in {where}, got {in_short(model, 60)}; name the "
            "config that trained it."
        )
    check_parts_below({key: value for key, value in cfg.items() if key in _TO_DETECT}, where)
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        if loader is not None and not hasattr(loader.get("dataset"), "items"):
            raise InputError(
                f"{where}: expected a dict with a type for {split}_dataloader.dataset, got "
                f"{in_short(loader.get('dataset'), 60)}."
            )


def _visit(node, path: str, where: str) -> None:
    if not _dict(node) and not isinstance(node, list | tuple) or _dict(node) and node.get("type") == _FOREIGN:
        return
    for key, value in node.items() if hasattr(node, "items") else enumerate(node):
        inner = f"{path}.{key}"
        _check(value, _ANYWHERE.get(key), inner, where)
        if key not in _FREE:
            _visit(value, inner, where)


def _check(value, expected, path: str, where: str) -> None:
    if expected is not None and not expected[1](value):
        raise InputError(f"{where}: expected {expected[0]} for {path}, got {in_short(value, 60)}.")


def _dict(value) -> bool:
    return hasattr(value, "items")


def _typed(value) -> bool:
    """A config of something to build, or the thing itself, as configs of mmengine's lazy style may hold it."""
    return "type" in value if _dict(value) else not isinstance(value, str | int | float | list | tuple | None)


def _or_none(rule):
    return f"{rule[0]}, or None", lambda value: value is None or rule[1](value)


def _list_of(check, least: int = 0):
    return lambda value: isinstance(value, list | tuple) and len(value) >= least and all(check(one) for one in value)


def _dict_of(check):
    return lambda value: _dict(value) and all(check(one) for one in value.values())


# What is expected, and whether a value is that.
_TO_DETECT = ("model", "val_dataloader", "test_dataloader")
_DICT = ("a dict", _dict)
_TYPED = ("a dict with a type", _typed)
_PARTS = ("a list of dicts, each with a type", _list_of(_typed))
_ONE_OR_SEVERAL = ("a dict with a type, or a list of them", lambda value: _typed(value) or _list_of(_typed)(value))
_AT_TOP = {
    "model": _TYPED,
    "randomness": _DICT,
    "env_cfg": _DICT,
    **{
        f"{split}_{part}": _or_none(rule)
        for split in ("train", "val", "test")
        for part, rule in (("dataloader", _DICT), ("cfg", _DICT), ("evaluator", _ONE_OR_SEVERAL))
    },
    **dict.fromkeys(
        ("optim_wrapper", "auto_scale_lr", "visualizer", "log_processor", "custom_imports"), _or_none(_DICT)
    ),
    "param_scheduler": _or_none(
        ("a dict, or a list of dicts with a type", lambda value: _dict(value) or _list_of(_typed)(value))
    ),
    "custom_hooks": _or_none(_PARTS),
    "tta_model": _or_none(_TYPED),
    "default_hooks": _or_none(("a dict of dicts", _dict_of(lambda one: one is None or _dict(one)))),
}
# Keys that hold a part, at any place.
_ANYWHERE = {
    "pipeline": ("a list of dicts, each with a type, at least one", _list_of(_typed, 1)),
    **dict.fromkeys(("dataset", "optimizer", "backbone", "iou_calculator"), _TYPED),
    **dict.fromkeys(
        (
            "sampler",
            "batch_sampler",
            "collate_fn",
            "body",
            "adapters",
            "mixing",
            "bbox_coder",
            "anchor_generator",
            "prior_generator",
            "norm_cfg",
        ),
        _or_none(_TYPED),
    ),
    **dict.fromkeys(("neck", "assigner", "loss_cls", "loss_bbox", "loss_mask"), _or_none(_ONE_OR_SEVERAL)),
    "detector": _DICT,
    "vis_backends": _or_none(_PARTS),
    "paramwise_cfg": _or_none(_DICT),
    "clip_grad": _or_none(_DICT),
    "custom_keys": ("a dict of dicts", _dict_of(_dict)),
}
_FOREIGN = "Detectron2Wrapper"  # its content is Detectron2's config, which has other names
# Below them are names that the user chooses, and options, which are merged into a config first.
_FREE = ("custom_keys", "metainfo", "keymap", "path_mapping", "init_kwargs", "options")
