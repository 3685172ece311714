"""Writes a config of one's own: a base, what was chosen, and as comments what the base has and people change.

The comments are made from what the base and the choices come to: with their `#` taken away, the file says what it said
before. A file that is there is never written over.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import find_config, load_config
from ...config.finding import is_shipped
from ...config.shared_values import own_names
from ...errors import InputError
from ...host.shipped_configs import SCOPE, shipped_folder

# Places that people change, of those that a config has; its own names come first.
_PLACES = (
    "model.detector.backbone.body",
    "model.detector.backbone.weights",
    "model.detector.backbone.freeze",
    "model.detector.backbone.adapters",
    "model.backbone",
    "train_dataloader.batch_size",
    "train_dataloader.num_workers",
    "train_dataloader.dataset.pipeline",
    "optim_wrapper.optimizer",
    "train_cfg.max_epochs",
    "train_cfg.val_interval",
    "default_hooks.checkpoint.save_best",
    "randomness.seed",
)
_EVALUATED = ("dataloader", "evaluator")
_WIDTH = 110


@dataclass
class _Leaf:
    value: Any
    comment: bool


def write_own_config(path: str | Path, base: str, options: Mapping[str, Any] | None = None) -> Path:
    """Write a config.

    Args:
        path: of the new file, ending in ``.py``; folders are made.
        base: path, or name of a config that ships.
        options: entries that it sets, ``{"a.b": value}``.

    Returns:
        the path.

    Raises:
        InputError: a file that is there, a name that is none of a config, a base or an entry that does not load.
    """
    from ...weights.atomic_write import write_text

    path = Path(path).expanduser()
    if path.suffix != ".py" or "." in path.stem:
        raise InputError(f"expected the name of a config to write, as my.py, got {str(path)!r}.")
    if os.path.lexists(path):
        raise InputError(f"expected the name of a new file, but {path} is there. Name another, or move it away.")
    text = own_config(path, base, options)
    write_text(path, text)
    return path


def own_config(path: Path, base: str, options: Mapping[str, Any] | None = None) -> str:
    """The text of :func:`write_own_config`; arguments as there."""
    options, file = dict(options or {}), find_config(base)
    inherited, cfg = load_config(base), load_config(base, options)
    tree: dict = {}
    for key, value in options.items():
        _put(tree, *_outside_lists(inherited, cfg, key, value), comment=False)
    own = {name for name in own_names(cfg) if name[0] != "_" and isinstance(cfg[name], int | float | str)}
    length = {"epochs"} if "train_cfg.max_epochs" in options else {"train_cfg.max_epochs"} if "epochs" in own else set()
    for place in [*sorted(own), *_PLACES]:
        value = _held(cfg, place)
        if value is not None and place not in length:
            _put(tree, place.split("."), value, comment=True)
    alike = [
        f"test_{part} = val_{part}"
        for part in _EVALUATED
        if f"val_{part}" in tree and inherited.get(f"test_{part}") == inherited.get(f"val_{part}")
    ]
    is_set = {name: not _is_comment(node) for name, node in tree.items()}
    chosen, rest = ([name for name in tree if is_set[name] is wanted] for wanted in (True, False))
    text = [f'"""As {file.stem}, but for what is set here.\n\n    frozen-det train {path}\n"""']
    text.append(f'_base_ = "{_base(file, path)}"\n')
    text += [line for name in chosen for line in _lines(name, tree[name], "")] + alike + [""] * bool(chosen)
    text.append("# What it has from there: take the # away from a whole entry to change it.")
    text += [line for name in rest for line in _lines(name, tree[name], "")]
    return "\n".join(text) + "\n"


def _base(file: Path, path: Path) -> str:
    if is_shipped(file):
        return f"{SCOPE}{file.resolve().relative_to(shipped_folder().resolve()).as_posix()}"
    return Path(os.path.relpath(file.resolve(), path.resolve().parent)).as_posix()


def _outside_lists(inherited, cfg, key: str, value) -> tuple[list[str], Any]:
    """The place of an entry, and its value: a file cannot enter a list, so that it sets the whole."""
    parts, node = key.split("."), inherited
    for number, part in enumerate(parts):
        if isinstance(node, list | tuple):
            return parts[:number], _held(cfg, ".".join(parts[:number]))
        node = node.get(part) if hasattr(node, "get") else None
    return parts, value


def _held(cfg, place: str):
    for part in place.split("."):
        cfg = cfg.get(part) if hasattr(cfg, "get") else None
    return _plain(cfg)


def _plain(value):
    if hasattr(value, "items"):
        return {key: _plain(one) for key, one in value.items() if key != "_scope_"}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _put(tree: dict, parts: list[str], value, comment: bool) -> None:
    """Add a leaf; what is set already stays, and a comment fills in what lies beside it."""
    node = tree
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if isinstance(node, _Leaf):
            return
    held = node.get(parts[-1])
    if held is None or not comment:
        node[parts[-1]] = _Leaf(value, comment)
    elif isinstance(held, dict) and isinstance(value, dict):
        for key, one in value.items():
            _put(held, [key], one, comment)


def _is_comment(node) -> bool:
    return node.comment if isinstance(node, _Leaf) else all(map(_is_comment, node.values()))


def _lines(name: str, node, indent: str, whole: bool = False) -> Iterator[str]:
    """An entry as source: `name = ...` at the top, `name=...,` inside; commented as a whole or leaf by leaf."""
    whole = whole or _is_comment(node)
    mark, sign, end = "# " if whole else "", "=" if indent else " = ", "," if indent else ""
    if isinstance(node, _Leaf):
        first, *more = _source(node.value, len(indent) + len(name) + 4).split("\n")
        lines = [f"{name}{sign}{first}", *more]
        yield from (f"{indent}{mark}{line}" for line in [*lines[:-1], lines[-1] + end])
        return
    yield f"{indent}{mark}{name}{sign}dict("
    for key, one in node.items():
        for line in _lines(key, one, "    ", whole):
            yield f"{indent}{mark}{line.replace('# ', '', 1) if whole else line}"
    yield f"{indent}{mark}){end}"


def _source(value, used: int = 0) -> str:
    """A value as it is written in a config, in several lines where one would be too long."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    named = isinstance(value, dict) and all(isinstance(key, str) and key.isidentifier() for key in value)
    if isinstance(value, dict):
        texts = {key: _source(one, used + 8) for key, one in value.items()}
        parts = [f"{key}={text}" if named else f"{key!r}: {text}" for key, text in texts.items()]
        start, stop = ("dict(", ")") if named else ("{", "}")
    else:
        parts, (start, stop) = [_source(one, used + 4) for one in value], "()" if isinstance(value, tuple) else "[]"
    short = start + ", ".join(parts) + ("," if isinstance(value, tuple) and len(parts) == 1 else "") + stop
    if len(short) + used <= _WIDTH and "\n" not in short:
        return short
    inner = [f"    {line}" for part in parts for line in f"{part},".split("\n")]
    return "\n".join([start, *inner, stop])
