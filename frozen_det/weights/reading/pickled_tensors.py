"""torch's part of a pickle: tensors as views of storages, each within the numbers that its storage has.

Only plain tensors are built, by functions of ours: no hooks, no attributes, no subclasses. Sparse, quantised, nested
and meta tensors are refused with the remedy.
"""

import functools
import math
from dataclasses import dataclass

from .pickled_arrays import array_builds, array_calls, array_values
from .pickled_values import plain_calls
from .safe_pickle import Name, PlainUnpickler, Refused

_MOST_EXPANDED = 1 << 26  # numbers that a view may have beyond those stored (strides of 0)
_DTYPES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "Untyped": "uint8",
}
_NOT_PLAIN = {
    "_rebuild_sparse_tensor": "a sparse tensor: call .to_dense() before saving",
    "_rebuild_qtensor": "a quantised tensor: call .dequantize() before saving",
    "_rebuild_meta_tensor_no_storage": "a tensor without numbers (device meta): save the filled model",
    "_rebuild_nested_tensor": "a nested tensor: save its parts",
    "_rebuild_wrapper_subclass": "a tensor subclass: save plain tensors",
}
_STORAGE_MODULES = ("torch", "torch.storage", "torch.cuda")


class NotPlain(Exception):
    """A tensor of a kind that is not read; the message says what to do."""


@dataclass(slots=True)
class Storage:
    """Numbers behind tensors: `numel` of a dtype, from element `start` of an untyped storage on."""

    untyped: object
    dtype: object
    numel: int
    start: int = 0

    @property
    def num_bytes(self) -> int:
        """Bytes that the numbers need."""
        return self.numel * self.dtype.itemsize

    def part(self, start: int, numel: int) -> "Storage":
        """`numel` of the numbers from `start` on."""
        if not (_is_count(start) and _is_count(numel) and start + numel <= self.numel):
            raise ValueError(f"numbers {start} to {start} + {numel} of {self.numel}")
        return Storage(self.untyped, self.dtype, numel, self.start + start)


def typed(untyped, kind: str, numel) -> Storage:
    """A storage of a kind (`Float`, ...) with so many numbers; `untyped` has exactly their bytes, or is None yet."""
    import torch

    if not _is_count(numel):
        raise ValueError(f"a count of {numel!r} numbers")
    made = Storage(untyped, getattr(torch, _DTYPES[kind]), numel)
    if untyped is not None and untyped.nbytes() != made.num_bytes:
        raise ValueError(f"{numel} numbers of {made.dtype} in {untyped.nbytes()} bytes")
    return made


def placed(content, location, map_location):
    """The untyped storage of a tensor of bytes, on the device that the caller or else the file names."""
    import torch

    untyped = content.untyped_storage()
    location = location.decode("ascii") if isinstance(location, bytes) else str(location)
    if callable(map_location):
        moved = map_location(untyped, location)
        if moved is not None:
            return moved
    elif isinstance(map_location, dict):
        location = map_location.get(location, location)
    elif map_location is not None:
        location = str(map_location)
    return torch.serialization.default_restore_location(untyped, str(location))


class TensorUnpickler(PlainUnpickler):
    """Plain data and tensors.

    Args:
        file: binary.
        storages: f(kind, key, location, numel, view=None) -> :class:`Storage`.
        embedded: f(bytes) -> Storage, for storages within the pickle; None where there are none.
        encoding: of texts that Python 2 wrote.
    """

    def __init__(self, file, storages, embedded=None, encoding: str = "utf-8"):
        calls, values, builds = _tables()
        if embedded is not None:
            calls = {**calls, ("torch.storage", "_load_from_bytes"): embedded}
        super().__init__(file, calls, values, builds, encoding)
        self._storages = storages

    def find_class(self, module, name):
        if module in _STORAGE_MODULES and name.removesuffix("Storage") in _DTYPES and name.endswith("Storage"):
            return Name("storage", name.removesuffix("Storage"))
        if module == "torch._utils" and name in _NOT_PLAIN:
            raise NotPlain(_NOT_PLAIN[name])
        return super().find_class(module, name)

    def persistent_load(self, pid):
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] not in ("storage", b"storage"):
            raise Refused("a persistent id other than a storage's")
        _, kind, key, location, numel, *view = pid
        if type(kind) is not Name or kind.module != "storage" or type(key) not in (str, bytes, int):
            raise Refused("a persistent id other than a storage's")
        if view and view[0] is not None and (type(view[0]) is not tuple or len(view[0]) != 3):
            raise Refused("a persistent id other than a storage's")
        return self._storages(kind.name, key.decode() if isinstance(key, bytes) else key, location, numel, *view)


