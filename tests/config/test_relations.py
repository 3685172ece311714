"""Parts of a config that contradict each other, or of which one would never act, are refused with both named."""

import pytest

from frozen_det.errors import InputError

from .conftest import RETINANET, with_options

BCCD = "faster-rcnn_frozen-efficientnetlite0_fpn_flip-12e_bccd"


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["val_dataloader=None"], "val_cfg and val_evaluator without val_dataloader"),
        (["optim_wrapper=None"], "train_dataloader and train_cfg without optim_wrapper"),
        (["train_dataloader.num_workers=0"], "train_dataloader.persistent_workers is true, but num_workers is 0"),
        (
            [
                "val_dataloader.prefetch_factor=4",
                "val_dataloader.num_workers=0",
                "val_dataloader.persistent_workers=False",
            ],
            "prefetch_factor is 4, but num_workers is 0",
        ),
        (["train_cfg.val_interval=100"], "val_interval is 100, but the run ends at 8"),
        (["train_cfg.max_epochs=4", "train_cfg.val_interval=5"], "val_interval is 5, but the run ends at 4"),
        (["param_scheduler.0.begin=50"], "param_scheduler.0 begins at 50 and ends at 50"),
        (["param_scheduler.1.end=0"], "begins at 0 and ends at 0"),
        (
            ["param_scheduler.1.begin=9", "param_scheduler.1.end=20"],
            "begins to act at epoch 9, but the run has 8 epochs",
        ),
        (["model.detector.roi_head.bbox_head.num_classes=3"], "has no effect: model.num_classes"),
        (["test_evaluator.ann_file=other.json"], "Name the same file in both"),
        (["val_dataloader.dataset.data_root=other"], "Name the same file in both"),
    ],
)
def test_a_contradiction_of_options_is_one_line(items, words):
    with pytest.raises(InputError, match=words) as raised:
        with_options("quickstart", *items)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train_cfg = dict(val_interval=30)", "val_interval is 30, but the run ends at 24"),
        ("param_scheduler = [dict(type='MultiStepLR', milestones=[30, 40])]", "begins to act at epoch 30"),
        ("param_scheduler = [dict(type='LinearLR', start_factor=0.1, begin=10, end=5)]", "begins at 10 and ends at 5"),
        ("train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=100, val_interval=500)", "ends at 100"),
    ],
)
def test_a_contradiction_in_a_child_is_one_line(child, line, words):
    with pytest.raises(InputError, match=words):
        child("custom_coco", line)


@pytest.mark.parametrize(
    "items",
    [
        ["train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False"],
        ["train_cfg.val_begin=3"],
        ["train_cfg.val_begin=99"],
        ["val_cfg=None", "val_dataloader=None", "val_evaluator=None"],
        ["train_cfg.val_interval=8"],
        [
            "val_dataloader=None",
            "val_cfg=None",
            "val_evaluator=None",
            "test_dataloader=None",
            "test_cfg=None",
            "test_evaluator=None",
        ],
    ],
)
def test_parts_that_agree_pass(items):
    with_options("quickstart", *items)


def test_what_changes_the_validation_changes_the_test_that_is_declared_alike():
    cfg = with_options("quickstart", "val_dataloader.batch_size=1")
    assert cfg.test_dataloader.batch_size == 1
    cfg = with_options("quickstart", "val_dataloader.dataset.pipeline.1.scale=(96,96)")  # a tuple in its place
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (96, 96)
    cfg = with_options("quickstart", "val_dataloader.batch_size=1", "test_dataloader.batch_size=2")
    assert (cfg.val_dataloader.batch_size, cfg.test_dataloader.batch_size) == (1, 2)


def test_the_hosts_idiom_of_an_interval_beyond_the_end_passes_in_its_own_configs(child):
    assert child(RETINANET, "train_cfg = dict(type='EpochBasedTrainLoop')").train_cfg.val_interval == 1


def test_annotations_of_other_images_than_those_shown_are_refused():
    with pytest.raises(InputError, match="Name the same file in both"):
        with_options(BCCD, "val_evaluator.ann_file=other/annotations/val.json")
