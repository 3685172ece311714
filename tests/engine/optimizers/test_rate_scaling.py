"""The rate for another batch against timm's rule and mmengine's, and what is said of it."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from frozen_det.config import load_config
from frozen_det.engine.optimizers.rate_scaling import guard_rate_scaling, rate_factor, scaling_of
from frozen_det.engine.training import describe_accumulation
from frozen_det.errors import InputError


def by_timm(lr, batch, base, optimizer):
    """train.py of timm, where --lr is not given."""
    ratio = batch / base
    return lr * (ratio**0.5 if any(word in optimizer for word in ("ada", "lamb")) else ratio)


def scaled(lr, auto_scale_lr, batch, processes=1):
    """The rate after the Runner's own scaling."""
    guard_rate_scaling()
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr))
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=batch),
        world_size=processes,
        param_schedulers=None,
        logger=logging.getLogger("none"),
    )
    Runner.scale_lr(runner, wrapper, auto_scale_lr)
    return wrapper.optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("batch, accumulate, processes", [(256, 8, 1), (256, 2, 1), (64, 1, 1), (128, 1, 4)])
def test_rsb_scales_as_timm_does_for_lamb(batch, accumulate, processes):
    cfg = load_config(
        "upstream/resnet50_rsb-a2_imagenet1k", {"train_dataloader.batch_size": batch, "accumulate": accumulate}
    )
    found = scaled(5e-3, cfg.auto_scale_lr, batch, processes)
    assert found == pytest.approx(by_timm(5e-3, batch * accumulate * processes, 2048, "lamb"))
    assert cfg.train_dataloader.sampler.batch_size == batch
    assert cfg.train_dataloader.sampler.batches_of_update == accumulate


def test_512_images_have_half_of_the_rate_of_2048():
    cfg = load_config("upstream/resnet50_rsb-a2_imagenet1k", {"accumulate": 2})
    assert scaled(5e-3, cfg.auto_scale_lr, 256) == pytest.approx(2.5e-3)
    assert describe_accumulation(cfg, 1).endswith(
        "learning rate 0.005 x sqrt(512 / 2048) = 0.0025 (by the root of the batch)"
    )


def test_by_default_the_rate_is_linear_in_the_batch_as_in_mmengine():
    given = dict(enable=True, base_batch_size=1024)
    assert scaled(0.5, given, 256) == pytest.approx(by_timm(0.5, 256, 1024, "sgd")) == 0.125
    assert scaled(0.5, dict(enable=False, base_batch_size=1024, scaling="sqrt"), 256) == 0.5
    assert rate_factor(512, 2048, "linear") == 0.25


def test_another_scaling_is_refused():
    with pytest.raises(InputError, match="linear, sqrt, got 'root'"):
        scaling_of(dict(scaling="root"))
