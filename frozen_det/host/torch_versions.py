"""Differences between the supported versions of torch: its number, `is_compiling`."""

import sys

import torch

# (major, minor) of the torch in use.
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def is_compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing this code."""
    if hasattr(torch.compiler, "is_compiling"):
        return torch.compiler.is_compiling()
    # Before torch 2.3 the tracer itself was asked. Who never imported it, as that takes seconds, is not traced by it.
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and dynamo.is_compiling()
