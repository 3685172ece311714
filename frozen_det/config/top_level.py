"""The names at the top of a config: which are read, and by whom; refuses misspelt, retired and misplaced ones.

Any other name is the config's own: a file may note down or compute what it likes.
"""

import inspect
import sys
from difflib import get_close_matches
from functools import lru_cache

from ..errors import InputError, in_short
from .finding import is_shipped, is_stock
from .reading import ConfigFile

# Read from `runner.cfg`, by mmdet's tools or by this package's, beside the Runner's own arguments.
_MORE_OF_A_RUN = {
    "accumulate",
    "activation_checkpointing",
    "auto_scale_lr",
    "compile",
    "custom_imports",
    "default_scope",
    "efficient_conv_bn_eval",
    "find_unused_parameters",
    "fixres",
    "from_data",
    "model_wrapper_cfg",
    "runner_type",
    "strategy",
    "sync_bn",
    "tta_model",
    "tta_pipeline",
    "work_dir",
}
_OF_A_CHAIN = {"upstream", "fixres", "detector"}
_OF_A_LOOP = {
    "teacher",
    "rounds",
    "split",
    "pool",
    "labelling",
    "guards",
    "fixres",
    "test",
    "default_scope",
    "custom_imports",
}
# mmdet 2's keys, which mmdet 3 does not read, and what took their place.
_RETIRED = {
    "data": "train_dataloader, val_dataloader and test_dataloader",
    "optimizer": "optim_wrapper.optimizer",
    "optimizer_config": "optim_wrapper.clip_grad",
    "lr_config": "param_scheduler",
    "runner": "train_cfg",
    "total_epochs": "train_cfg.max_epochs",
    "evaluation": "val_evaluator and train_cfg.val_interval",
    "checkpoint_config": "default_hooks.checkpoint",
    "log_config": "default_hooks.logger",
    "resume_from": "load_from with resume=True",
    "dist_params": "env_cfg.dist_cfg",
    "cudnn_benchmark": "env_cfg.cudnn_benchmark",
    "workflow": None,
    "seed": "randomness.seed",
    "gpu_ids": None,
    "fp16": "optim_wrapper.type='AmpOptimWrapper'",
}


def live_keys(cfg) -> set[str]:
    """The names that are read: by the Runner of a training or test, by a chain, or by a Noisy Student loop."""
    if "rounds" in cfg or "teacher" in cfg:
        return _OF_A_LOOP
    return _OF_A_CHAIN if "upstream" in cfg else keys_of_a_run()


@lru_cache
def keys_of_a_run() -> set[str]:
    """The names that the Runner of a training or test reads, and what is read from its config."""
    from mmengine.runner import Runner

    return set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"} | _MORE_OF_A_RUN


def check_names(cfg, files: list[ConfigFile]) -> None:
    """Refuse names in the user's own files of a chain that look like a key but are none, and that nothing uses.

    Raises:
        InputError: with the key that was meant.
    """
    # A chain without its `upstream` is none, which the command says.
    read = live_keys(cfg) if live_keys(cfg) & set(cfg) else _OF_A_CHAIN | _OF_A_LOOP
    keys = keys_below(cfg)
    asked = set().union(*(file.uses_of_base for file in files))
    useful = {name for file in files for name in file.sets & (file.uses | asked)}
    for file in files:
        if is_stock(file.path):
            continue
        for name in file.sets:
            if name != "_base_" and name.strip("_").lower() in ("base", "bases"):
                raise InputError(f"{file.path}: {name} at the top level has no effect: did you mean '_base_'?")
        for name in sorted(file.sets_in_base - read - asked):
            raise InputError(
                f"{file.path}: _base_.{name} is changed, which has no effect: a base is read before its "
                f"child. Set {name} itself."
            )
        written_out = len(files) == 1 and len(file.values) > 8 and list(file.values) == sorted(file.values)
        for name in sorted(file.sets & set(cfg) - file.uses - useful - read - {"_base_"}):
            if callable(cfg[name]) or inspect.ismodule(cfg[name]):
                continue
            meant = _meant(name, cfg, {} if written_out else keys, useful)
            if meant is not None:
                raise InputError(f"{file.path}: {name} = {in_short(cfg[name])} at the top level has no effect: {meant}")
            if written_out or name.startswith("_") or is_shipped(file.path):
                continue
            if _is_part(cfg[name]):
                raise InputError(
                    f"{file.path}: {name} = {in_short(cfg[name])} at the top level has no effect: nothing "
                    "uses it. Put it where it belongs."
                )
            print(f"{file.path}: nothing uses {name} = {in_short(cfg[name])}; treated as a note.", file=sys.stderr)
    if not read & set(cfg):
        raise InputError(
            f"{files[-1].path if files else 'the config'} sets nothing that a run reads; expected model, "
            "train_dataloader, ... or a base that has them."
        )


