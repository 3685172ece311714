"""A tenth of the data for ten times the epochs: everything counted in epochs is stretched, nothing else."""

from mmengine.config import Config

from frozen_det.config.stretching import stretch_length
from frozen_det.engine.runner.stretch_schedule import stretch_schedule


def test_what_counts_epochs_is_stretched_and_what_counts_iterations_stays():
    cfg = Config(
        dict(
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=8, val_interval=4, dynamic_intervals=[(6, 1)]),
            param_scheduler=[
                dict(type="LinearLR", by_epoch=False, begin=0, end=50),
                dict(type="MultiStepLR", begin=0, end=8, milestones=[5, 7], gamma=0.1),
                dict(type="CosineAnnealingLR", by_epoch=True, T_max=8, convert_to_iter_based=True),
                dict(type="ExponentialLR", gamma=0.5),
            ],
            default_hooks=dict(
                checkpoint=dict(type="frozen_det.LeanCheckpointHook", interval=1), logger=dict(interval=20)
            ),
            custom_hooks=[dict(type="frozen_det.UnfreezeHook", epoch=3), dict(type="frozen_det.NaNGuardHook")],
        )
    )
    notes = stretch_schedule(cfg, 10.0)
    assert cfg.train_cfg == dict(
        type="EpochBasedTrainLoop", max_epochs=80, val_interval=40, dynamic_intervals=[(60, 10)]
    )
    assert cfg.param_scheduler[0] == dict(type="LinearLR", by_epoch=False, begin=0, end=50)
    assert (cfg.param_scheduler[1].end, cfg.param_scheduler[1].milestones) == (80, [50, 70])
    assert cfg.param_scheduler[1].gamma == 0.1 and cfg.param_scheduler[2].T_max == 80
    assert abs(cfg.param_scheduler[3].gamma ** 10 - 0.5) < 1e-12
    assert cfg.default_hooks.checkpoint.interval == 10 and cfg.default_hooks.logger.interval == 20
    assert cfg.custom_hooks[0].epoch == 30
    assert notes[0] == "max_epochs 8 -> 80"
    assert {"val_interval 4 -> 40", "frozen_det.UnfreezeHook.epoch 3 -> 30"} <= set(notes)


def test_a_third_is_rounded_and_nothing_falls_below_one():
    cfg = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=10, val_interval=1), param_scheduler=dict(end=10)))
    stretch_schedule(cfg, 1 / 0.3)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval, cfg.param_scheduler.end) == (33, 3, 33)
    stretch_schedule(cfg, 0.01)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (1, 1)


def test_a_schedule_in_iterations_has_the_same_updates_as_it_is():
    cfg = Config(dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=100, val_interval=10)))
    assert stretch_schedule(cfg, 10) == [] and cfg.train_cfg.max_iters == 100


def test_a_fraction_of_an_epoch_is_told_without_the_digits_of_its_rounding():
    cfg = Config(dict(train_cfg=dict(by_epoch=True, max_epochs=24), param_scheduler=[dict(warm_up=0.96)]))
    assert stretch_length(cfg, 26 / 24) == ["max_epochs 24 -> 26", "param_scheduler.0.warm_up 0.96 -> 1.04"]
