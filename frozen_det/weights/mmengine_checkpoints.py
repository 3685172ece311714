"""mmengine's checkpoints without pickled objects: our files hold plain numbers, and the host reads them back.

mmengine pickles `HistoryBuffer` objects into every checkpoint, which is why its files need the unsafe loader. Here
the message hub is written as lists of numbers (:func:`plain_message_hub`). What mmengine loads goes through the one
loader (:mod:`.host_guard`), and :func:`for_host` gives the host its own objects back.
"""

from ..errors import InputError
from .loading import meta_of
from .reading.safe_pickle import Inert


def plain_message_hub(state: dict) -> dict:
    """`MessageHub.state_dict()` with each buffer as ``{"log": [...], "count": [...], "max_length": n}``."""
    scalars = {
        name: {"log": buffer.data[0].tolist(), "count": buffer.data[1].tolist(), "max_length": int(buffer.max_length)}
        for name, buffer in state["log_scalars"].items()
    }
    info = {name: plain(value) for name, value in state["runtime_info"].items()}
    return {"log_scalars": scalars, "runtime_info": info, "resumed_keys": dict(state["resumed_keys"])}


def host_message_hub(state: dict) -> dict:
    """The inverse of :func:`plain_message_hub`; buffers that a stock file pickled are rebuilt from their numbers."""
    from mmengine.logging import HistoryBuffer

    def buffer(value):
        if isinstance(value, Inert):
            fields = value.state or {}
            return HistoryBuffer(
                fields.get("_log_history", []), fields.get("_count_history", []), int(fields.get("max_length", 1000000))
            )
        if isinstance(value, dict):
            return HistoryBuffer(value["log"], value["count"], value["max_length"])
        return value

    return {**state, "log_scalars": {name: buffer(value) for name, value in state["log_scalars"].items()}}


def plain(value):
    """numpy numbers and arrays as Python ones; containers likewise; everything else unchanged."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else [plain(v) for v in value]
    return value


def for_host(checkpoint, where):
    """What was read from a checkpoint, as mmengine expects it: with its own buffers, without text that it would run.

    Raises:
        InputError: a log in it that is none, or a `meta` that is no dict.
    """
    if isinstance(checkpoint, dict):
        hub = checkpoint.get("message_hub")
        if isinstance(hub, dict) and "log_scalars" in hub:
            try:
                checkpoint["message_hub"] = host_message_hub(hub)
            except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
                raise InputError(
                    f"expected a log of numbers as `message_hub` in {where}, got another thing "
                    f"({type(error).__name__}: {error}). Remove that entry from the file."
                ) from error
        meta = meta_of(checkpoint, str(where))
        if isinstance(meta, dict):
            # On resuming, mmengine executes the text under this key as a Python config. Its own files call it `cfg`.
            meta.pop("config", None)
    return checkpoint
