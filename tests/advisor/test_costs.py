"""Ways to use a backbone: which a network takes, what a step trains, and the command that repeats the study's."""

import argparse
import copy
import shlex

import pytest

from frozen_det.advisor import costs as costs_module
from frozen_det.advisor.costs import WAYS, body_options, command, decoder_words, epochs_of, step_costs, ways_for
from frozen_det.benchmarks.devices.train_step import Setting
from frozen_det.benchmarks.study.arms import ARMS, StudyRun
from frozen_det.benchmarks.study.running import ShortTraining, short_config
from frozen_det.benchmarks.study.sets import SETS, write_folds
from frozen_det.cli.shared.config_arguments import config_and_options
from frozen_det.cli.train import add_arguments
from frozen_det.engine.training import training_config
from frozen_det.models import FrozenBackbone


def test_ways_are_those_that_a_network_takes():
    lite = dict(type="timm", name="tf_efficientnet_lite0")
    assert ways_for(lite, (4, 8, 16, 32)) == WAYS
    # Its stages have other names than the study's last-stage arm freezes.
    assert "last stage tuned" not in ways_for(dict(type="timm", name="resnet10t"), (8, 16))
    vit = ways_for(dict(type="timm", name="vit_tiny_patch16_224", depth=2), (16,))
    assert "LoRA" in vit and "parallel adapters" not in vit and "last stage tuned" not in vit
    # Norms are found by what they are.
    assert {"fine-tuned", "fine-tuned, a tenth of the rate"} <= set(vit)
    assert set(WAYS) <= set(ARMS)


def test_a_step_trains_what_each_way_trains():
    body = dict(type="timm", name="mobilenetv2_100")
    ways = ("frozen", "parallel adapters", "fine-tuned", "fine-tuned, a tenth of the rate")
    found = step_costs("timm/mobilenetv2_100", Setting(size=64, batch=1), 1, ways)
    assert list(found) == list(ways)
    counts = {way: sum(one.numel() for one in _body(body, way).parameters() if one.requires_grad) for way in ways}
    decoder = found["frozen"].trained_params
    assert {way: one.trained_params - decoder for way, one in found.items()} == counts
    assert found["frozen"].kept_mib < found["parallel adapters"].kept_mib
    assert all(one.seconds > 0 and one.cpu_seconds > 0 for one in found.values())
    # The same step with another rate is not measured again.
    assert found[ways[2]] is found[ways[3]]


def _body(body, way):
    return FrozenBackbone(body, "random", (4, 8, 16, 32), **body_options(way))


@pytest.mark.parametrize("way", WAYS)
def test_a_command_is_the_training_of_the_study(way, tmp_path, real_data):
    data = write_folds(SETS["kangaroo"], real_data, tmp_path)[0]
    words = shlex.split(command(str(data), "timm/mobilenetv2_100", way, 160, 86, 0.003, decoder_words()))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(words[1:])
    name, entries = config_and_options(args)
    typed = training_config(name, entries, work_dir=tmp_path / "typed", log=lambda line: None)
    study = ShortTraining(data, 160, "timm/mobilenetv2_100", None, ARMS[way], 0.003, StudyRun.updates)
    wanted = short_config(study, tmp_path / "study")
    assert trains(typed) == trains(wanted)
    assert typed.train_cfg.max_epochs == epochs_of(86) == 9 and typed.train_dataloader.batch_size == 2
    assert not typed.auto_scale_lr.enable
    # What is more looks on: pictures of validation images, and images that stand in two splits.
    more = [hook.type for hook in typed.custom_hooks if hook not in wanted.custom_hooks]
    assert more == ["frozen_det.ValidationPicturesHook", "frozen_det.SplitOverlapHook"]
    assert all(hook in typed.custom_hooks for hook in wanted.custom_hooks)


def trains(cfg) -> dict:
    """A config without tests, checkpoints, the log and the processes that load images."""
    found = copy.deepcopy(cfg.to_dict())
    for key in ("work_dir", "custom_hooks", "visualizer", "val_dataloader", "test_dataloader"):
        del found[key]
    del found["default_hooks"]["checkpoint"], found["train_cfg"]["val_interval"]
    del found["train_dataloader"]["num_workers"], found["train_dataloader"]["persistent_workers"]
    return found


def test_epochs_are_about_the_updates_of_the_study():
    assert [epochs_of(count) for count in (1, 86, 800, 100_000)] == [400, 9, 1, 1]
    assert costs_module.UPDATES == 400
