"""A finished small classifier for tests of the tuning at the test resolution: ResNet-8, 12 px crops of 16 px images."""

from pathlib import Path

import torch

from .image_sets import write_folder

COUNTS = {"ash": 8, "birch": 8, "cedar": 8}


def pictures(root) -> Path:
    """24 training and 9 test images of 16 px in three classes."""
    write_folder(Path(root), COUNTS, size=16)
    return write_folder(Path(root), dict(ash=3, birch=3, cedar=3), split="test", size=16)


def classifier_config(data, **options):
    """The small case's config, cut down; keyword arguments with `__` for dots override."""
    from frozen_det.config import load_config

    base = {
        "data_root": str(data),
        "model.backbone.depth": 8,
        "model.num_classes": 3,
        "train_cfg.max_epochs": 1,
        "train_dataloader.batch_size": 8,
        "val_dataloader.batch_size": 4,
        "test_dataloader.batch_size": 4,
        "train_dataloader.dataset.transform.size": 12,
        "val_dataloader.dataset.transform.size": 12,
        "test_dataloader.dataset.transform.size": 12,
        "default_hooks.logger.interval": 1,
    }
    cfg = load_config(
        "fixres/resnet20_rrc-24px_cifar10",
        {**base, **{key.replace("__", "."): value for key, value in options.items()}},
    )
    cfg.train_dataloader.dataset.pop("num_images")
    cfg.visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer")
    cfg.log_level = "WARNING"
    return cfg


def checkpoint_of(cfg, path) -> Path:
    """A classifier of a config with random weights and running statistics that are not the initial ones, as a file."""
    from mmdet.registry import MODELS

    import frozen_det.upstream  # noqa: F401

    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return Path(path)
