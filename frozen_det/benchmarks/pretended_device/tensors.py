"""A tensor that says it is on `cuda:0` and holds an ordinary tensor of the CPU, and the ways between the two.

To torch's own C++ code it is on the CPU, so that autograd and autocast work without a GPU. Python code, which asks
`device`, `is_cuda` or `type()`, sees a tensor of a GPU.
"""

import copy

import torch

DEVICE = torch.device("cuda", 0)


class PretendedTensor(torch.Tensor):
    """A tensor of the pretended device.

    Attributes:
        held: the same numbers in an ordinary tensor, without gradients.
    """

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=held.device,
        )

    def __init__(self, held: torch.Tensor):
        self.held = held

    # What Python code may ask goes past C++, which would say "cpu".
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        from .operators import compute  # it imports this module

        return compute(func, args, kwargs or {}, waited=None, own=False)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        return 0

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def is_pinned(self, *_) -> bool:
        return False

    def numpy(self, *_, **__):
        raise TypeError(
            f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
            "first."
        )

    def __array__(self, *_, **__):
        return self.numpy()

    def tolist(self):
        return on_host(self, "tolist").tolist()

    def cpu(self, *_, **__) -> torch.Tensor:
        return moved(self, torch.device("cpu"), what="cpu")

    def cuda(self, *_, **__) -> torch.Tensor:
        return self

    def to(self, *args, **kwargs) -> torch.Tensor:
        return to(self, args, kwargs)

    def type(self, dtype=None, non_blocking: bool = False, **_):
        if dtype is None:
            return self.held.type().replace("torch.", "torch.cuda.")
        if isinstance(dtype, str):
            raise NotImplementedError(f"type({dtype!r}) of a pretended tensor")
        return to(self, (dtype,), {})

    def type_as(self, other: torch.Tensor) -> torch.Tensor:
        return to(self, (other.device, other.dtype), {})

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"pretended({self.held!r})"

    def __reduce_ex__(self, protocol):
        return self.held.__reduce_ex__(protocol)  # in a file it is what it is when loaded onto the CPU

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        assert self.is_leaf, "only leaves are copied deeply"
        twin = type(self)(self.held.clone())
        twin.requires_grad_(self.requires_grad)
        memo[id(self)] = twin
        for name, value in self.__dict__.items():
            if name != "held":
                setattr(twin, name, copy.deepcopy(value, memo))
        if self.grad is not None:
            twin.grad = copy.deepcopy(self.grad, memo)
        return twin


class _ToDevice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return PretendedTensor(tensor.detach().clone())

    @staticmethod
    def backward(ctx, gradient):
        return moved(gradient, torch.device("cpu"), what="cpu")


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return tensor.held.clone()

    @staticmethod
    def backward(ctx, gradient):
        return moved(gradient, DEVICE, what="to")


def on_host(tensor: torch.Tensor, what: str) -> torch.Tensor:
    """The numbers of a pretended tensor, read back."""
    from .waits import READ_BACK, noted

    noted(READ_BACK, what)
    return tensor.held  # type: ignore[attr-defined]


def moved(tensor: torch.Tensor, device: torch.device, what: str, non_blocking: bool = False) -> torch.Tensor:
    """A tensor on another device; itself where it is there already.

    What blocks is noted: both ways wait for the GPU unless the call says that it need not.
    """
    from .waits import COPY, READ_BACK, noted

    here = isinstance(tensor, PretendedTensor)
    if here == (device.type == "cuda"):
        return tensor
    if not non_blocking:
        noted(READ_BACK if here else COPY, what)
    if tensor.requires_grad and torch.is_grad_enabled():
        return (_ToHost if here else _ToDevice).apply(tensor)
    return tensor.held.clone() if here else PretendedTensor(tensor.detach().clone())  # type: ignore[attr-defined]


def to(tensor: torch.Tensor, args: tuple, kwargs: dict) -> torch.Tensor:
    """`Tensor.to` with any of its arguments, among them devices that C++ does not know of."""
    device, non_blocking = kwargs.pop("device", None), kwargs.get("non_blocking", False)
    given = list(args)
    if "other" in kwargs:
        given.insert(0, kwargs.pop("other"))
    if given and isinstance(given[0], torch.Tensor):
        other = given.pop(0)
        device, given = other.device, [other.dtype, *given]
    elif given and isinstance(given[0], (str, int, torch.device)):
        device = given.pop(0)
    elif given and given[0] is None:
        given.pop(0)
    if given and isinstance(given[0], torch.dtype):
        kwargs.setdefault("dtype", given.pop(0))
    for name, value in zip(("non_blocking", "copy"), given):  # positional after the dtype
        kwargs[name] = value
    non_blocking = kwargs.pop("non_blocking", False)
    if device is not None:
        device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device is not None and device.type == "cuda" and not isinstance(tensor, PretendedTensor):
        # Converted on the host first, as torch does it: fewer bytes travel where the dtype is shorter.
        return moved(torch.Tensor.to(tensor, **kwargs) if kwargs else tensor, device, "to", non_blocking)
    if kwargs:
        tensor = torch.Tensor.to(tensor, **kwargs)
    return tensor if device is None else moved(tensor, device, "to", non_blocking)


def wrapped(value):
    """Every plain tensor in nested lists and tuples as a pretended one."""
    if isinstance(value, torch.Tensor):
        return value if isinstance(value, PretendedTensor) else PretendedTensor(value)
    if isinstance(value, (list, tuple)):
        items = [wrapped(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
