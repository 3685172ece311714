"""The proof begins where weights are loaded and ends after every other hook; what a digest does not see is named."""

import json
import logging

import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.weights.loading import read

from ..small_runs import Act, run, small_config, write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "backbone.pth")


def _norm(runner):
    return runner.model.backbone.body.layer1[0].bn1


def _move(runner):
    with torch.no_grad():
        _norm(runner).weight += 1e-3


@pytest.mark.parametrize("moment", ["before_train", "after_load_checkpoint"])
def test_a_backbone_that_changed_before_training_is_refused(weights, tmp_path, moment):
    if moment == "after_load_checkpoint":  # of weights that do not hold the backbone, loaded after it was filled
        torch.save({"state_dict": {"head.bias": torch.ones(1)}, "meta": {}}, tmp_path / "head.pth")
    cfg = small_config(
        tmp_path / "run",
        weights,
        hooks=[Act(moment, _move, "VERY_HIGH")],
        load_from=str(tmp_path / "head.pth") if moment == "after_load_checkpoint" else None,
    )
    with pytest.raises(InputError, match="layer1.0.bn1.weight moved before training began, after its"):
        run(cfg)
    assert not list((tmp_path / "run").glob("*.pth"))


def test_without_the_proof_a_lean_checkpoint_of_a_changed_backbone_is_refused(weights, tmp_path):
    cfg = small_config(tmp_path, weights, hooks=[Act("before_train", _move, "VERY_HIGH")])
    cfg.custom_hooks.pop(0)
    with pytest.raises(InputError, match="layer1.0.bn1.weight moved before training began"):
        run(cfg)
    cfg = small_config(tmp_path, weights, hooks=[Act("before_train_iter", _move)])
    cfg.custom_hooks.pop(0)
    with pytest.raises(InputError, match="layer1.0.bn1.weight moved before a checkpoint was written"):
        run(cfg)
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("moment", ["after_train", "after_run"])
def test_what_the_last_hook_of_all_moves_at_the_end_is_seen(weights, tmp_path, moment):
    with pytest.raises(InputError, match=r"layer1.0.bn1.weight moved .* \(end\)"):
        run(small_config(tmp_path, weights, hooks=[Act(moment, _move, "LOWEST")]))
    checks = json.loads((tmp_path / "frozen_proof.json").read_text())["checks"]
    assert (checks[-1]["when"], checks[-1]["unchanged"]) == ("end", False)
    assert (tmp_path / "epoch_2.pth").exists()


def test_a_file_that_a_hook_changes_while_it_is_written_is_refused(weights, tmp_path):
    class Change(Act):
        def __init__(self):
            self.priority = "LOWEST"

        def before_save_checkpoint(self, runner, checkpoint):
            checkpoint["state_dict"]["backbone.body.conv1.weight"] += 1

    with pytest.raises(InputError, match="conv1.weight has other values there: a hook's before_save_checkpoint"):
        run(small_config(tmp_path, weights, hooks=[Change()], checkpoint=dict(full=True)))
    assert not list(tmp_path.glob("*.pth"))


def _set(name, value):
    return lambda runner: setattr(_norm(runner), name, value)


def _replace_forward(runner):
    norm = _norm(runner)
    norm.forward = lambda images: nn.BatchNorm2d.forward(norm, images) * 2


@pytest.mark.parametrize("moment", ["before_run", "before_train", "before_train_iter"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("eps", 0.5), "bn1.eps was 1e-05, is 0.5"),
        (_set("momentum", 0.7), "bn1.momentum was 0.1, is 0.7"),
        (_replace_forward, "bn1.forward was replaced by .*_replace_forward"),
        (
            lambda runner: setattr(runner.model.backbone.body.layer1[0].conv1, "stride", (2, 2)),
            r"conv1.stride was \(1, 1\), is \(2, 2\)",
        ),
        (
            lambda runner: setattr(_norm(runner), "__class__", nn.SyncBatchNorm),
            "bn1.class was .*BatchNorm2d, is .*Sync",
        ),
    ],
    ids=["eps", "momentum", "forward", "stride", "class"],
)
def test_changed_settings_of_a_frozen_module_stop_the_run_by_name(weights, tmp_path, moment, change, named):
    if "Sync" in named or "stride" in named:  # neither runs afterwards
        moment = {"before_train_iter": "after_train_epoch"}.get(moment, moment)
    with pytest.raises(InputError, match=f"the frozen module backbone changed .*layer1.0.{named}"):
        run(small_config(tmp_path, weights, epochs=1, hooks=[Act(moment, change, "VERY_HIGH")]))
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_forward_hook_on_the_backbone_is_named_once_and_does_not_stop_the_run(weights, tmp_path, register, caplog):
    def look(*args):
        return None

    with caplog.at_level(logging.WARNING):
        run(
            small_config(
                tmp_path,
                weights,
                hooks=[Act("before_train", lambda runner: getattr(_norm(runner), register)(look), "VERY_HIGH")],
            )
        )
    said = [
        line
        for line in (tmp_path / next(tmp_path.glob("2*/*.log")).relative_to(tmp_path)).read_text().splitlines()
        if "that was not there when it was built" in line
    ]
    kind = "forward pre-hook" if "pre" in register else "forward hook"
    assert len(said) == 1 and kind in said[0] and "look on layer1.0.bn1" in said[0]


def test_a_backbone_loaded_over_its_weights_is_kept_whole_in_lean_checkpoints(weights, tmp_path):
    """They would ask for a base that `weights` does not give."""
    other = write_weights(tmp_path / "other.pth", seed=7)
    state = {f"backbone.body.{name}": value for name, value in torch.load(other).items()}
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "tuned.pth")
    run(small_config(tmp_path / "run", weights, load_from=str(tmp_path / "tuned.pth")))
    checkpoint = read(tmp_path / "run" / "epoch_2.pth")
    assert "lean" not in checkpoint["meta"]
    assert all(torch.equal(checkpoint["state_dict"][name], value) for name, value in state.items())
    assert run(small_config(tmp_path / "run", weights, epochs=3), tmp_path / "run" / "epoch_2.pth").epoch == 3
