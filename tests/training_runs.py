"""Small real training runs that several test files share: the quickstart on a handful of small images."""

import json
from pathlib import Path

OPTIONS = {
    "train_cfg.max_epochs": 2,
    "train_cfg.val_interval": 1,
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "val_dataloader.batch_size": 2,
    "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False,
    "auto_scale_lr.base_batch_size": 2,
    "default_hooks.logger.interval": 1,
    "model.detector.neck.out_channels": 16,
    "model.detector.rpn_head.feat_channels": 16,
    "model.detector.roi_head.bbox_head.fc_out_channels": 32,
}


def tiny_scenes(root, num_train: int = 8, num_objects: tuple[int, int] = (2, 7)) -> Path:
    """`num_train` training and 4 validation images of 96 x 96 pixels."""
    from frozen_det.datasets.toy.toy_scenes import write_toy_scenes

    return write_toy_scenes(
        Path(root),
        num_train=num_train,
        num_val=4,
        size_hw=(96, 96),
        num_objects=num_objects,
        object_px=(20, 48),
        report=lambda text: None,
    )


def tiny_config(scenes, work_dir, **options):
    """The quickstart config on :func:`tiny_scenes`; keyword arguments with `__` for dots override."""
    from frozen_det.config import load_config

    more = {key.replace("__", "."): value for key, value in options.items()}
    cfg = load_config("quickstart", {**OPTIONS, **more})
    for loader, split in ((cfg.train_dataloader, "train"), (cfg.val_dataloader, "val")):
        pipeline = [
            dict(step, scale=(96, 96)) if step["type"] == "Resize" else dict(step) for step in loader.dataset.pipeline
        ]
        loader.dataset = dict(
            type="frozen_det.CocoDataset",
            data_root=str(scenes),
            test_mode=split == "val",
            ann_file=f"annotations/{split}.json",
            data_prefix=dict(img="images/"),
            pipeline=pipeline,
        )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator = dict(type="frozen_det.CocoMetric", ann_file=f"{scenes}/annotations/val.json", metric="bbox")
    cfg.test_evaluator = cfg.val_evaluator
    cfg.custom_hooks = [dict(type="frozen_det.StepSeedHook"), dict(type="frozen_det.FrozenProofHook")]
    cfg.visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer")
    cfg.work_dir = str(work_dir)
    cfg.__dict__["_format_python_code"] = False  # of no use to a test, slow, and older hosts fail on hooks by class
    # A Runner refuses a second experiment of one name in a process.
    cfg.experiment_name = Path(work_dir).name + str(abs(hash(str(work_dir))))
    return cfg


def untrained(scenes, work_dir):
    """A tiny detector as it begins: its config, its state dict, the classes of its validation data."""
    import torch
    from mmdet.registry import MODELS

    cfg = tiny_config(scenes, work_dir)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    content = json.loads((scenes / "annotations" / "val.json").read_text())
    return cfg, model.state_dict(), [one["name"] for one in content["categories"]]


def train(cfg):
    """Run the training of a config; returns the runner."""
    from frozen_det.engine.runs import new_runner

    runner = new_runner(cfg)
    runner.train()
    return runner
