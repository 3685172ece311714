"""Files that mmengine cannot read, or of which it would drop a part, are one line; none ends the command by itself."""

import pytest

from frozen_det.errors import InputError

from .conftest import with_options


@pytest.mark.parametrize(
    "text",
    [
        "a = (",
        "import nosuchmodule",
        "x = 1 / 0",
        "raise SystemExit",
        "import sys\nsys.exit(0)",
        "exit()",
        "x = undefined",
        "\tx = 1\n y = 2",
        "_base_ = 3",
        "_base_ = None",
        "_base_ = 'nowhere.py'",
        "_base_ = 'mmdet::nowhere/x.py'",
        "_base_ = 'mmdett::retinanet/retinanet_r50_fpn_1x_coco.py'",
        "_base_ = 'child.py'",
        "custom_imports = dict(imports='nope')",
        "import os\n_base_ = os.path.join('a', 'b.py')",
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_name(write, text):
    with pytest.raises(InputError, match="child.py") as raised:
        with_options(write(text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.json", "{"), ("c.json", "[1]"), ("c.json", ""), ("c.yaml", "a: ["), ("c.yaml", "- a"), ("c.toml", "x = 1")],
)
def test_other_formats_are_one_line_too(write, name, text):
    with pytest.raises(InputError) as raised:
        with_options(write(text, name))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [b"\xff\xfex=1\n", b"x=1\0\n", b"\xef\xbb\xbfx=1\n"])
def test_bytes_that_are_no_python_are_one_line(tmp_path, data):
    (tmp_path / "c.py").write_bytes(data)
    with pytest.raises(InputError) as raised:
        with_options(tmp_path / "c.py")
    assert "\n" not in str(raised.value)


def test_two_bases_lists_are_refused_where_mmengine_takes_the_first(write):
    write("work_dir = 'a'", "a.py")
    with pytest.raises(InputError, match="expected one `_base_ = ...` at the top level, got 2"):
        with_options(write("_base_ = 'a.py'\n_base_ = 'b.py'"))
    with pytest.raises(InputError, match="expected one `_base_ = ...`"):
        with_options(write("if True:\n    _base_ = 'a.py'"))


@pytest.mark.parametrize("line", ["_base_.image_size = 256", "del _base_.epochs", "_base_.image_size += 2"])
def test_a_name_of_a_base_that_only_the_base_uses_is_not_changed_from_a_child(child, line):
    with pytest.raises(InputError, match="is changed, which has no effect: a base is read before its child"):
        child("custom_coco", line)


def test_a_part_of_a_base_is_changed_through_its_name_as_mmengine_lets_it(child):
    assert child("quickstart", "_base_.optim_wrapper.type = 'AmpOptimWrapper'").optim_wrapper.type == "AmpOptimWrapper"


def test_a_base_below_two_others_that_differ_is_one_line(write):
    write("work_dir = 'a'", "a.py")
    write("work_dir = 'b'", "b.py")
    with pytest.raises(InputError, match="Duplicate key"):
        with_options(write("_base_ = ['a.py', 'b.py']"))


LAZY = """
from mmdet.models import FPN, ResNet, RetinaHead, RetinaNet
from mmdet.datasets import CocoDataset
from mmengine.optim import CosineAnnealingLR, OptimWrapper
from mmengine.runner.loops import EpochBasedTrainLoop
from torch.optim import SGD
data_root = 'data/coco/'
model = dict(type=RetinaNet, backbone=dict(type=ResNet, depth=18), neck=dict(
    type=FPN, in_channels=[64], out_channels=64, num_outs=5), bbox_head=dict(type=RetinaHead, num_classes=3,
    in_channels=64))
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dict(
    type=CocoDataset, data_root=data_root, ann_file='a.json', pipeline=[dict(type='LoadImageFromFile')]))
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=12)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
param_scheduler = [dict(type=CosineAnnealingLR, begin=0, end=12, T_max=12)]
"""
READ = "from mmengine.config import read_base\nwith read_base():\n    from .lazy_base import *\n"


@pytest.fixture
def lazy(write):
    write(LAZY, "lazy_base.py")
    return lambda text, *items: with_options(write(READ + text), *items)


def test_a_config_in_the_lazy_style_is_read_and_its_length_carries_the_schedule(lazy):
    cfg = lazy("", "train_cfg.max_epochs=3", "train_dataloader.batch_size=4")
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0]["end"], cfg.train_dataloader.batch_size) == (3, 3, 4)


@pytest.mark.parametrize(
    ("text", "items", "words"),
    [
        ("model.update(dict(bbox_hed=dict(num_classes=3)))\n", (), "bbox_head"),
        ("", ("train_dataloader.batch_siz=3",), "batch_size"),
        ("train_dataloder = dict(batch_size=3)\n", (), "train_dataloader"),
        ("data_root = 'my/coco/'\n", (), "data_root"),
        ("", ("data_root=my/coco/",), "data_root"),
    ],
)
def test_what_has_no_effect_in_the_lazy_style_is_refused(lazy, text, items, words):
    with pytest.raises(InputError, match=words):
        lazy(text, *items)
