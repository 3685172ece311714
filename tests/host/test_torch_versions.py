"""Questions to torch that have an answer in every version."""

import sys
from types import SimpleNamespace

import pytest
import torch

from frozen_det.host import torch_versions


def test_the_number_is_the_one_in_use():
    assert ".".join(map(str, torch_versions.TORCH)) == ".".join(torch.__version__.split(".")[:2])


@pytest.mark.parametrize("answer", [True, False])
def test_a_torch_that_cannot_be_asked_is_asked_through_its_tracer(monkeypatch, answer):
    monkeypatch.setattr(torch, "compiler", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace(is_compiling=lambda: answer))
    assert torch_versions.is_compiling() is answer


def test_without_a_tracer_nothing_is_traced(monkeypatch):
    monkeypatch.setattr(torch, "compiler", SimpleNamespace())
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    assert torch_versions.is_compiling() is False
