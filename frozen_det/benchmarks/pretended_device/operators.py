"""What an operator does on the pretended device: refuse a mix of devices as CUDA does, count waits, compute on the CPU.

Sources of the rules: ATen's CUDA kernels (`aten/src/ATen/native/cuda`: Nonzero.cu, Unique.cu, Repeat.cu, Copy.cu,
IndexKernel.cpp) and `TensorIterator.cpp` for scalars of the CPU. What waits there is what
`torch.cuda.set_sync_debug_mode` reports on a GPU.
"""

from functools import cache

import torch
from torch.utils._python_dispatch import return_and_correct_aliasing

from .tensors import DEVICE, PretendedTensor, wrapped
from .waits import COPY, READ_BACK, noted

# Operators of torch that hand a value to the host, or whose result has a size that the host must be told.
_READ_BACK = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique": "unique",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique_consecutive",
    "unique_dim_consecutive": "unique_consecutive",
    "bincount": "bincount",
    "equal": "equal",
    "allclose": "allclose",
    "histc": "histc",
}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
# Take a scalar of the CPU beside tensors of the GPU, though they are not elementwise by torch's own mark.
_TAKE_A_SCALAR = {"fill_", "fill", "masked_fill", "masked_fill_", "index_fill", "index_fill_", "full_like"}


def compute(func, args: tuple, kwargs: dict, waited, own: bool):
    """The result of an operator, on the pretended device if any of its tensors is.

    Args:
        func: an overload of an operator.
        waited: called with kind and call for every wait; None to count nothing.
        own: whether an operator without tensors makes one of the device.

    Raises:
        RuntimeError: a tensor of the CPU where CUDA takes none, in torch's words.
    """
    ours: list[PretendedTensor] = []
    plain: list[torch.Tensor] = []

    def unwrapped(value):
        if isinstance(value, PretendedTensor):
            ours.append(value)
            return value.held
        if isinstance(value, torch.Tensor):
            plain.append(value)
            return value
        if isinstance(value, (list, tuple)):
            return type(value)([unwrapped(item) for item in value])
        return value

    held_args = [unwrapped(value) for value in args]
    held_kwargs = {name: unwrapped(value) for name, value in kwargs.items()}
    if not ours:
        if own and not plain:
            held_kwargs.pop("device", None)
            return wrapped(func(*args, **held_kwargs))
        return func(*args, **kwargs)
    name = func.overloadpacket.__name__
    if name in ("copy_", "_copy_from"):
        return _copied(func, args, held_args, held_kwargs, waited)
    if plain:
        _refuse_mix(func, name, args, kwargs, plain)
    if waited is not None:
        _note(func, name, args, kwargs, plain, waited)
    held_kwargs.pop("device", None)
    found = func(*held_args, **held_kwargs)
    if torch.Tag.inplace_view in func.tags:
        return return_and_correct_aliasing(func, args, kwargs, wrapped(found))
    written = _written(func)
    if written is None:
        return wrapped(found)
    returned = [args[place] if place < len(args) else kwargs[key] for place, key in written]
    return returned[0] if len(returned) == 1 else type(found)(returned)


@cache
def _written(func) -> list[tuple[int, str]] | None:
    """Places and names of the arguments that an operator returns; None where its results are new."""
    returned = [value.alias_info for value in func._schema.returns]
    if not returned or any(info is None or not info.is_write for info in returned):
        return None
    places = []
    for info in returned:
        places += [
            (number, argument.name)
            for number, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.before_set & info.before_set
        ]
    return places


def _copied(func, args, held_args, held_kwargs, waited):
    """`copy_`, which crosses devices."""
    target, source, *rest = args
    held = [*held_args, *held_kwargs.values()]
    non_blocking = held[2] if len(held) > 2 else False
    here, there = isinstance(target, PretendedTensor), isinstance(source, PretendedTensor)
    if here != there and not non_blocking and waited is not None:
        waited(COPY if here else READ_BACK, "copy_")
    func(*held_args, **held_kwargs)
    return target


def _refuse_mix(func, name: str, args, kwargs, plain) -> None:
    """Raise where CUDA refuses the tensors of the CPU among an operator's."""
    if name in _INDEXING:
        where, indices, *values = args
        if not isinstance(where, PretendedTensor):
            if any(isinstance(index, PretendedTensor) for index in indices):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            plain = [where]
        else:
            plain = [value for value in values if _is_plain(value) and value.dim()]
        if not plain:
            return
    elif all(tensor.dim() == 0 for tensor in plain):
        # A scalar may be read, not written.
        writes = _written(func)
        written = [] if writes is None else [args[place] if place < len(args) else kwargs[key] for place, key in writes]
        if not any(map(_is_plain, written)) and (torch.Tag.pointwise in func.tags or name in _TAKE_A_SCALAR):
            return
        if name.startswith("_foreach_"):
            return
    if torch.Tag.pointwise in func.tags or name in _INDEXING:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu!"
        )
    argument = next(
        (argument.name for argument, value in zip(func._schema.arguments, args) if _holds_plain(value)), "tensors"
    )
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but got {argument} is on cpu, different from other tensors "
        f"on {DEVICE} (when checking argument in method wrapper_CUDA_{name})"
    )


def _note(func, name: str, args, kwargs, plain, waited) -> None:
    if name in _READ_BACK:
        waited(READ_BACK, _READ_BACK[name])
    elif name == "nms":
        noted(READ_BACK, "nms", of_compiled_op=True)
    elif name == "repeat_interleave" and func._overloadname == "Tensor":
        if (args[1] if len(args) > 1 else kwargs.get("output_size")) is None:
            waited(READ_BACK, "repeat_interleave")
    elif name in _INDEXING:
        for index in args[1]:
            if index is None:
                continue
            if _is_plain(index):
                waited(COPY, "index")  # a mask of the CPU becomes places there, and they are copied
            elif index.dtype in (torch.bool, torch.uint8) and not _fills(name, args):
                waited(READ_BACK, "boolean index")


def _fills(name: str, args) -> bool:
    """Whether an assignment by one mask is a `masked_fill`, which waits for nothing: a number of the host is set."""
    if not name.startswith(("index_put", "_index_put")):
        return False
    _, indices, value, *rest = args
    masks = [index for index in indices if index is not None]
    return len(masks) == 1 and _is_plain(value) and value.numel() == 1 and not (rest and rest[0])


def _is_plain(value) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, PretendedTensor)


def _holds_plain(value) -> bool:
    return any(map(_holds_plain, value)) if isinstance(value, (list, tuple)) else _is_plain(value)
