import pytest
import torch
from torch import nn

from frozen_det.engine.hooks.averages import WarmUpAverage


def followed(steps, momentum=1e-4):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WarmUpAverage(model, momentum=momentum)
    seen = []
    for step in range(steps):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update_parameters(model)
        seen.append(average.module.weight.item())
    return seen


def test_the_decay_is_tensorflows_until_it_reaches_the_last_one():
    expected, value = [], 0.0
    for step in range(30):
        decay = min(0.9999, (1 + step) / (10 + step))
        value = float(step) if step == 0 else decay * value + (1 - decay) * step
        expected.append(value)
    assert followed(30) == pytest.approx(expected, rel=1e-5)
    assert followed(3, momentum=0.9)[2] == pytest.approx(0.1 * 0.9 + 0.9 * 2, rel=1e-5)


def test_statistics_of_batch_norms_are_averaged_too():
    model = nn.BatchNorm1d(2)
    average = WarmUpAverage(model, momentum=0.1, update_buffers=True)
    for value in (0.0, 4.0):
        model.running_mean.fill_(value)
        average.update_parameters(model)
    decay = 2 / 11  # at the second update
    assert average.module.running_mean.tolist() == pytest.approx([(1 - decay) * 4.0] * 2)
