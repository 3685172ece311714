"""Build a model without weights, only to describe it."""

from contextlib import contextmanager
from contextvars import ContextVar

# True while models are built on meta tensors, without weights.
_DESCRIBED = ContextVar("described", default=False)


@contextmanager
def describing():
    """Within this context backbones are built as with `weights='random'`."""
    token = _DESCRIBED.set(True)
    try:
        yield
    finally:
        _DESCRIBED.reset(token)


def is_described() -> bool:
    """Whether the :func:`describing` context is active."""
    return _DESCRIBED.get()
