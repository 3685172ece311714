"""All that is checked of a config before anything is built of it, in one call."""

from collections.abc import Mapping

from .known_keys import check_keys
from .monitored import check_monitored
from .relations import check_relations
from .values import check_values


def check_config(cfg, where: str, options: Mapping[str, object] | None = None,
                 interval_setter: str | None = None) -> None:
    """Refuse unknown keys and types, values out of range, and parts that contradict each other.

    Args:
        cfg: the config; where: its file, for messages; options: the overrides in it.
        interval_setter: the file that sets the validation's interval, where that is known.

    Raises:
        InputError: naming the key, what was expected and what came.
    """
    options = options or {}
    check_values(cfg, where, check_keys(cfg, where))
    check_relations(cfg, where, options, interval_setter)
    check_monitored(cfg, where)
