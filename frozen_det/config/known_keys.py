"""Walks a config and refuses keys that nothing reads, at every depth, with the nearest name that is read.

A dict with a `type` takes what its type's constructor takes. One without is looked up by its place: what mmengine's
Runner passes on, or what the classes that receive it read of it. Where neither is known, only a near miss is refused.
"""

from difflib import get_close_matches

from ..errors import InputError, closest
from ..host.signatures import argument_names
from .registered import body_types, resolve
from .source_reads import HOSTS
from .top_level import live_keys
from .untyped_keys import known_keys, read_before_the_build, settings_reads, stock_words

_NEAR, _NEAR_SHORT = 0.8, 0.75  # one character in four
# Checked by the commands that read them.
_OF_OTHERS = ("upstream", "detector", "teacher", "rounds", "fixres", "split", "pool", "labelling", "guards", "test")


def check_keys(cfg, where: str) -> list[tuple[object, str, object]]:
    """Refuse unknown keys and types in all that is read of a config.

    Args:
        cfg: the config; where: its file, for messages.

    Returns:
        every typed dict with its dotted place and the class or function of its type.

    Raises:
        InputError: with the dotted place and the closest name.
    """
    walk = _Walk(cfg, where)
    for key in cfg:
        if key in live_keys(cfg) and key not in _OF_OTHERS:
            walk.visit(cfg[key], key, [key])
    return walk.typed


def check_nodes(nodes, where: str, place: str = "snippet") -> None:
    """The same for dicts outside a config: a snippet, a part.

    Raises:
        InputError: as :func:`check_keys`.
    """
    _Walk({}, where).visit(nodes, place, [place])


class _Walk:
    def __init__(self, cfg, where: str):
        self.cfg, self.where = cfg, where
        self.typed: list[tuple[object, str, object]] = []

    def visit(self, node, path: str, keys: list[str], owner=None, settings: frozenset[str] | None = None) -> None:
        """Check one value; `keys` leads to it from the nearest typed dict or the top, `owner` is that dict's class."""
        if isinstance(node, list | tuple):
            for index, item in enumerate(node):
                self.visit(item, f"{path}.{index}", keys, owner, settings)
            return
        if not hasattr(node, "items"):
            return
        if "_delete_" in node:
            raise InputError(
                f"{self.where}: {path}._delete_ has nothing to delete: no base has a dict there. Take it out."
            )
        built = self._typed(node, path, keys, owner) if "type" in node else None
        if "type" not in node:
            self._untyped(node, path, keys, owner, settings)
        if settings is None and built is not None and keys[0] in ("model", "tta_model"):
            settings = settings_reads(node)
        for key, value in node.items():
            if hasattr(value, "items") or isinstance(value, list | tuple):
                inner = [str(key)] if "type" in node else [*keys, str(key)]
                self.visit(value, f"{path}.{key}", inner, built if "type" in node else owner, settings)

    def _typed(self, node, path: str, keys: list[str], owner):
        """Compare the keys of a typed dict with its type's arguments; returns the type, None if it is unknown."""
        built = resolve(node["type"], keys[-1], f"{self.where}: {path}.type")
        if built is None and node["type"] not in body_types():
            return None
        accepted, closed = argument_names(built) if built is not None else (frozenset({"type", "name"}), False)
        unknown = [key for key in node if key not in accepted and key not in ("type", "_scope_")]
        if unknown:
            accepted = accepted | read_before_the_build(keys, owner)
        # A host's class that takes any name and ignores it may get what mmdet's own configs write somewhere.
        ignores = not closed and str(getattr(built, "__module__", "")).partition(".")[0] in HOSTS
        for key in unknown:
            if key not in accepted and (closed or _near(key, accepted) or ignores and key not in stock_words()):
                name = node["type"] if isinstance(node["type"], str) else getattr(built, "__name__", "it")
                near = closest(key, accepted) or closest(key, [_near(key, stock_words())] if ignores else [])
                raise InputError(
                    f"{self.where}: {path} has the key {key!r}, which {name} does not take; "
                    f"{near or f'it takes {sorted(accepted)}'}"
                )
        if built is not None:
            self.typed.append((node, path, built))
        return built

    def _untyped(self, node, path: str, keys: list[str], owner, settings) -> None:
        known = known_keys(self.cfg, node, owner, keys, settings)
        for key in node if known is not None else ():
            if (
                key in known.names
                or key == "_scope_"
                or not isinstance(key, str)
                or (known.or_stock and key in stock_words())
            ):
                continue
            names = known.names | stock_words() if known.or_stock else known.names
            near = _near(key, names)
            if known.all_of_them or near:
                raise InputError(
                    f"{self.where}: {path} has the key {key!r}, which nothing reads there; "
                    + (
                        f"it is one of {'.'.join(known.elsewhere[key])}."
                        if key in known.elsewhere
                        else f"did you mean {near!r}?"
                        if near
                        else f"known: {', '.join(sorted(names)[:16])}."
                    )
                )


def _near(key: str, names) -> str | None:
    lower = {str(name).lower(): str(name) for name in names}
    cutoff = _NEAR if len(str(key)) > 4 else _NEAR_SHORT
    found = get_close_matches(str(key).lower(), sorted(lower), n=1, cutoff=cutoff)
    return lower[found[0]] if found else None
