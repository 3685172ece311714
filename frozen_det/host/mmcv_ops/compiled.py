"""mmcv's own compiled operators, handed tensors as their kernels read them: in row-major order, never in bfloat16.

A kernel takes a tensor's first address and counts on from there (mmcv issue 2203): of a map in channels-last memory, of
a transposed or an expanded tensor it reads other values than the tensor's, without a message, and it leaves gradients
at other places. No kernel has bfloat16, and all floating tensors of a call must be of one dtype. Here every such tensor
is copied into what the kernel takes, and results are copied back into the tensor that mmcv prepared for them.
"""

import functools
import inspect

# Parameters, under mmcv's names, that no operator writes to. Any other may be a result.
_READ = frozenset(
    {"input", "rois", "weight", "offset", "mask", "bias", "grad_output", "features", "masks", "boxes", "scores"}
    | {"bboxes1", "bboxes2", "value", "target", "softmax", "value_spatial_shapes", "value_level_start_index"}
    | {"sampling_locations", "attention_weights", "mask_h_idx", "mask_w_idx"}
)


def guard(module) -> None:
    """Put :func:`as_kernels_read` before every operator of the compiled module that detectors use.

    Args:
        module: ``mmcv._ext``; changed. One that lacks some of the operators keeps lacking them.
    """
    from . import boxes, deformable, focal_loss, reassembly, roi_pooling

    for family in (boxes, deformable, focal_loss, reassembly, roi_pooling):
        for name, counterpart in family.OPERATORS.items():
            if hasattr(module, name):
                setattr(module, name, as_kernels_read(getattr(module, name), inspect.signature(counterpart)))


def as_kernels_read(operator, signature: inspect.Signature):
    """The operator for tensors of any strides, of bfloat16 and of mixed dtypes; others reach it without a copy.

    Args:
        operator: a compiled function, or one that reads memory as it does.
        signature: its parameters in order, under mmcv's names.
    """

    @functools.wraps(operator)
    def run(*args, **kwargs):
        import torch

        given = signature.bind(*args, **kwargs).arguments
        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
        short = torch.bfloat16 in dtypes or len(dtypes) > 1
        read = {name: _as_read(tensor, short) for name, tensor in tensors.items()}
        result = operator(
            *[read.get(name, value) for name, value in zip(signature.parameters, args)],
            **{name: read.get(name, value) for name, value in kwargs.items()},
        )
        for name, tensor in tensors.items():
            if name not in _READ and read[name] is not tensor:
                _hand_back(read[name], tensor)
        # What is returned rather than filled is of the first tensor's dtype.
        first = next(iter(tensors.values()), None)
        if short and isinstance(result, torch.Tensor) and result.is_floating_point() and first is not None:
            return result.to(first.dtype)
        return result

    return run


def _as_read(tensor, short: bool):
    """The tensor itself where a kernel can take it; else its copy, 16-bit values in float32 where `short` says so."""
    import torch

    if short and tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.contiguous()


def _hand_back(computed, prepared) -> None:
    if computed.shape != prepared.shape:  # scratch memory that the operator has sized by itself
        prepared.resize_(computed.shape)
    prepared.copy_(computed)
