"""Running statistics after several processes: their mean, for norms that train, and nothing else."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from frozen_det.engine import NormStatisticsHook
from frozen_det.engine.hooks import norm_statistics


@pytest.fixture
def two_processes(monkeypatch):
    """The other process holds the same numbers plus 2: the mean of both is 1 more than ours."""
    exchanges = []

    def all_reduce(values, op):
        assert op == "mean"
        exchanges.append(values.numel())
        values += 1

    monkeypatch.setattr(norm_statistics, "get_world_size", lambda: 2)
    monkeypatch.setattr(norm_statistics, "all_reduce", all_reduce)
    return exchanges


def model() -> nn.Module:
    frozen, trained, synchronised = nn.BatchNorm2d(3), nn.BatchNorm2d(4), nn.SyncBatchNorm(5)
    parts = nn.ModuleList([frozen, trained, synchronised, nn.BatchNorm1d(2, track_running_stats=False)])
    for number, norm in enumerate((frozen, trained, synchronised)):
        norm.running_mean.fill_(10 * number)
    frozen.eval()
    return parts


@pytest.mark.parametrize("moment", ["after_train_epoch", "before_val_epoch"])
def test_only_norms_that_train_on_their_own_batches_take_the_mean(two_processes, moment):
    parts = model()
    getattr(NormStatisticsHook(), moment)(SimpleNamespace(model=parts))
    assert parts[1].running_mean.tolist() == [11.0] * 4 and parts[1].running_var.tolist() == [2.0] * 4
    assert parts[0].running_mean.tolist() == [0.0] * 3 and parts[2].running_mean.tolist() == [20.0] * 5
    assert two_processes == [8]  # one exchange for all


def test_norms_in_evaluation_exchange_nothing(two_processes):
    NormStatisticsHook().after_train_epoch(SimpleNamespace(model=model().eval()))
    assert two_processes == []


def test_a_single_process_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(norm_statistics, "all_reduce", lambda *args, **kwargs: pytest.fail("nobody to talk to"))
    parts = model()
    NormStatisticsHook().after_train_epoch(SimpleNamespace(model=parts))
    assert torch.equal(parts[1].running_mean, torch.full((4,), 10.0))
