"""Where a program waits for its GPU: kind, call, and the line of the program."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

_HERE = str(Path(__file__).parent)
# Frames that are not the program's: it is their caller that waits.
_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(torchvision.__file__).parent),
    str(Path(sys.modules["contextlib"].__file__ or "").parent / "contextlib.py"),
    str(Path(sys.modules["contextlib"].__file__ or "").parent / "functools.py"),
    _HERE,
    "<",  # frozen modules, generated code
)
_STAND_IN = str(Path(__file__).parents[2] / "host" / "mmcv_ops")
_PACKAGES = Path(torch.__file__).parents[1]
_OWN = Path(__file__).parents[3]


READ_BACK, COPY = "read-back", "copy to the GPU"


@dataclass(frozen=True)
class Wait:
    """One wait for the GPU.

    Attributes:
        kind: :data:`READ_BACK` (the host needs a value, or a size that depends on values) or :data:`COPY` (from memory
            of the host, not declared as non-blocking).
        what: the call: ``item``, ``nonzero``, ``cpu``, ...
        file: below the folder of packages, or the whole path.
        line: of that file.
    """

    kind: str
    what: str
    file: str
    line: int

    @property
    def package(self) -> str:
        return self.file.split("/")[0]


_ledgers: list[list[Wait]] = []


@contextmanager
def counted() -> Iterator[list[Wait]]:
    """The waits of the block, in order, as a list that grows."""
    found: list[Wait] = []
    _ledgers.append(found)
    try:
        yield found
    finally:
        _ledgers.remove(found)


def noted(kind: str, what: str, of_compiled_op: bool = False) -> None:
    """Note a wait of the innermost line outside torch.

    Inside the stand-in for mmcv's compiled operators nothing counts but what the compiled operator does itself
    (``of_compiled_op``): its kernels read on the GPU what the stand-in reads in Python.
    """
    if not _ledgers:
        return
    frame, in_stand_in = sys._getframe(1), False
    while frame is not None and frame.f_back is not None:
        file = frame.f_code.co_filename
        if file.startswith(_STAND_IN):
            in_stand_in = True
        elif not file.startswith(_LIBRARIES):
            break
        frame = frame.f_back
    if in_stand_in and not of_compiled_op:
        return
    wait = Wait(kind, what, _shortened(frame.f_code.co_filename), frame.f_lineno)
    for ledger in _ledgers:
        ledger.append(wait)


def _shortened(file: str) -> str:
    for folder in (_PACKAGES, _OWN):  # an environment may lie in the checkout
        if Path(file).is_relative_to(folder):
            return Path(file).relative_to(folder).as_posix()
    return file
