"""Real trainings of a hundredth of a second: a frozen ResNet-8 of CIFAR's kind and one linear layer, 8 pictures."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn

from frozen_det.engine.runs import new_runner
from frozen_det.models import FrozenBackbone

BODY = dict(type="frozen_det.CifarResNet", depth=8)


@MODELS.register_module(force=True)
class SmallModel(BaseModel):
    """A frozen backbone and a linear layer that is to give 1."""

    def __init__(self, weights, **options):
        super().__init__()
        self.backbone = FrozenBackbone(body=dict(BODY), weights=str(weights), strides=(4,), **options)
        self.head = nn.Linear(self.backbone.channels[0], 1)

    def forward(self, images, mode="tensor"):
        found = self.head(self.backbone(torch.stack(images))[0].mean((2, 3)))
        return {"loss": (found - 1).square().mean()} if mode == "loss" else [found]


@DATASETS.register_module(force=True)
class SmallPictures(torch.utils.data.Dataset):
    """8 pictures of 16 px, always the same."""

    metainfo = {"classes": ("one", "two")}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(images=torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(index)))


def write_weights(path, seed: int = 0) -> Path:
    """Random weights of the backbone as a file."""
    torch.manual_seed(seed)
    torch.save(FrozenBackbone(body=dict(BODY), weights="random", strides=(4,)).body.state_dict(), path)
    return Path(path)


def small_config(
    work_dir, weights, epochs: int = 2, hooks=(), batch_size: int = 4, checkpoint: dict | None = None, **changes
) -> Config:
    """A run of 2 steps an epoch, on a cosine over all epochs; `changes` replace top-level keys."""
    torch.manual_seed(0)
    entries = dict(
        default_scope="mmdet",
        work_dir=str(work_dir),
        experiment_name=f"{work_dir}-{len(list(Path(work_dir).glob('2*')))}",
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            dataset=dict(type="SmallPictures"),
            collate_fn=dict(type="pseudo_collate"),
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9)),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=2),
            dict(
                type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True
            ),
        ],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        randomness=dict(seed=0),
        log_level="WARNING",
        default_hooks=dict(
            checkpoint={"type": "frozen_det.LeanCheckpointHook", "interval": 1, **(checkpoint or {})},
            logger=dict(type="LoggerHook", interval=1),
        ),
        custom_hooks=[dict(type="frozen_det.FrozenProofHook"), *hooks],
        visualizer=None,
    )
    model = dict(type="SmallModel", weights=str(weights))
    return Config({**entries, "model": model, **changes}, format_python_code=False)


def run(cfg, resume_from=None):
    """Train by a config; returns the runner."""
    if resume_from is not None:
        cfg.resume, cfg.load_from = True, str(resume_from)
    runner = new_runner(cfg)
    runner.train()
    return runner


class Rates(Hook):
    """Keeps the learning rate of every step."""

    def __init__(self):
        self.seen: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.get_lr()["lr"][0])


class Act(Hook):
    """Calls ``what(runner)`` at one of the host's moments, before or after all other hooks."""

    def __init__(self, moment: str, what, priority: str = "NORMAL"):
        self.priority = priority
        setattr(self, moment, lambda runner, *args, **kwargs: what(runner))
