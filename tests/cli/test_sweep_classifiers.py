"""A sweep of classifiers: a run's seed reaches all that is drawn, the final checkpoint is tested, a second test too."""

import json
import shutil

import pytest
import torch

from frozen_det.cli import main
from frozen_det.engine.runs import new_runner
from frozen_det.engine.training import training_config
from frozen_det.ops import mixing as mixing_ops
from frozen_det.upstream import batch_mixing as mixing_module
from frozen_det.workflows.sweep import Sweep
from tests.upstream.classifier_runs import MIXING, tiny_config, tree_pictures


@pytest.fixture
def configs(tmp_path):
    """Two configs with their data; no logging to TensorBoard."""
    data, paths = tree_pictures(tmp_path / "data"), []
    shutil.copytree(data / "test", data / "other")
    for name, mixing in (("r8_plain_trees", None), ("r8_mixed_trees", MIXING)):
        cfg = tiny_config(data, tmp_path / "unused", model__mixing=mixing)
        cfg.pop("work_dir")
        paths.append(tmp_path / f"{name}.py")
        cfg.dump(str(paths[-1]))
    return [str(path) for path in paths]


def drawn_by(config, seed, folder, monkeypatch):
    """What a run of one epoch with `train --seed` begins with, shows and mixes."""
    draws, real = [], mixing_ops.draw_mixing
    monkeypatch.setattr(mixing_module, "draw_mixing", lambda *given: draws.append(real(*given)) or draws[-1])
    cfg = training_config(config, {"train_cfg.max_epochs": 1}, work_dir=folder, seed=seed)
    runner = new_runner(cfg)
    weights = runner.model.network.state_dict()["conv1.weight"].clone()
    shown = []
    forward = runner.model.data_preprocessor.forward
    monkeypatch.setattr(
        runner.model.data_preprocessor,
        "forward",
        lambda data, training=False: (shown.append(data) if training else None) or forward(data, training),
    )
    runner.train()
    order = torch.cat([batch["data_samples"]["index"] for batch in shown])
    images = torch.cat([batch["inputs"] for batch in shown])[order.argsort()]  # by index: order plays no part
    return weights, order, images, torch.tensor([draw.lam for draw in draws])


def test_the_seed_reaches_initial_weights_order_augmentation_and_mixing(configs, tmp_path, monkeypatch):
    first, again, other = (
        drawn_by(configs[1], seed, tmp_path / name, monkeypatch) for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    for what, one, same, different in zip(("weights", "order", "augmentation", "mixing"), first, again, other):
        assert one.shape == different.shape and torch.equal(one, same), what
        assert not torch.equal(one, different), f"the seed does not reach the {what}"


@pytest.mark.slow
def test_a_sweep_tests_final_checkpoints_twice_reports_and_repeats_nothing(configs, tmp_path, monkeypatch, capsys):
    from mmengine.visualization import Visualizer

    calls = []

    def call(sweep, arguments, log):
        # In this process: starting Python takes longer than the runs; the host keeps its visualizer.
        Visualizer._instance_dict.clear()
        calls.append([arguments[0], *(one for one in arguments[2:3] if arguments[0] == "test")])
        return main(arguments)

    monkeypatch.setattr(Sweep, "_call", call)
    argv = ["sweep", *configs, "--seeds", "0", "1", "--work-dir", str(tmp_path / "out")]
    assert main(argv) == 0 and len(calls) == 8
    assert all(one[1].endswith("epoch_2.pth") for one in calls if one[0] == "test")
    folder = tmp_path / "out" / "r8_mixed_trees" / "fraction-1" / "seed-1"
    assert 0 <= json.loads((folder / "test.json").read_text())["top1"] <= 100
    assert set(json.loads((folder / "test.classes.json").read_text())["class"]) == {"ash", "birch", "cedar"}
    assert "top1" in capsys.readouterr().out
    # A second test set, asked for later: nothing is trained again.
    calls.clear()
    with_second = [*argv, "--second-test", "test_dataloader.dataset.split=other"]
    assert main(with_second) == 0 and [one[0] for one in calls] == ["test"] * 4
    first, second = (json.loads((folder / name).read_text()) for name in ("test.json", "second_test.json"))
    assert first["top1"] == second["top1"]  # the same images under another name
    twin = (tmp_path / "out" / "report.md").read_text()
    for words in (
        "| top-1, % | mixed | 2 |",
        "## On a second test set",
        "mixed − plain",
        "**",
        "_batch.png)",
        "## By class",
    ):
        assert words in twin
    calls.clear()
    assert main(with_second) == 0 and calls == []


def test_a_second_test_on_the_same_images_is_refused(configs, tmp_path, capsys):
    argv = ["sweep", configs[0], "--work-dir", str(tmp_path / "out"), "--dry-run", "--second-test"]
    assert main([*argv, "test_dataloader.dataset.split=other"]) == 0
    assert main([*argv, "test_dataloader.dataset.split=test"]) == 2
    assert "to name other images" in capsys.readouterr().err
