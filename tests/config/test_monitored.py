"""What hooks watch is compared with what the validation reports, before the first epoch."""

import pytest

from frozen_det.errors import InputError

from .conftest import RETINANET, with_options

BEST = "default_hooks.checkpoint.save_best="
OFF = ("val_cfg=None", "val_dataloader=None", "val_evaluator=None")


@pytest.mark.parametrize(
    "name",
    [
        "bbox_mAP",
        "coco/bbox_map",
        "coco/bbox_mAP_60",
        "coco.bbox_mAP",
        "coco/segm_mAP",
        "['coco/bbox_mAP','coco/bbox_mAR']",
        "3",
        "''",
    ],
)
def test_a_name_that_is_not_reported_is_refused(name):
    with pytest.raises(InputError, match="default_hooks.checkpoint.save_best"):
        with_options("quickstart", BEST + name)


def test_the_nearest_names_and_all_that_are_reported_are_said():
    with pytest.raises(InputError, match="did you mean 'coco/bbox_mAP'.* It reports coco/.*coco/bbox_mAP_75"):
        with_options("quickstart", BEST + "coco/bbox_map")


@pytest.mark.parametrize(
    "items",
    [
        [BEST + "auto"],
        [BEST + "coco/bbox_mAP_50"],
        [BEST + "None"],
        [BEST + "['coco/bbox_mAP','coco/bbox_mAP_s']"],
        ["val_evaluator.prefix=mine", BEST + "mine/bbox_mAP"],
        list(OFF),
    ],
)
def test_a_name_that_is_reported_passes(items):
    with_options("quickstart", *items)


@pytest.mark.parametrize("monitor", ["coco/bbox_AP", "mAP", "val/loss"])
@pytest.mark.parametrize("kind", ["EarlyStoppingHook", "mmengine.EarlyStoppingHook"])
def test_an_early_stopping_monitor_is_checked_too(child, kind, monitor):
    with pytest.raises(InputError, match="custom_hooks.0.monitor is .* does not report"):
        child("quickstart", f"custom_hooks = [dict(type={kind!r}, monitor={monitor!r}, rule='greater')]")


def test_a_monitor_without_validation_is_refused(child):
    hook = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP')]"
    with pytest.raises(InputError, match="custom_hooks.0.monitor .* validates nothing"):
        child("quickstart", hook, *OFF)
    with pytest.raises(InputError, match="save_best .* validates nothing"):
        with_options("quickstart", BEST + "coco/bbox_mAP", *OFF)


@pytest.mark.parametrize(
    ("base", "right", "wrong"),
    [
        (RETINANET, "coco/bbox_mAP", "bbox_mAP"),
        (RETINANET, "coco/bbox_mAP_s", "coco/segm_mAP"),
        ("mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py", "pascal_voc/mAP", "mAP"),
        ("upstream/resnet20_plain_cifar10", "top1", "accuracy/top1"),
    ],
)
def test_the_hosts_metrics_and_the_classifiers_are_known_too(child, base, right, wrong):
    line = "default_hooks = dict(checkpoint=dict(save_best={!r}, rule='greater'))"
    assert child(base, line.format(right)).default_hooks.checkpoint.save_best == right
    with pytest.raises(InputError, match="does not report"):
        child(base, line.format(wrong))