@functools.cache
def _tables() -> tuple[dict, dict, dict]:
    """Calls, values and states of all kinds."""
    return (
        {**plain_calls(), **array_calls(), **_tensor_calls()},
        {**array_values(), **_tensor_values()},
        array_builds(),
    )


def _is_count(value) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None, *, dtype=None):
    """A view: sizes and strides count numbers of the storage, the last of them within it."""
    import torch

    size, stride = tuple(size), tuple(stride)
    if type(storage) is not Storage or metadata:
        raise Refused("a tensor without a storage of its own, or a lazily conjugated one")
    if len(size) != len(stride) or not all(map(_is_count, (offset, *size, *stride))):
        raise ValueError(f"a view of size {size} with strides {stride} from {offset!r}")
    if dtype is not None:
        storage = Storage(storage.untyped, dtype, storage.num_bytes // dtype.itemsize, storage.start)
    numel = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride))
    if numel and last >= storage.numel:
        raise ValueError(f"a view of size {size} with strides {stride} from {offset}, of {storage.numel} numbers")
    if numel > max(storage.numel, _MOST_EXPANDED):
        raise ValueError(f"a view of size {size} of {storage.numel} numbers")
    made = torch.empty(0, dtype=storage.dtype, device=storage.untyped.device)
    made.set_(storage.untyped, storage.start + offset if numel else 0, size, stride)
    if requires_grad is True and (storage.dtype.is_floating_point or storage.dtype.is_complex):
        made.requires_grad_()
    return made


def _tensor_of_dtype(storage, offset, size, stride, requires_grad=False, hooks=None, dtype=None, metadata=None):
    """Newer dtypes have no storage class of their own: untyped bytes, and the dtype beside them."""
    import torch

    if not isinstance(dtype, torch.dtype):
        raise Refused("a tensor without a dtype")
    return _tensor(storage, offset, size, stride, requires_grad, hooks, metadata, dtype=dtype)


def _parameter(data=None, requires_grad=True, *_):
    import torch

    if type(data) is not torch.Tensor:
        raise Refused("a parameter without a tensor")
    return torch.nn.Parameter(data.detach(), bool(requires_grad) and (data.is_floating_point() or data.is_complex()))


_REBUILDS = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_of_dtype,
    "_rebuild_parameter": _parameter,
    "_rebuild_parameter_with_state": _parameter,
}


def _with_attributes(rebuild=None, kind=None, args=(), state=None):
    """A tensor with Python attributes: the tensor, without them."""
    if (
        type(rebuild) is not Name
        or rebuild.module != "torch._utils"
        or type(args) is not tuple
        or kind not in (Name("torch", "Tensor"), Name("torch.nn.parameter", "Parameter"))
    ):
        raise Refused("torch._tensor._rebuild_from_type_v2 of another type")
    return _REBUILDS[rebuild.name](*args)


def _size(numbers=()):
    import torch

    if type(numbers) not in (tuple, list) or not all(map(_is_count, numbers)):
        raise Refused("torch.Size of something else than numbers")
    return torch.Size(numbers)


def _device(kind="cpu", index=None):
    import torch

    if type(kind) is not str or not (index is None or type(index) is int):
        raise Refused("torch.device of something else than a name")
    return torch.device(kind) if index is None else torch.device(kind, index)


def _layout(name=""):
    import torch

    if name != "torch.strided":
        raise Refused(f"the layout {str(name)[:40]!r}")
    return torch.strided


def _no_tensor(*_):
    raise Refused("torch.Tensor with arguments")


def _tensor_calls() -> dict:
    return {
        **{("torch._utils", name): function for name, function in _REBUILDS.items()},
        ("torch._tensor", "_rebuild_from_type_v2"): _with_attributes,
        ("torch.nn.parameter", "Parameter"): _parameter,
        ("torch", "Size"): _size,
        ("torch", "device"): _device,
        ("torch.serialization", "_get_layout"): _layout,
        ("torch", "Tensor"): _no_tensor,
    }


def _tensor_values() -> dict:
    """dtypes, which are used as they are."""
    import torch

    return {("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
