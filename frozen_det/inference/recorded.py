"""The config that a checkpoint carries: read as data, looked through, and built from under guard."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..weights.host_guard import registered_types_alone
from ..weights.loading import meta_of

# What parts raise where their arguments do not fit; of a config that somebody wrote that is a fault to be looked into.
_DOES_NOT_FIT = (
    TypeError,
    KeyError,
    AttributeError,
    ValueError,
    AssertionError,
    IndexError,
    ImportError,
    RuntimeError,
    NotImplementedError,
    ArithmeticError,
)


def recorded_config(
    loaded: Mapping,
    checkpoint: str | Path,
    classes: tuple[str, ...] | None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """The config in a checkpoint; its training data are not read for the number of classes.

    Args:
        loaded: what :func:`frozen_det.weights.loading.read` gave; checkpoint: its file.
        classes: that it states, or None.
        options: overrides.

    Raises:
        InputError: it holds no config, one that asks for more than parts that are known here, or an override that
            cannot be right.
    """
    from ..config.load import load_recorded_text

    cfg = load_recorded_text(recorded_text(loaded, checkpoint), f"{checkpoint} (meta.cfg)", options)
    if classes is not None and cfg.model.get("classes_from"):
        del cfg.model["classes_from"]
        cfg.model.num_classes = len(classes)
    return cfg


def recorded_text(loaded: Mapping, checkpoint: str | Path) -> str:
    """The text of the config in a checkpoint; arguments as of :func:`recorded_config`.

    Raises:
        InputError: it holds none.
    """
    text = meta_of(loaded, str(checkpoint)).get("cfg")
    if not isinstance(text, str) or not text.strip():
        got = "none" if text is None else "an empty text" if isinstance(text, str) else type(text).__name__
        raise InputError(
            f"expected the config of its training in the meta of {checkpoint}, got {got}; name the config."
        )
    return text


@contextmanager
def building_recorded(checkpoint: str | Path, options: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Within it, parts of a recorded config are built: registered ones alone, and nothing is fetched that it names.

    Args:
        checkpoint: its file, for messages.
        options: overrides, whose addresses are fetched.

    Raises:
        InputError: arguments that do not fit their parts.
    """
    try:
        with registered_types_alone(addresses_in(options)):
            yield
    except InputError:
        raise
    except _DOES_NOT_FIT as error:
        first = (str(error).strip() or "no detail").splitlines()[0][:200]
        raise InputError(
            f"expected a config that can be built in {checkpoint} (meta.cfg), but: {type(error).__name__}: {first}. "
            "Name the config that trained it with --config."
        ) from error


def addresses_in(options: Any) -> list[str]:
    """Every text in overrides: what the user gave may be fetched."""
    if isinstance(options, Mapping):
        options = list(options.values())
    if isinstance(options, list | tuple):
        return [text for one in options for text in addresses_in(one)]
    return [options] if isinstance(options, str) else []
