"""Differences between the supported versions of torch: its number, `is_compiling`, autocast."""

import sys

import torch

# (major, minor) of the torch in use.
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def is_compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing this code."""
    if hasattr(torch.compiler, "is_compiling"):
        return torch.compiler.is_compiling()
    # Before torch 2.3 only the tracer knows. Importing it takes seconds; if it is not imported, nothing is traced.
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and dynamo.is_compiling()


def autocast_dtype(kind: str) -> torch.dtype | None:
    """The dtype that autocast computes in on devices of a kind (``cpu``, ``cuda``); None while it is off."""
    if TORCH >= (2, 4):
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    if kind == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
