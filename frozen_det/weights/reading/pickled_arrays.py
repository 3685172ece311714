"""numpy's part of a pickle: arrays and scalars of plain numbers and texts, rebuilt from bytes whose count is right.

numpy itself trusts a pickle: a dtype's stored state can say that bytes are pointers to objects. Here a dtype is built
from its short code alone, and an array only where the bytes are as many as its shape and dtype need. Arrays of objects
and of records are refused.
"""

import math
import re

from .safe_pickle import Name, Refused

_CODE = re.compile(r"[<>=|]?([biufc]\d{1,2}|[SU]\d{1,9}|\?)")
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


def array_calls() -> dict:
    """(module, name) -> function that replaces it, for :class:`.safe_pickle.PlainUnpickler`."""
    functions = {
        "dtype": _dtype,
        "_reconstruct": _empty,
        "scalar": _scalar,
        "_frombuffer": _from_buffer,
        "ndarray": _no_call,
    }
    return {(module, name): function for module in _MODULES for name, function in functions.items()}


def array_values() -> dict:
    """numpy's scalar types, which are used as they are: (module, name) -> type."""
    import numpy

    kinds = (numpy.number, numpy.bool_, numpy.str_, numpy.bytes_)
    return {
        ("numpy", name): kind
        for name, kind in vars(numpy).items()
        if isinstance(kind, type) and issubclass(kind, kinds)
    }


def array_builds() -> dict:
    """type -> f(object, state) for states that follow."""
    import numpy

    kinds = {type(numpy.dtype(code)) for code in "?bhilqBHILQefdgFDGSU"}
    return {numpy.ndarray: _set_array, **dict.fromkeys(kinds, _set_dtype)}


def _no_call(*args):
    raise Refused("numpy.ndarray with arguments")


def _dtype(code, align=False, copy=False):
    """A dtype of its own (its byte order may follow)."""
    import numpy

    if type(code) is not str or not _CODE.fullmatch(code):
        raise Refused(f"a numpy dtype {str(code)[:40]!r} other than plain numbers and texts")
    return numpy.dtype(code, False, True)


def _set_dtype(dtype, state) -> None:
    """Set the byte order; all else in a state follows from the code, or could be forged."""
    if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
        raise Refused("a state of a numpy dtype")
    if any(part is not None for part in state[2:5]):
        raise Refused("a numpy dtype with fields")
    sizes = (dtype.itemsize, dtype.alignment) if dtype.kind in "SU" else (-1, -1)
    if state[1] in "<>" and dtype.byteorder != "|":
        dtype.__setstate__((3, state[1], None, None, None, *sizes, 0))


def _empty(kind, shape=(0,), code=b"b"):
    """The array that a state will fill."""
    import numpy

    if kind not in (Name(module, "ndarray") for module in _MODULES):
        raise Refused(f"an array of type {kind!r}")
    return numpy.ndarray((0,), numpy.int8)


def _set_array(array, state) -> None:
    if type(state) is not tuple or len(state) != 5 or array.shape != (0,) or array.base is not None:
        raise Refused("a state of a numpy array")
    _, shape, dtype, by_columns, raw = state
    raw = raw.encode("latin1") if type(raw) is str else raw
    _check(raw, dtype, shape)
    array.__setstate__((1, shape, dtype, bool(by_columns), bytes(raw)))


def _scalar(dtype, raw=b""):
    import numpy

    raw = raw.encode("latin1") if type(raw) is str else raw
    _check(raw, dtype, ())
    return numpy.ndarray((), dtype, bytes(raw) or bytes(1))[()]


def _from_buffer(raw, dtype, shape, order="C"):
    import numpy

    _check(raw, dtype, shape)
    if order not in ("C", "F"):
        raise Refused("the order of a numpy array")
    return numpy.frombuffer(bytearray(raw), dtype).reshape(shape, order=order)


def _check(raw, dtype, shape) -> None:
    """Bytes, a dtype of ours and a shape that belong together."""
    import numpy

    if not isinstance(dtype, numpy.dtype) or type(shape) is not tuple:
        raise Refused("a numpy array without dtype and shape")
    if len(shape) > 32 or not all(type(side) is int and 0 <= side < 1 << 62 for side in shape):
        raise Refused("the shape of a numpy array")
    wanted = math.prod(shape) * dtype.itemsize
    if type(raw) not in (bytes, bytearray) or len(raw) != wanted:
        given = f"{len(raw)} bytes" if isinstance(raw, (bytes, bytearray)) else type(raw).__name__
        raise Refused(f"a numpy array of {wanted} bytes, given {given}")
