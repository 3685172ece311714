"""mmcv's operators, reading and writing memory as its compiled kernels do."""

import math

import torch

from frozen_det.host.mmcv_ops import boxes, deformable, focal_loss, reassembly, roi_pooling
from frozen_det.host.mmcv_ops.compiled import guard


def read_raw_memory(monkeypatch, guarded: bool) -> None:
    """Replace the stand-ins by operators that count on from a tensor's first address, have no bfloat16 and ask for one
    dtype; with the guard of compiled operators before them or without."""
    import mmcv._ext as module

    for family in (boxes, deformable, focal_loss, reassembly, roi_pooling):
        for name in family.OPERATORS:
            monkeypatch.setattr(module, name, _as_compiled(getattr(module, name)))
    if guarded:
        guard(module)


def _as_compiled(operator):
    def run(*args, **kwargs):
        tensors = [value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor)]
        dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        if torch.bfloat16 in dtypes:
            raise RuntimeError("\"kernel\" not implemented for 'BFloat16'")
        if len(dtypes) > 1:
            raise RuntimeError(f"expected one scalar type, got {sorted(map(str, dtypes))}")
        names = [*range(len(args)), *kwargs]
        given = dict(zip(names, [*args, *kwargs.values()]))
        stored = {name: _as_stored(value) for name, value in given.items()}
        places = {name: value.data_ptr() for name, value in stored.items() if isinstance(value, torch.Tensor)}
        result = operator(*[stored[name] for name in range(len(args))], **{name: stored[name] for name in kwargs})
        for name, place in places.items():
            # A stand-in that puts its result in the output's place; not scratch memory, which it may enlarge.
            if stored[name].data_ptr() != place and stored[name].shape == given[name].shape:
                _as_stored(given[name]).copy_(stored[name])
        return result

    return run


def _as_stored(value):
    if not isinstance(value, torch.Tensor):
        return value
    strides = [math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim)]
    return value.detach().as_strided(value.shape, strides)
