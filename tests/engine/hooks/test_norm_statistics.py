"""Running statistics after several processes: their mean, for norms that train, and nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from torch import nn

from frozen_det.engine import NormStatisticsHook
from frozen_det.engine.hooks import norm_statistics

from ...training_runs import tiny_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


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
    getattr(NormStatisticsHook(), moment)(SimpleNamespace(model=parts, hooks=[]))
    assert parts[1].running_mean.tolist() == [11.0] * 4 and parts[1].running_var.tolist() == [2.0] * 4
    assert parts[0].running_mean.tolist() == [0.0] * 3 and parts[2].running_mean.tolist() == [20.0] * 5
    assert two_processes == [8]  # one exchange for all


def test_norms_in_evaluation_exchange_nothing(two_processes):
    NormStatisticsHook().after_train_epoch(SimpleNamespace(model=model().eval(), hooks=[]))
    assert two_processes == []


def test_a_single_process_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(norm_statistics, "all_reduce", lambda *args, **kwargs: pytest.fail("nobody to talk to"))
    parts = model()
    NormStatisticsHook().after_train_epoch(SimpleNamespace(model=parts, hooks=[]))
    assert torch.equal(parts[1].running_mean, torch.full((4,), 10.0))


def test_averaged_weights_get_the_mean_of_their_own_statistics(two_processes):
    """Norms of the same names, although those of the average are in whatever mode the copy was taken in."""
    parts, ema = model(), model().eval()
    ema[1].running_mean.fill_(30.0)
    hooks = [SimpleNamespace(ema_model=SimpleNamespace(module=ema))]
    NormStatisticsHook().after_train_epoch(SimpleNamespace(model=parts, hooks=hooks))
    assert parts[1].running_mean.tolist() == [11.0] * 4 and ema[1].running_mean.tolist() == [31.0] * 4
    assert ema[0].running_mean.tolist() == [0.0] * 3 and ema[2].running_mean.tolist() == [20.0] * 5
    assert two_processes == [16]


@pytest.mark.parametrize(("by_epoch", "averaged_after"), [(False, [2, 4, 5]), (True, [])])
def test_checkpoints_that_count_iterations_hold_the_mean_too(two_processes, by_epoch, averaged_after):
    found = []
    for step in range(5):
        runner = SimpleNamespace(model=model(), hooks=[CheckpointHook(2, by_epoch=by_epoch)], iter=step, max_iters=5)
        NormStatisticsHook().after_train_iter(runner, step)
        found += [step + 1] if runner.model[1].running_mean[0] == 11 else []
    assert found == averaged_after


def test_classifiers_that_replace_their_hooks_keep_it():
    """By the config alone, for the host's own tools."""
    texts = {path: path.read_text() for path in CONFIGS.rglob("*.py")}
    replaced = [p for p, text in texts.items() if "custom_hooks = [" in text and "classifier_runtime.py" in text]
    assert len(replaced) == 5
    hook = dict(type="frozen_det.NormStatisticsHook")
    assert all(Config.fromfile(path).default_hooks.norm_statistics == hook for path in replaced)
    assert not [path for path, text in texts.items() if "default_hooks = dict(_delete_" in text]


def test_a_config_without_it_gets_the_hook_from_the_runner(tmp_path):
    from frozen_det.engine.runs import new_runner

    cfg = tiny_config(tmp_path / "scenes", tmp_path / "run")
    assert "NormStatisticsHook" not in cfg.pretty_text
    assert [type(hook) for hook in new_runner(cfg).hooks].count(NormStatisticsHook) == 1
