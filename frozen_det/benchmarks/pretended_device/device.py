"""`pretended_device()`: within it, `cuda:0` is there.

Factories, `.to("cuda")`, `.cuda()` give tensors of the device; `torch.cuda.is_available()` is true; autocast on `cuda`
is the CPU's, in the dtype that is asked for. What it cannot show: kernels, their memory and rounding, time. mmcv's
operators must be this package's stand-ins: compiled ones ask for memory that is not there.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ...host import mmcv_ops
from .operators import compute
from .tensors import DEVICE, PretendedTensor, moved, to, wrapped
from .waits import READ_BACK, noted

_Tensor = torch.Tensor
# Methods of the tensors themselves, where a program calls them through the class.
_METHODS = {
    getattr(_Tensor, name): name
    for name in ("numpy", "__array__", "tolist", "cpu", "type", "get_device", "data_ptr", "is_pinned", "__deepcopy__")
}
# Factories that copy what the host has.
_FROM_HOST = {torch.tensor: "tensor", torch.as_tensor: "as_tensor", torch.asarray: "asarray"}


class _Functions(TorchFunctionMode):
    """Functions of torch as Python calls them: the device that is asked for is taken out and pretended."""

    def __init__(self, operators: "_Operators"):
        super().__init__()
        self.operators = operators

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is _Tensor.backward:
            # Functions of a program run inside it, and must see this mode.
            with self, self.operators.on_device(True):
                return torch.autograd.backward(args[0], **_backward_arguments(args[1:], kwargs))
        if func is torch._shape_as_tensor:
            return torch.tensor(args[0].shape)  # on the CPU, from which a program copies it
        if func in _METHODS and isinstance(args[0], PretendedTensor):
            return getattr(args[0], _METHODS[func])(*args[1:], **kwargs)
        if func is _Tensor.to:
            return to(args[0], args[1:], kwargs)
        if func is _Tensor.cuda:
            return moved(args[0], DEVICE, "cuda", kwargs.get("non_blocking", False))
        if func is _Tensor.type_as and isinstance(args[1], PretendedTensor):
            return to(args[0], (args[1],), {})
        if func is _Tensor.data.__set__ and isinstance(args[0], PretendedTensor):  # type: ignore[attr-defined]
            func(*args)
            args[0].held = args[1].held
            return None
        if func is _Tensor.new_tensor and isinstance(args[0], PretendedTensor):
            return self._from_host(torch.tensor, "new_tensor", args[1:], {"dtype": args[0].dtype} | kwargs)
        if func is torch.nn.functional.one_hot and isinstance(args[0], PretendedTensor):
            return _one_hot(*args, **kwargs)
        if func in _FROM_HOST and (kwargs.get("device") is not None or _has_ours(args)):
            return self._from_host(func, _FROM_HOST[func], args, kwargs)
        if func is _Tensor.pin_memory:
            return args[0]
        kwargs.pop("pin_memory", None)  # there is no memory to pin
        device = kwargs.pop("device", None)
        if device is None:
            with self.operators.on_device(_has_ours(args) or _has_ours(kwargs.values())):
                return func(*args, **kwargs)
        if torch.device(device).type == "cuda":
            with self.operators.on_device(True):
                return wrapped(func(*args, **kwargs))
        # As `new_zeros(..., device="cpu")`: like the tensor in all but its place.
        args = [value.held if isinstance(value, PretendedTensor) else value for value in args]
        with self.operators.on_device(False):
            return func(*args, device=device, **kwargs)

    def _from_host(self, func, what: str, args, kwargs):
        """`torch.tensor` and its like: a list of the host's numbers is copied, a tensor of the device is not."""
        data, *rest = args if args else [kwargs.pop("data")]
        device = kwargs.pop("device", None)
        if what == "new_tensor":
            device = device or DEVICE
        if isinstance(data, torch.Tensor):
            same = func in (torch.as_tensor, torch.asarray)
            found = to(data, (device,), {"dtype": kwargs["dtype"]} if kwargs.get("dtype") is not None else {})
            return found if same or found is not data else found.detach().clone()
        with self.operators.on_device(False):
            found = func(_numbers(data), *rest, **kwargs)
        return found if device is None else moved(found, torch.device(device), what)


class _Operators(TorchDispatchMode):
    """Operators of torch as C++ calls them."""

    def __init__(self):
        super().__init__()
        self.own = False

    @contextlib.contextmanager
    def on_device(self, own: bool) -> Iterator[None]:
        """Whether tensors that C++ makes of nothing meanwhile are the device's: so they are inside its calls."""
        before, self.own = self.own, own
        try:
            yield
        finally:
            self.own = before

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {}, noted, self.own)


