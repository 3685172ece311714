"""Lines of the host that no user can act on, by their beginnings; nothing else of it is silenced."""

import builtins
import logging

NOISE = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    "Could not import OneDL",
    "Loads checkpoint by local backend",
)


def is_noise(text: object) -> bool:
    """Whether a line is one of them."""
    return str(text).startswith(NOISE)


def leave_out(record: logging.LogRecord) -> bool:
    """A filter of `logging` for what the host logs."""
    return not is_noise(record.getMessage())


def silence_prints() -> None:
    """Leave these lines out where mmengine prints them, because it has no logger yet."""
    from mmengine.logging import logger

    def print(*words, **options) -> None:
        if not (len(words) == 1 and is_noise(words[0])):
            builtins.print(*words, **options)

    logger.print = print
