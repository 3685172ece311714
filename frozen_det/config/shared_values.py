"""Propagates a value that a config names (`image_size`, `epochs`, `data_root`) to all that is computed from it.

An override on the command line, and a child config that sets the name again, count as if the files had said so: the
files are evaluated once more with the new value. A base of this package sees a child's value always; another base
sees it where the child sets the name and makes nothing of it itself, for there it can have no other purpose. (A child
that uses the name means its own use: mmdet's own configs give `data_root` one value for training and another for
validation that way.) An override from which nothing follows is refused, with keys that work.
"""

import copy
import inspect
import math
from collections.abc import Iterator, Mapping

from ..errors import InputError
from .finding import is_shipped
from .options import check_place, put
from .reading import ConfigFile
from .top_level import live_keys

Pins = dict[str, dict[str, object]]


def pins_of(cfg, files: list[ConfigFile], options: Mapping[str, object], names) -> Pins:
    """What the files of a chain are to be evaluated again with.

    Args:
        cfg: the config as the files make it.
        files: its chain, bases first.
        options: the overrides of names of the config's own, ``{"image_size": 256, "train_pipeline.0.scale": 4}``.
        names: which of the config's own names are requested.

    Returns:
        file -> name -> value; empty where everything is as the files alone make it.
    """
    values = merged({name: cfg[name] for name in own_names(cfg)}, options)
    for name in {key.split(".")[0] for key in options}:
        _check_kind(name, cfg[name], values[name])
    pins: Pins = {}
    for name, value in ((name, value) for name, value in values.items() if name in names):
        reached = list(_reached(name, files))
        # All of them, for a child may compute its value from the base's: `epochs = 2 * _base_.epochs`.
        if any(name not in file.values or comparable(file.values[name]) != comparable(value) for file in reached):
            _finite(name, value)
            for file in reached:
                pins.setdefault(file.path, {})[name] = value
    return pins


def only(pins: Pins, names) -> Pins:
    """The part of the pins that belongs to some names."""
    kept = {path: {name: value for name, value in of_file.items() if name in names} for path, of_file in pins.items()}
    return {path: of_file for path, of_file in kept.items() if of_file}


def own_names(cfg) -> list[str]:
    """The names at the top level that neither mmengine nor this package reads: they only serve to compute others."""
    read = live_keys(cfg)
    return [name for name in cfg if name not in read and not callable(cfg[name]) and not inspect.ismodule(cfg[name])]


def merged(values: dict, options: Mapping[str, object]) -> dict:
    """Values with overrides by dotted keys put in, lists by index."""
    from mmengine.config import Config

    cfg = Config(
        {
            name: copy.deepcopy(value)
            for name, value in values.items()
            if name not in ("filename", "text", "env_variables")
        }
    )
    for key, value in options.items():
        check_place(cfg, key, value)
        put(cfg, key.split("."), value)
    return {name: cfg[name] for name in cfg}


def changed(before, after) -> list[str]:
    """Dotted keys of what mmengine or this package reads and two configs have different."""
    old, new, read = dict(leaves(before)), dict(leaves(after)), live_keys(after)
    return sorted(
        key
        for key in {*old, *new}
        if key.split(".")[0] in read and (key not in old or key not in new or _differ(old[key], new[key]))
    )


def move_root(before, after, old: str, new: str) -> None:
    """Set a new `data_root` in the paths below the old one that were written out instead of computed, in place."""
    written = dict(leaves(before))

    def visit(node, path: str) -> None:
        for key, value in node.items() if hasattr(node, "items") else enumerate(node):
            where = f"{path}.{key}" if path else str(key)
            if hasattr(value, "items") or isinstance(value, list):
                visit(value, where)
            elif (
                isinstance(value, str)
                and written.get(where) == value
                and (value == old or value.startswith(old.rstrip("/") + "/"))
            ):
                node[key] = new + value[len(old.rstrip("/")) :] if value != old else new

    visit(after, "")


def without_effect(name: str, value, cfg) -> InputError:
    """The refusal of an override of a name that nothing follows from."""
    read = [(key, held) for key, held in leaves(cfg) if key.split(".")[0] in live_keys(cfg)]
    known = [key for key, _ in read if key.split(".")[-1] == name] or [
        key for key, held in read if name in cfg and _holds(held, cfg[name])
    ]
    others = [other for other in own_names(cfg) if not other.startswith("_") and other != name]
    return InputError(
        f"{name}={value} has no effect in {cfg.filename}: nothing that is read is computed from {name}. "
        + (
            f"Set {', '.join(known[:6])} instead."
            if known
            else f"Its own names that can be set are {', '.join(others) or 'none'}."
        )
    )


def leaves(node, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a nested config by its dotted key; an empty dict or list is a value."""
    inner = node.items() if hasattr(node, "items") else enumerate(node) if isinstance(node, list | tuple) else ()
    empty = True
    for key, value in inner:
        empty = False
        yield from leaves(value, f"{path}.{key}" if path else str(key))
    if empty:
        yield path, node


def _reached(name: str, files: list[ConfigFile]) -> Iterator[ConfigFile]:
    """The files in which a name gets the chain's last value: the last that sets it, and bases that are to see it."""
    last, used, asked = True, False, False
    for file in reversed(files):
        if name in file.sets:
            if last or not asked and (not used or is_shipped(file.path)):
                yield file
            last, used = False, used or name in file.uses
        asked = asked or name in file.uses_of_base_for_others  # such a child means the base's own value


def _check_kind(name: str, old, new) -> None:
    """What was a number, a text or a list before must be one still: a path with a comma in it reads as a list."""
    kinds = (("true or false", bool), ("a number", (int, float)), ("a text", str), ("a list", (list, tuple)))
    for word, kind in kinds:
        if isinstance(old, kind):
            if not isinstance(new, kind) or kind is not bool and isinstance(new, bool):
                raise InputError(
                    f"expected {word} for {name}, which is {old!r} in the config, got {new!r}."
                    + (
                        f" A text with commas is written in quotes inside quotes: {name}='\"a,b\"'."
                        if kind is str and isinstance(new, list)
                        else ""
                    )
                )
            return


def _finite(name: str, value) -> None:
    for key, one in leaves(value, name):
        if isinstance(one, float) and not math.isfinite(one):
            raise InputError(f"expected a finite number for {key}, got {one}.")


def comparable(value):
    """A value to be compared: lists for tuples, dicts for mmengine's, without the scope that it notes in them."""
    if hasattr(value, "items"):
        return {key: comparable(one) for key, one in value.items() if key != "_scope_"}
    return [comparable(one) for one in value] if isinstance(value, list | tuple) else value


def _differ(one, other) -> bool:
    return type(one) is not type(other) or one != other


def _holds(held, value) -> bool:
    return not isinstance(value, bool) and value is not None and type(held) is type(value) and held == value
