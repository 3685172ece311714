"""Trainings side by side end with the weights that each has alone."""

import io

import pytest
import torch
from mmengine.hooks import Hook

from frozen_det.engine.runner.lockstep import Lockstep
from frozen_det.engine.runs import new_runner
from tests.training_runs import tiny_config, tiny_scenes

ARMS = {
    "frozen": {},
    "another seed": {"randomness__seed": 1},
    "another rate, measured at the end alone": {"optim_wrapper__optimizer__lr": 2e-3, "train_cfg__val_interval": 2},
    "adapters": {"model__detector__backbone__adapters": dict(type="parallel", start_stage=2)},
    "fine-tuned": {"model__detector__backbone__freeze": False, "train_cfg__max_epochs": 1},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes"))


def _train(scenes, folder, **options):
    torch.set_num_threads(1)  # sums are cut by their number
    cfg = tiny_config(scenes, folder, **options)
    cfg.train_dataloader.sampler = dict(cfg.train_dataloader.sampler, seed=0)
    runner = new_runner(cfg)
    runner.train()
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


@pytest.fixture(scope="module")
def together(scenes, tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    logs = {name: io.StringIO() for name in ARMS}
    steps = {name: [lambda name=name: _train(scenes, root / name, **ARMS[name])] for name in ARMS}
    lockstep = Lockstep(steps, logs)
    return lockstep, lockstep.run(), logs


@pytest.mark.parametrize("name", ARMS)
def test_each_ends_with_the_weights_it_has_alone(together, scenes, tmp_path, name):
    found = together[1][name]
    assert not isinstance(found, BaseException), found
    alone = _train(scenes, tmp_path / "alone", **ARMS[name])
    assert [key for key in alone if not torch.equal(alone[key], found[0][key])] == []


def test_the_frozen_pass_is_computed_once_for_each_batch(together):
    # 2 epochs of 4 batches, validation of 2 batches after each; three wholly frozen members, one that validates once.
    whole = max(together[0].features.results, key=lambda one: one.reused)
    assert (whole.computed, whole.reused) == (12, 22)


def test_each_has_its_own_output(together):
    for name, log in together[2].items():
        text = log.getvalue()
        others = [other for other in ARMS if other != name]
        assert f"/{name}'" in text and not any(f"/{other}'" in text for other in others)


class _Fails(Hook):
    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter == 2:
            raise RuntimeError("one of them")


def test_a_member_that_fails_ends_alone(scenes, tmp_path):
    def failing():
        cfg = tiny_config(scenes, tmp_path / "failing")
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type=_Fails)]
        new_runner(cfg).train()

    before = torch.get_rng_state()
    found = Lockstep({"failing": [failing], "whole": [lambda: _train(scenes, tmp_path / "whole")]}).run()
    assert str(found["failing"]) == "one of them" and len(found["whole"]) == 1
    assert torch.equal(torch.get_rng_state(), before)
