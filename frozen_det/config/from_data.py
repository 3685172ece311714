"""Values that a config leaves to the data: `from_data=dict(type=...)` names the rule, its values become overrides.

A rule is a registered type that is called with the config and with what is set already (names at the top, and dotted
keys of overrides), and gives names of the config's own (`image_size`, `epochs`) with their values, and lines that say
so. The config that comes out holds the values and no rule, so that a run's record says what it was trained with,
whatever becomes of its data.
"""

import sys
from collections.abc import Mapping

from ..errors import InputError
from .reading import ConfigFile
from .registered import registered

_SAID: set[tuple[str, ...]] = {()}


def values_from_data(cfg, files: list[ConfigFile], options: Mapping[str, object]) -> dict[str, object]:
    """The names of a config's own that its rule sets, where the data are there.

    Args:
        cfg: with all overrides in it.
        files: its chain, bases first.
        options: the overrides.

    Raises:
        InputError: a rule that is none, or data that the rule refuses.
    """
    rule = dict(cfg.from_data)
    kind = registered(str(rule.pop("type", None)))
    if kind is None:
        raise InputError(
            f"expected from_data=dict(type=...) of a registered rule in {cfg.filename}, got {cfg.from_data}."
        )
    given = {*options, *(key.split(".")[0] for key in options)} | _set_after_the_rule(files)
    values, lines = kind(**rule)(cfg, given)
    if tuple(lines) not in _SAID:  # a loop reads the configs of its parts again and again
        _SAID.add(tuple(lines))
        print("\n".join(lines), file=sys.stderr)
    return values


def _set_after_the_rule(files: list[ConfigFile]) -> set[str]:
    """The names that a file behind the one with the rule sets: the user's own child of a config that ships."""
    last = max((place for place, file in enumerate(files) if "from_data" in file.sets), default=len(files))
    return set().union(*(file.sets for file in files[last + 1 :]))