@contextlib.contextmanager
def pretended_device() -> Iterator[None]:
    """Within the block `cuda:0` is there.

    Raises:
        RuntimeError: mmcv's operators are compiled.
    """
    if not mmcv_ops.in_use():
        raise RuntimeError("expected mmcv without compiled operators: those would look for memory of a real GPU.")
    operators = _Operators()
    with contextlib.ExitStack() as stack:
        for patch in _patches():
            stack.enter_context(patch)
        stack.enter_context(operators)
        stack.enter_context(_Functions(operators))
        yield


def _patches() -> list:
    """What a program asks torch and mmcv about GPUs."""
    from mmcv.ops import multi_scale_deform_attn
    from mmengine.device import utils as mmengine_device

    answers: dict[str, Any] = dict(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        is_bf16_supported=lambda *_, **__: True,
        get_device_name=lambda *_, **__: "pretended",
        synchronize=lambda *_, **__: noted(READ_BACK, "synchronize"),
        Event=_Event,
        # Draws are those of the CPU's generator.
        get_rng_state=lambda *_, **__: torch.zeros(16, dtype=torch.uint8),
        set_rng_state=lambda *_, **__: None,
        is_current_stream_capturing=lambda: False,
        empty_cache=lambda: None,
        memory_allocated=lambda *_, **__: 0,
        max_memory_allocated=lambda *_, **__: 0,
        reset_peak_memory_stats=lambda *_, **__: None,
    )
    autocast = torch.amp.autocast_mode.autocast
    begin = autocast.__init__

    def begun(self, device_type, dtype=None, *args, **kwargs):
        if device_type == "cuda":
            device_type, dtype = "cpu", dtype or torch.float16
        begin(self, device_type, dtype, *args, **kwargs)

    enabled, dtype_of = torch.is_autocast_enabled, torch.get_autocast_dtype
    grouped = torch._C._group_tensors_by_device_and_dtype

    def by_device(tensors, with_indices=False):
        ours = _has_ours(tensors)  # C++ would group them as the CPU's, and a norm be brought there
        return {(DEVICE if ours else key[0], key[1]): of for key, of in grouped(tensors, with_indices).items()}

    return [
        *(mock.patch.object(torch.cuda, name, answer) for name, answer in answers.items()),
        mock.patch.object(autocast, "__init__", begun),
        mock.patch.object(torch, "is_autocast_enabled", lambda kind="cpu": enabled("cpu" if kind == "cuda" else kind)),
        mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", by_device),
        mock.patch.object(torch, "get_autocast_dtype", lambda kind: dtype_of("cpu" if kind == "cuda" else kind)),
        # `Module.to` sets `data` of a parameter, which would take the place in memory of one that has none; swapped,
        # parameters stay the same objects too.
        mock.patch.object(torch.__future__, "get_swap_module_params_on_conversion", lambda: True),
        # Else the functions that a program runs inside a backward pass would be hidden from the mode.
        mock.patch.object(torch.autograd, "has_torch_function", lambda *_: False),
        # Asked when mmengine and mmcv are imported.
        mock.patch.object(mmengine_device, "DEVICE", "cuda"),
        mock.patch.object(multi_scale_deform_attn, "IS_CUDA_AVAILABLE", True),
    ]


class _Event:
    """A mark in the stream: waiting for it is a wait."""

    def __init__(self, *_, **__):
        pass

    def record(self, *_) -> None:
        pass

    def synchronize(self) -> None:
        noted(READ_BACK, "event")


def _one_hot(tensor, num_classes: int = -1):
    """On a GPU classes that are given are not checked; on a CPU they are, with two values read."""
    if num_classes < 0:
        num_classes = int(tensor.max().item()) + 1
    return wrapped(torch.nn.functional.one_hot(tensor.held, num_classes))


def _numbers(data):
    """Nested lists with numbers in place of the device's tensors, each of them read."""
    if isinstance(data, (list, tuple)):
        return [_numbers(item) for item in data]
    return data.item() if isinstance(data, PretendedTensor) and data.dim() == 0 else data


def _backward_arguments(args, kwargs) -> dict:
    names = ("gradient", "retain_graph", "create_graph", "inputs")
    given = {**dict(zip(names, args)), **kwargs}
    return {("grad_tensors" if name == "gradient" else name): value for name, value in given.items()}


def _has_ours(values) -> bool:
    return any(
        _has_ours(value) if isinstance(value, (list, tuple)) else isinstance(value, PretendedTensor) for value in values
    )