def _meant(name: str, cfg, keys: dict[str, list[tuple[str, object]]], useful: set[str]) -> str | None:
    """What to say about a name that nothing uses; None where it can pass as a note."""
    near = get_close_matches(name.lower(), sorted(live_keys(cfg) - {"tta_pipeline", "tta_model"}), n=1, cutoff=0.8)
    if near:
        return f"did you mean {near[0]!r}?"
    if name in _RETIRED:
        place = _RETIRED[name]
        return f"mmdet 3 does not read it; {f'write {place}.' if place else 'take it out.'}"
    if name in keys:
        if any(value == cfg[name] for _, value in keys[name]):
            return None  # a written-out config: the value is where it is used, too
        places = [path for path, _ in keys[name]]
        return f"did you mean {', '.join(repr(place) for place in places[:4])}?"
    if keys and (place := _argument_of(name, cfg)):
        return f"did you mean {place!r}?"
    near = get_close_matches(name, sorted(one for one in useful if not one.startswith("_")), n=1, cutoff=0.8)
    if not near and (below := get_close_matches(name.lower(), sorted(keys), n=1, cutoff=0.8)):
        near = [keys[below[0]][0][0]]
    return f"did you mean {near[0]!r}?" if near else None


def _argument_of(name: str, cfg) -> str | None:
    """The place of which a name is an argument that the config leaves out."""
    from ..host.signatures import argument_names
    from .registered import registered

    if name in ("classes", "class_names", "CLASSES"):
        return "train_dataloader.dataset.metainfo.classes"
    for place in (
        "model",
        "optim_wrapper.optimizer",
        "train_cfg",
        "optim_wrapper",
        "train_dataloader.dataset",
        "default_hooks.checkpoint",
    ):
        node = cfg
        for key in place.split("."):
            node = node.get(key) if hasattr(node, "get") else None
        built = registered(node["type"]) if hasattr(node, "get") and isinstance(node.get("type"), str) else None
        if built is not None and name in argument_names(built)[0]:
            return f"{place}.{name}"
    return None


def keys_below(cfg) -> dict[str, list[tuple[str, object]]]:
    """Every key below the top level: its dotted places and values."""
    found: dict[str, list[tuple[str, object]]] = {}

    def visit(node, path: str) -> None:
        for key, value in node.items() if hasattr(node, "items") else enumerate(node):
            if path and isinstance(key, str):
                found.setdefault(key, []).append((f"{path}.{key}", value))
            if hasattr(value, "items") or isinstance(value, list | tuple):
                visit(value, f"{path}.{key}" if path else str(key))

    visit({key: cfg[key] for key in cfg if key in live_keys(cfg)}, "")
    return found


def _is_part(value) -> bool:
    """Whether a value is made to build something: a dict with a type, or a list of such."""
    return (
        hasattr(value, "items")
        and "type" in value
        or isinstance(value, list | tuple)
        and bool(value)
        and all(hasattr(one, "items") and "type" in one for one in value)
    )
