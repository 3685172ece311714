"""Building a model in order to describe it: no weights are wanted."""

from contextlib import contextmanager
from contextvars import ContextVar

# True while a model is only described: no weights are wanted, on meta tensors.
_DESCRIBED = ContextVar("described", default=False)


@contextmanager
def describing():
    """Within this context backbones are built without weights, as if `weights='random'` had been said."""
    token = _DESCRIBED.set(True)
    try:
        yield
    finally:
        _DESCRIBED.reset(token)


def is_described() -> bool:
    """Whether models are built to be described here and now."""
    return _DESCRIBED.get()
