"""Checks the configs that a chain or a Noisy Student loop will run, with their options, before its first stage.

A wrong option of the last stage would otherwise be found when the stages before it have run for hours.
"""

from collections.abc import Iterator, Mapping

from ..errors import InputError
from .known_keys import check_nodes
from .load import load_config


def check_parts(cfg) -> None:
    """Load the config of every part with the part's options.

    Args:
        cfg: of a chain or a loop; any other passes.

    Raises:
        InputError: with the part's dotted name before the message.
    """
    if "rounds" in cfg or "teacher" in cfg:
        parts = [("teacher", cfg.get("teacher")), *_numbered("rounds", cfg.get("rounds"))]
        for name, data in _numbered("guards", cfg.get("guards")):
            check_nodes(data, str(cfg.filename), name)
    elif "upstream" in cfg:
        parts = [(name, cfg.get(name)) for name in ("upstream", "fixres", "detector")]
    else:
        return
    for name, part in parts:
        if hasattr(part, "items") and isinstance(part.get("config"), str):
            try:
                load_config(part["config"], dict(flat(part.get("options") or {})))
            except InputError as error:
                raise InputError(f"{name} in {cfg.filename}: {error}") from error


def flat(options: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """``{'a': {'b': 1}}`` as ``('a.b', 1)``, as options are given on a command line; a dict with a type is a value."""
    for key, value in options.items():
        if hasattr(value, "items") and value and "type" not in value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _numbered(name: str, parts) -> list[tuple[str, object]]:
    return [(f"{name}.{number}", part) for number, part in enumerate(parts)] if isinstance(parts, list | tuple) else []
