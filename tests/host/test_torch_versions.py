"""Questions to torch that have an answer in every version."""

import sys
from types import SimpleNamespace

import pytest
import torch

from frozen_det.host import torch_versions


def test_the_number_is_the_one_in_use():
    assert ".".join(map(str, torch_versions.TORCH)) == ".".join(torch.__version__.split(".")[:2])


@pytest.mark.parametrize("answer", [True, False])
def test_an_old_torch_is_queried_through_its_tracer(monkeypatch, answer):
    monkeypatch.setattr(torch, "compiler", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace(is_compiling=lambda: answer))
    assert torch_versions.is_compiling() is answer


def test_without_a_tracer_nothing_is_traced(monkeypatch):
    monkeypatch.setattr(torch, "compiler", SimpleNamespace())
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    assert torch_versions.is_compiling() is False


@pytest.mark.parametrize("version", [(2, 1), (2, 4)])
def test_autocast_is_queried_in_the_way_of_the_version(version, monkeypatch):
    monkeypatch.setattr(torch_versions, "TORCH", version)
    assert torch_versions.autocast_dtype("cpu") is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch_versions.autocast_dtype("cpu") is torch.bfloat16 and torch_versions.autocast_dtype("cuda") is None
