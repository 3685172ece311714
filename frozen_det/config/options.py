"""Puts overrides by dotted keys into a config, where there is a place for them.

A new key may be an argument of a typed dict or a setting that its dict is read for; both are checked with the whole
config afterwards. Refused here: places that are not there, and values of a kind that the place cannot hold.
"""

import copy
from collections.abc import Mapping

from ..errors import InputError, closest
from .top_level import keys_below, live_keys

_EVALUATED_ALIKE = ("dataloader", "evaluator")


def merge_options(cfg, options: Mapping[str, object]) -> None:
    """Merge ``{"a.b": value}`` into a config, in place. Lists are entered by index, dicts are merged.

    Raises:
        InputError: no such place, or a value that is no dict or list where the config has one.
    """
    options = {**_also_for_the_test(cfg, options), **options}  # before a tuple on the way of one becomes a list
    for key, value in options.items():
        check_place(cfg, key, value)
    for key, value in options.items():
        put(cfg, key.split("."), value)


def put(node, way: list[str], value) -> None:
    """Set one value by the keys and indices that lead to it; a dict is merged into a dict as mmengine merges a child's.
    (mmengine's own merging cannot set an entry of a list that is no dict.)"""
    from mmengine.config import Config, ConfigDict

    *above, last = (int(part) if part.isdigit() else part for part in way)
    for part in above:
        part = part if isinstance(node, list) else str(part)
        if not isinstance(node, list) and node.get(part) is None:
            node[part] = ConfigDict()
        node = node[part]
    last = last if isinstance(node, list) else str(last)
    held = node[last] if isinstance(node, list) else node.get(last)
    if not hasattr(value, "items"):
        node[last] = value
        return
    value, delete = ConfigDict(copy.deepcopy(dict(value))), value.get("_delete_", False)
    value.pop("_delete_", None)
    merged = hasattr(held, "items") or isinstance(held, list) and all(str(key).isdigit() for key in value)
    node[last] = Config._merge_a_into_b(value, held, allow_list_keys=True) if merged and not delete else value


def _also_for_the_test(cfg, options: Mapping[str, object]) -> dict:
    """Where testing is declared as validation is (`test_dataloader = val_dataloader`), what changes the one changes
    the other, unless the other is overridden itself."""
    found = {}
    for part in _EVALUATED_ALIKE:
        val, test = f"val_{part}", f"test_{part}"
        if cfg.get(val) is None or cfg.get(val) != cfg.get(test) or any(_root(key) == test for key in options):
            continue
        found.update({test + key[len(val) :]: value for key, value in options.items() if _root(key) == val})
    return found


def check_place(cfg, key: str, value) -> None:
    """Refuse an override that leads nowhere; a tuple on its way becomes a list, which can be entered."""
    node, seen = cfg, []
    *way, last = key.split(".")
    for part in way:
        node = _enter(node, part, seen, key)
        seen.append(part)
        if node is None:
            return  # below a new dict
    held = _enter(node, last, seen, key)
    if held is None or value is None:
        return
    if hasattr(held, "items") and not hasattr(value, "items") and not _dicts(value):
        raise InputError(f"--cfg-options {key}: expected a key below it ({_some(held)}) or a dict, got {value!r}.")
    if _dicts(held) and not (hasattr(value, "items") or value in ([], ()) or _dicts(value)):
        raise InputError(
            f"--cfg-options {key}: expected an entry of it, {key}.0 to {key}.{len(held) - 1}, or a list "
            f"of dicts, got {value!r}."
        )


def _enter(node, part: str, seen: list[str], key: str):
    """The value at one step of a dotted key; None where it is new."""
    if isinstance(node, list | tuple):
        if not part.isdigit() or int(part) >= len(node):
            raise InputError(
                f"--cfg-options {key}: expected an index below {len(node)} after {'.'.join(seen)}, got {part!r}."
            )
        inner = node[int(part)]
    elif hasattr(node, "keys"):
        if not seen and part not in node and part not in live_keys(node):
            known = sorted({name for name in node if not name.startswith("_")} | live_keys(node))
            places = [path for path, _ in keys_below(node).get(part, ())]
            raise InputError(
                f"--cfg-options {key}: the config has no key {part!r}; "
                + (
                    f"did you mean {', '.join(repr(place) for place in places[:4])}?"
                    if places
                    else closest(part, known) or f"known: {sorted(node)[:12]}"
                )
            )
        inner = node.get(part)
    else:
        raise InputError(f"--cfg-options {key}: {'.'.join(seen)} is {node!r} and has no entries. Set it as a whole.")
    if isinstance(inner, tuple):
        if isinstance(node, tuple):
            raise InputError(
                f"--cfg-options {key}: {'.'.join([*seen, part])} is inside a tuple. Set {'.'.join(seen)} as a whole."
            )
        inner = list(inner)
        node[int(part) if isinstance(node, list) else part] = inner
    return inner


def _dicts(value) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(hasattr(one, "items") for one in value)


def _root(key: str) -> str:
    return key.split(".")[0]


def _some(node) -> str:
    names = [str(name) for name in node]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
