"""Small real trainings of a classifier that several test files share: a ResNet-8 on three colours, 12 pixels."""

import copy
from pathlib import Path

from .image_sets import write_folder

COUNTS = {"ash": 11, "birch": 9, "cedar": 10}
MIXING = dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, mixup_alpha=0.2)


def tree_pictures(root) -> Path:
    """30 training and 7 validation images in three classes."""
    write_folder(Path(root), COUNTS, size=12)
    return write_folder(Path(root), dict(ash=3, birch=2, cedar=2), split="test", size=12)


def tiny_config(data, work_dir, epochs=2, ema=False, **options):
    """resnet20_plain_cifar10, cut down; keyword arguments with `__` for dots override."""
    from frozen_det.config import load_config

    base = {
        "data_root": str(data),
        "model.backbone.depth": 8,
        "model.num_classes": 3,
        "train_cfg.max_epochs": epochs,
        "train_dataloader.batch_size": 8,
        "val_dataloader.batch_size": 4,
        "auto_scale_lr.base_batch_size": 8,
        "default_hooks.logger.interval": 1,
    }
    cfg = load_config(
        "upstream/resnet20_plain_cifar10", {**base, **{key.replace("__", "."): value for key, value in options.items()}}
    )
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    cfg.visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer")
    cfg.log_level = "WARNING"
    if ema:
        cfg.custom_hooks.append(
            dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=0.1, update_buffers=True)
        )
    cfg.work_dir = str(work_dir)
    return cfg


def run(cfg, resume_from=None):
    """Train by config; returns the runner."""
    from mmengine.runner import Runner

    cfg = copy.deepcopy(cfg)
    cfg.experiment_name = Path(cfg.work_dir).name + ("-on" if resume_from else "")
    if resume_from:
        cfg.resume, cfg.load_from = True, str(resume_from)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def losses(runner):
    """The training loss of every iteration so far."""
    return runner.message_hub.get_scalar("train/loss").data[0].tolist()
