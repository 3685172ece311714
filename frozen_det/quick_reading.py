"""Reading without Python's garbage collector: of the millions of lists in a large json none is garbage, and looking at
all of them again and again takes as long as reading them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collector() -> Iterator[None]:
    """Hold the collector still, and leave it as it was."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
