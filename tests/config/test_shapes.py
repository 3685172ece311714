"""Where a config needs a dict, a list or a type, nothing else passes."""

import pytest

from frozen_det.config.shapes import check_parts_below, check_top
from frozen_det.errors import InputError

from .conftest import with_options


@pytest.mark.parametrize(
    "option",
    [
        "model=None",
        "model.detector=None",
        "model.type=None",
        "model.type=3",
        "train_dataloader.dataset=None",
        "train_dataloader.dataset.pipeline=[]",
        "train_dataloader.dataset.pipeline.0=None",
        "optim_wrapper.optimizer=None",
        "custom_hooks.0=None",
        "param_scheduler.0=None",
        "custom_hooks=['EMAHook']",
        "custom_hooks=dict(type='EMAHook')",
        "param_scheduler=['cosine']",
        "train_dataloader.batch_sampler.typ=X",
        "train_dataloader.collate_fn.typ=x",
        "tta_model.typ=X",
        "model.detector.backbone.adapters.typ=parallel",
        "model.backbone.freeze=False",
        "optim_wrapper.paramwise_cfg.custom_keys.neck=0.1",
        "randomness=3",
    ],
)
def test_an_option_that_puts_the_wrong_kind_of_value_is_one_line(option):
    with pytest.raises(InputError, match="expected ") as raised:
        with_options("quickstart", option)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "model = 'retinanet'",
        "train_dataloader = [dict(batch_size=1)]",
        "val_evaluator = 'bbox'",
        "custom_hooks = ['EMAHook']",
        "custom_hooks = dict(type='EMAHook')",
        "default_hooks = [dict(type='CheckpointHook')]",
        "param_scheduler = 'cosine'",
        "default_hooks = dict(checkpoint='CheckpointHook')",
        "optim_wrapper = dict(optimizer='SGD')",
        "train_dataloader = dict(dataset=[dict(type='CocoDataset')])",
        "train_dataloader = dict(dataset='coco')",
        "train_dataloader = dict(dataset=dict(pipeline='default'))",
        "train_dataloader = dict(dataset=dict(pipeline=['Resize']))",
        "optim_wrapper = dict(paramwise_cfg=dict(custom_keys=['neck']))",
        "custom_imports = ['frozen_det']",
    ],
)
def test_a_child_that_puts_the_wrong_kind_of_value_is_one_line(child, line):
    with pytest.raises(InputError) as raised:
        child("custom_coco", line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "option",
    [
        "val_evaluator=[dict(type='frozen_det.CocoMetric', metric='bbox')]",
        "default_hooks.logger=None",
        "visualizer=None",
        "optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult=0.1",
        "train_dataloader.batch_sampler=None",
    ],
)
def test_what_mmengine_takes_there_passes(option):
    with_options("quickstart", option)


def test_parts_that_are_built_already_pass():
    """Configs of mmengine's lazy style hold classes and objects."""
    cfg = dict(model=dict(type=object), train_dataloader=dict(dataset=object(), sampler=dict(type=object)))
    check_top(cfg, "here")
    check_parts_below(cfg, "here")


def test_a_config_of_detectron2_inside_its_wrapper_has_names_of_its_own():
    model = dict(type="Detectron2Wrapper", detector=dict(backbone=dict(name="build_resnet_fpn_backbone")))
    check_parts_below(dict(model=model), "here")
    with pytest.raises(InputError, match="model.detector.backbone"):
        check_parts_below(dict(model=dict(model, type="FasterRCNN")), "here")
