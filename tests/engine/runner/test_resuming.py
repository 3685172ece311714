"""A resumed run is the run that was begun: what it would not heed is refused, what takes effect is listed."""

import shutil

import pytest
import torch

from frozen_det.engine.runner.resuming import check_resumable
from frozen_det.errors import InputError
from frozen_det.weights.loading import read

from ..small_runs import Rates, run, small_config, write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "backbone.pth")


@pytest.fixture(scope="module")
def finished(weights, tmp_path_factory):
    """The folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    run(small_config(folder, weights))
    return folder


@pytest.fixture
def begun(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "begun")


def _rates(cfg, resume_from=None) -> list[float]:
    cfg.custom_hooks.append(Rates())
    runner = run(cfg, resume_from)
    return next(hook for hook in runner.hooks if isinstance(hook, Rates)).seen


def test_a_longer_run_has_the_rates_of_one_that_was_that_long_from_the_start(weights, begun, tmp_path):
    whole = _rates(small_config(tmp_path / "whole", weights, epochs=6))
    assert _rates(small_config(begun, weights, epochs=6), begun / "epoch_2.pth") == pytest.approx(whole[4:], rel=1e-9)
    assert whole[4] == pytest.approx(0.075, rel=1e-3)  # the short run ended at 0


def test_a_longer_run_by_milestones_goes_down_at_the_new_one(weights, tmp_path):
    def schedule(milestone):
        return [dict(type="MultiStepLR", milestones=[milestone], gamma=0.1)]

    run(small_config(tmp_path, weights, param_scheduler=schedule(1)))
    rates = _rates(small_config(tmp_path, weights, epochs=4, param_scheduler=schedule(3)), tmp_path / "epoch_2.pth")
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])


def test_an_unchanged_run_goes_on_as_if_it_had_not_stopped(weights, begun, finished):
    (begun / "epoch_2.pth").unlink()
    run(small_config(begun, weights), begun / "epoch_1.pth")
    one, other = (read(folder / "epoch_2.pth")["state_dict"] for folder in (begun, finished))
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            dict(optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.2, momentum=0.9))),
            r"optim_wrapper\.optimizer\.lr: 0\.1 -> 0\.2",
        ),
        (
            dict(optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.1))),
            "optim_wrapper.optimizer.type: 'SGD' -> 'Adam'",
        ),
        (dict(randomness=dict(seed=1)), "randomness.seed: 0 -> 1"),
        (dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=9)), "train_cfg.type: None -> 'IterBasedTrainLoop'"),
        (dict(auto_scale_lr=dict(enable=True, base_batch_size=8)), "auto_scale_lr: None -> {"),
    ],
)
def test_what_a_resumed_run_would_not_heed_is_refused_by_key(weights, begun, changes, named):
    cfg = small_config(begun, weights, **changes)
    with pytest.raises(InputError, match=named) as refusal:
        check_resumable(read(begun / "epoch_1.pth"), cfg, "epoch_1.pth")
    assert "load_from=epoch_1.pth" in str(refusal.value)


@pytest.mark.parametrize("key", ["body.depth", "freeze", "adapters", "strides"])
def test_another_frozen_part_is_refused(weights, begun, key):
    def model(value):
        backbone = dict(type="frozen_det.FrozenBackbone", body=dict(depth=8), freeze=True)
        inner = backbone["body"] if "." in key else backbone
        inner[key.rpartition(".")[2]] = value
        return dict(type="frozen_det.Detector", detector=dict(type="FasterRCNN", backbone=backbone))

    checkpoint = read(begun / "epoch_1.pth")
    checkpoint["meta"]["cfg"] = small_config(begun, weights, model=model(20)).pretty_text
    assert check_resumable(checkpoint, small_config(begun, weights, model=model(20)), "a.pth") == []
    with pytest.raises(InputError, match=rf"model.detector.backbone.{key}: 20 -> 56"):
        check_resumable(checkpoint, small_config(begun, weights, model=model(56)), "a.pth")


def test_what_takes_effect_is_listed_and_what_does_not_matter_is_not(weights, begun):
    cfg = small_config(
        begun,
        weights,
        epochs=3,
        optim_wrapper=dict(
            type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9), clip_grad=dict(max_norm=1.0)
        ),
    )
    cfg.train_dataloader.num_workers, cfg.train_dataloader.dataset.data_root, cfg.log_level = 2, "moved", "INFO"
    assert check_resumable(read(begun / "epoch_1.pth"), cfg, "a.pth") == [
        "train_dataloader.dataset.data_root: None -> 'moved'",
        "optim_wrapper.clip_grad: None -> {'max_norm': 1.0}",
        "param_scheduler.1.T_max: 2 -> 3",
        "param_scheduler.1.end: 2 -> 3",
        "train_cfg.max_epochs: 2 -> 3",
    ]


def test_another_number_of_images_in_a_step_is_refused_with_both(weights, begun):
    with pytest.raises(InputError, match=r"expected 4 images in a step.* got 2 \(1 processes x .*batch_size 2\)"):
        run(small_config(begun, weights, batch_size=2), begun / "epoch_1.pth")


def test_other_epochs_are_refused_for_a_checkpoint_that_does_not_tell_the_images(weights, begun):
    checkpoint = read(begun / "epoch_1.pth")
    del checkpoint["meta"]["run"]
    torch.save(checkpoint, begun / "epoch_1.pth")
    with pytest.raises(InputError, match="expected epochs of 2 steps, .* got 4"):
        run(small_config(begun, weights, batch_size=2), begun / "epoch_1.pth")


def test_other_classes_are_refused_with_both_lists(weights, begun, monkeypatch):
    monkeypatch.setattr("tests.engine.small_runs.SmallPictures.metainfo", {"classes": ("two", "one")})
    with pytest.raises(InputError, match=r"\('one', 'two'\), got another one in SmallPictures \('two', 'one'\)"):
        run(small_config(begun, weights), begun / "epoch_1.pth")


def test_a_run_shorter_than_its_checkpoint_is_refused_and_a_finished_one_says_so(weights, begun):
    with pytest.raises(InputError, match="max_epochs of at least 2"):
        run(small_config(begun, weights, epochs=1), begun / "epoch_2.pth")
    assert run(small_config(begun, weights, log_level="INFO"), begun / "epoch_2.pth").iter == 4
    said = "".join(log.read_text() for log in begun.rglob("*.log"))
    assert said.count("the run is finished: 2 of 2 epochs; for a longer one raise") == 1


@pytest.mark.parametrize(
    ("lacking", "named"),
    [("optimizer", "has no optimizer"), ("meta", "has no meta"), ("state_dict", "holds no run's state")],
)
def test_a_file_without_a_runs_state_is_refused(weights, begun, lacking, named):
    checkpoint = read(begun / "epoch_1.pth")
    del checkpoint[lacking]
    with pytest.raises(InputError, match=named):
        check_resumable(checkpoint, small_config(begun, weights), "a.pth")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", [1]),
        ("optimizer", {"state": {}}),
        ("message_hub", [1]),
        ("message_hub", {"log_scalars": {}}),
        ("meta", "epoch 1"),
    ],
)
def test_a_runs_state_of_another_form_is_refused(weights, begun, key, value):
    checkpoint = {**read(begun / "epoch_1.pth"), key: value}
    with pytest.raises(InputError, match=f"as mmengine writes it, but {key} is something else"):
        check_resumable(checkpoint, small_config(begun, weights), "a.pth")


def test_an_optimisers_state_of_another_shape_is_refused_by_name(weights, begun):
    checkpoint = torch.load(begun / "epoch_1.pth")
    number = max(checkpoint["optimizer"]["state"])  # the bias of the head
    checkpoint["optimizer"]["state"][number]["momentum_buffer"] = torch.zeros(2)
    torch.save(checkpoint, begun / "epoch_1.pth")
    with pytest.raises(InputError, match=rf"momentum_buffer of parameter {number} in the shape \(1,\), got \(2,\) in"):
        run(small_config(begun, weights), begun / "epoch_1.pth")


def test_an_averaged_checkpoint_needs_its_hook(weights, begun):
    checkpoint = {**read(begun / "epoch_1.pth"), "ema_state_dict": {}}
    with pytest.raises(InputError, match="expected an EMAHook in custom_hooks"):
        check_resumable(checkpoint, small_config(begun, weights), "a.pth")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("buffers", [False, True])
def test_an_averaged_run_goes_on_and_its_files_hold_the_frozen_base(weights, tmp_path, full, buffers):
    hook = dict(type="EMAHook", momentum=0.1, update_buffers=buffers)
    run(small_config(tmp_path, weights, hooks=[hook], checkpoint=dict(full=full)))
    whole = read(tmp_path / "epoch_2.pth")
    run(small_config(tmp_path, weights, hooks=[hook], checkpoint=dict(full=full)), tmp_path / "epoch_1.pth")
    resumed = read(tmp_path / "epoch_2.pth")
    for entry in ("state_dict", "ema_state_dict"):
        assert all(torch.equal(resumed[entry][name], value) for name, value in whole[entry].items())
    if full:
        base = torch.load(weights)
        assert all(torch.equal(whole["state_dict"][f"backbone.body.{name}"], value) for name, value in base.items())
