"""The schedule follows the run's length, once, however the length is changed."""

import pytest

from frozen_det.errors import InputError

from .conftest import FASTER, RETINANET, with_options


def lengths(cfg):
    schedule = cfg.param_scheduler[-1]
    return cfg.train_cfg.max_epochs, schedule.get("end", schedule.T_max), schedule.T_max


@pytest.mark.parametrize("option", ["epochs=6", "train_cfg.max_epochs=6"])
def test_an_option_of_the_length_reaches_the_schedule(option):
    assert lengths(with_options("custom_coco", option)) == (6, 6, 6)


@pytest.mark.parametrize(
    "line",
    [
        "epochs = 48",
        "train_cfg = dict(max_epochs=48)",
        "epochs = 48\ntrain_cfg = dict(max_epochs=epochs)",
        "epochs = 2 * _base_.epochs",
    ],
)
def test_a_childs_length_is_the_runs_length_and_reaches_the_schedule(child, line):
    assert lengths(child("custom_coco", line)) == (48, 48, 48)


def test_an_option_changes_the_length_that_a_child_has_changed(child):
    assert lengths(child("custom_coco", "train_cfg = dict(max_epochs=6)", "train_cfg.max_epochs=12")) == (12, 12, 12)


def test_the_milestones_of_a_stock_schedule_follow_a_childs_length(child):
    cfg = child(RETINANET, "train_cfg = dict(max_epochs=24)")
    assert cfg.train_cfg.max_epochs == 24
    assert [cfg.param_scheduler[1][key] for key in ("end", "milestones")] == [24, [16, 22]]


def test_a_schedule_that_is_given_with_the_length_stays_as_it_is_given(child):
    cfg = child(
        "custom_coco",
        "train_cfg = dict(max_epochs=6)\nparam_scheduler = [dict(type='MultiStepLR', milestones=[2, 3], end=5)]",
    )
    assert cfg.train_cfg.max_epochs == 6
    assert cfg.param_scheduler[0].milestones == [2, 3] and cfg.param_scheduler[0].end == 5


def test_warm_up_in_iterations_stays_as_long_as_it_was():
    assert with_options("quickstart", "train_cfg.max_epochs=12").param_scheduler[0].end == 50


@pytest.mark.parametrize("option", ["epochs", "train_cfg.max_epochs"])
def test_warm_up_in_epochs_is_a_share_of_the_run(option):
    assert with_options("custom_coco", f"{option}=250").param_scheduler[0].warm_up == pytest.approx(10)


def test_a_run_as_short_as_its_warm_up_leaves_the_main_schedule_out(child, capsys):
    cfg = child(
        FASTER,
        "param_scheduler = [dict(type='LinearLR', start_factor=0.1, end=4), "
        "dict(type='CosineAnnealingLR', begin=4, end=12, T_max=8)]",
        "train_cfg.max_epochs=1",
    )
    assert [one.type for one in cfg.param_scheduler] == ["LinearLR"] and cfg.param_scheduler[0].end == 1
    assert "without CosineAnnealingLR" in capsys.readouterr().err


def test_a_length_in_iterations_wants_its_schedule(child):
    text = "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=900, val_interval=90)"
    with pytest.raises(InputError, match="max_iters is changed from 900 to 90 .* Set param_scheduler too"):
        child(FASTER, text, "train_cfg.max_iters=90")


def test_validation_beyond_a_shorter_end_comes_at_the_end():
    assert with_options("quickstart", "train_cfg.max_epochs=1").train_cfg.val_interval == 1
