"""Finds, reads and checks configs: by path, or by the name of one that ships; unknown keys are refused.

mmengine accepts any key anywhere and fails late or never. :func:`load_config` raises with the closest known name.
"""

import inspect
from difflib import get_close_matches
from pathlib import Path

from .errors import InputError, closest
from .signatures import accepted_arguments

# The repository's folder when run from a checkout, the installed copy of it otherwise.
_FOLDERS = (Path(__file__).resolve().parent.parent / "configs", Path(__file__).resolve().parent / "configs")


def find_config(name) -> Path:
    """The file of a config given by path or by the name of one that ships (`quickstart`, `detection/NAME`).

    Raises:
        InputError: no such config; the closest names are given.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = {}
    for folder in _FOLDERS:
        for file in sorted(folder.rglob("*.py")) if folder.is_dir() else []:
            relative = file.relative_to(folder)
            if not relative.parts[0].startswith("_"):
                shipped.setdefault(str(relative.with_suffix("")), file)
                shipped.setdefault(file.stem, file)
    key = str(name).removesuffix(".py").removeprefix("configs/")
    if key in shipped:
        return shipped[key]
    raise InputError(f"expected a config file or the name of one that ships, but there is no {str(name)!r}; "
                     f"{closest(key, shipped) or 'see the folder configs/'}")


def load_config(name, options: dict | None = None):
    """Read a config and check it.

    Args:
        name: path or shipped name.
        options: overrides as mmengine's `--cfg-options` gives them, ``{"a.b": value}``.

    Returns:
        an `mmengine.Config` with `filename` set.

    Raises:
        InputError: a file that does not parse, an override of a key that is not there, an unknown argument of a type.
    """
    from mmengine.config import Config

    path = find_config(name)
    try:
        cfg = Config.fromfile(str(path))
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip() or "no detail").splitlines()[0]
        raise InputError(f"expected a config that mmengine can read in {path}: {type(error).__name__}: "
                         f"{first}") from error
    if options:
        _check_options(cfg, options)
        old_root = cfg.get("data_root")
        cfg.merge_from_dict(options)
        if "data_root" in options and old_root:
            _move_root(cfg, old_root, str(options["data_root"]))
    _apply_accumulation(cfg)
    check_config(cfg, str(path))
    return cfg


def _check_options(cfg, options: dict) -> None:
    """An override may set a key that exists, or an argument of a typed dict (checked later against its type)."""
    for key in options:
        node, seen = cfg, []
        for part in key.split("."):
            if isinstance(node, (list, tuple)):
                if not part.isdigit() or int(part) >= len(node):
                    raise InputError(f"--cfg-options {key}: expected an index below {len(node)} after "
                                     f"{'.'.join(seen)}, got {part!r}.")
                node = node[int(part)]
            elif hasattr(node, "keys"):
                if part not in node and (not seen or "type" not in node):
                    known = list(node.keys())
                    if not seen and (part in _runner_keys() or key in ("accumulate",)):
                        node = {}
                        continue
                    raise InputError(f"--cfg-options {key}: the config has no key {part!r}"
                                     f"{' under ' + '.'.join(seen) if seen else ''}; "
                                     f"{closest(part, known) or f'known: {sorted(known)[:12]}'}")
                node = node.get(part, {})
            else:
                node = {}
            seen.append(part)


def _move_root(node, old: str, new: str) -> None:
    """Give an overridden `data_root` to every path that was built from the old one when the file was read."""
    for key, value in node.items() if hasattr(node, "items") else enumerate(node):
        if isinstance(value, str) and (value == old or value.startswith(old.rstrip("/") + "/")):
            node[key] = new + value[len(old.rstrip("/")):]
        elif isinstance(value, list) or hasattr(value, "items"):
            _move_root(value, old, new)


def _runner_keys() -> set[str]:
    from mmengine.runner import Runner

    return set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}


def _apply_accumulation(cfg) -> None:
    """One number, `accumulate`, sets gradient accumulation and keeps the learning rate right for the whole batch.

    mmengine scales by the loader's batch alone; dividing its base batch by the number of accumulated steps gives
    lr * (batch * accumulate) / base. In a config `base_batch_size` is therefore the batch of a whole update.
    """
    count = cfg.get("accumulate")
    if count is None:
        return
    if not isinstance(count, int) or count < 1:
        raise InputError(f"expected `accumulate` as a whole number of steps from 1 on, got {count!r}.")
    if cfg.get("optim_wrapper"):
        cfg.optim_wrapper.accumulative_counts = count
    scale = cfg.get("auto_scale_lr")
    if scale and scale.get("base_batch_size"):
        # Said in the config, because the Runner writes it down and it may be read again.
        base = scale.base_batch_size * scale.get("divided_by", 1)
        if count > 1 or "divided_by" in scale:
            scale.base_batch_size, scale.divided_by = base / count, count


def check_config(cfg, where: str) -> None:
    """Refuse near-misses of the runner's keys, and arguments that a named type does not take.

    Raises:
        InputError: naming the key and the closest one.
    """
    runner = _runner_keys()
    for key in cfg:
        near = get_close_matches(key, sorted(runner), n=1, cutoff=0.88)
        if key not in runner and near and near[0] not in cfg:
            raise InputError(f"{where}: unknown key {key!r} at the top level; did you mean {near[0]!r}?")
    for key, value in cfg.items():
        if not key.startswith("_"):
            _check_types(value, key, where)


def _check_types(node, path: str, where: str) -> None:
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            _check_types(item, f"{path}.{index}", where)
    elif hasattr(node, "items"):
        if isinstance(node.get("type"), str):
            _check_arguments(node, path, where)
        for key, value in node.items():
            _check_types(value, f"{path}.{key}", where)


def _check_arguments(node, path: str, where: str) -> None:
    """Compare the keys of a typed dict with the signature of its type, if the type is known and closed."""
    built = _resolve(node["type"])
    if built is None:
        return
    accepted = accepted_arguments(built)
    if accepted is None:
        return
    for key in node:
        if key not in accepted and key not in ("type", "_scope_", "_delete_", "convert_to_iter_based"):
            raise InputError(f"{where}: {path} has the key {key!r}, which {node['type']} does not take; "
                             f"{closest(key, accepted) or f'it takes {sorted(accepted)}'}")


def _resolve(name: str):
    """The class or function registered under a type name in one of the registries a detector config uses."""
    from mmdet import registry as host

    from . import registry as own

    own_name = name.removeprefix("frozen_det.")
    nodes = ("MODELS", "DATASETS", "TRANSFORMS", "HOOKS", "METRICS", "DATA_SAMPLERS", "OPTIMIZERS", "FUNCTIONS",
             "PARAM_SCHEDULERS", "TASK_UTILS")
    if name.startswith("frozen_det."):
        nodes = [node for node in nodes if hasattr(own, node)]
        for node in nodes:
            registry = getattr(own, node)
            registry.import_from_location()
            if own_name in registry.module_dict:
                return registry.module_dict[own_name]
        known = [f"frozen_det.{n}" for node in nodes for n in getattr(own, node).module_dict]
        raise InputError(f"frozen_det has no type {name!r}; {closest(name, known)}")
    for node in (node for node in nodes if hasattr(host, node)):
        registry = getattr(host, node)
        registry.import_from_location()
        for level in (registry, registry.parent):  # hooks and basic transforms live in the root
            found = level.module_dict.get(name.removeprefix("mmdet."))
            if found is not None:
                return found
    return None
