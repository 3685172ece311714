"""ViewsHook: epochs repeat in turn, samples, order and the step's draws alike; what cannot repeat is refused."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.engine.hooks import YOLOXModeSwitchHook
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.epoch import EpochSampler
from frozen_det.datasets.samplers.seeding import SeededDataset
from frozen_det.engine.hooks.step_seed import StepSeedHook
from frozen_det.engine.hooks.views import ViewsHook
from frozen_det.engine.runs import new_runner
from frozen_det.errors import InputError

from ...training_runs import tiny_config, tiny_scenes


class Draws(Hook):
    """What each iteration of a training draws: its images, their pixels, and a number of the step's own."""

    priority = "VERY_LOW"

    def __init__(self):
        self.epochs = []

    def before_train_epoch(self, runner):
        self.epochs.append([])

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        names = [sample.img_path for sample in data_batch["data_samples"]]
        boxes = [sample.gt_instances.bboxes.tensor.tolist() for sample in data_batch["data_samples"]]
        self.epochs[-1].append((names, boxes, float(torch.rand(()))))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """By number of views what each of 4 epochs drew."""
    folder = tmp_path_factory.mktemp("views")
    scenes, found = tiny_scenes(folder / "scenes"), {}
    for views in (None, 2, 4):
        cfg = tiny_config(scenes, folder / str(views), train_cfg__max_epochs=4, train_cfg__val_interval=4)
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.default_hooks.checkpoint = None
        cfg.custom_hooks = [dict(type="frozen_det.StepSeedHook"), dict(type=Draws)]
        cfg.custom_hooks += [dict(type="frozen_det.ViewsHook", views=views)] if views else []
        runner = new_runner(cfg)
        runner.model.train_step = lambda data, optim_wrapper: dict(loss=torch.zeros(()))  # what is drawn counts alone
        runner.train()
        found[views] = next(hook for hook in runner.hooks if isinstance(hook, Draws)).epochs
    return found


def test_the_first_views_are_those_of_a_run_without_and_then_come_again_in_turn(drawn):
    plain = drawn[None]
    assert all(a != b for n, a in enumerate(plain) for b in plain[:n])
    assert drawn[2] == [plain[0], plain[1], plain[0], plain[1]]


def test_as_many_views_as_epochs_change_nothing(drawn):
    assert drawn[4] == drawn[None]


def runner_of(loop=EpochBasedTrainLoop, sampler=EpochSampler, dataset=None, hooks=(StepSeedHook,)):
    data = SeededDataset([0, 1, 2]) if dataset is None else dataset
    loader = DataLoader(data, sampler=sampler(data))
    made = object.__new__(loop)
    made.dataloader = loader
    return SimpleNamespace(train_loop=made, hooks=[hook() for hook in hooks], epoch=5)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (dict(loop=IterBasedTrainLoop), "a training by epochs .* IterBasedTrainLoop"),
        (dict(sampler=torch.utils.data.SequentialSampler), "train_dataloader.sampler, got SequentialSampler"),
        (dict(dataset=[0, 1]), "train_dataloader.dataset, got list"),
        (dict(hooks=()), "expected frozen_det.StepSeedHook in custom_hooks, got none"),
        (dict(hooks=(StepSeedHook, YOLOXModeSwitchHook)), "the same pipeline in every epoch"),
    ],
)
def test_what_cannot_repeat_is_refused(what, said):
    with pytest.raises(InputError, match=said):
        ViewsHook(2).before_train(runner_of(**what))


def test_two_numbers_of_views_are_refused_and_the_same_twice_is_not():
    runner = runner_of()
    ViewsHook(2).before_train(runner)
    ViewsHook(2).before_train(runner)
    ViewsHook(2).before_train_epoch(runner)
    assert runner.train_loop.dataloader.sampler.epoch == 1
    with pytest.raises(InputError, match="one number of views in a run, got 3 and 2"):
        ViewsHook(3).before_train(runner)


@pytest.mark.parametrize("views", [0, -1, 2.0, True, None, "2"])
def test_views_are_a_whole_number_from_1_on(views):
    with pytest.raises(InputError, match="whole number of views from 1 on"):
        ViewsHook(views)
