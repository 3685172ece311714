"""Configs in run folders are data: what the host wrote comes back as it was, anything else is refused unread."""

import math

import mmdet
import pytest
from mmengine.config import Config

from frozen_det.config import find_config, load_config, load_recorded
from frozen_det.errors import InputError
from frozen_det.weights.reading.recorded_config import read_recorded

STOCK = f"{mmdet.__path__[0]}/.mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
SHIPPED = ["quickstart", "custom_coco", "upstream/efficientnet-lite0_given_imagenet1k", STOCK]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_host_wrote_comes_back_as_it_was(tmp_path, name):
    cfg = Config.fromfile(str(find_config(name)))
    cfg.dump(str(tmp_path / "config.py"))
    got = read_recorded(tmp_path / "config.py")
    assert repr(got.to_dict()) == repr(Config.fromfile(str(tmp_path / "config.py")).to_dict())
    assert got.filename == str(tmp_path / "config.py") and got.text == (tmp_path / "config.py").read_text()


@pytest.fixture
def record(tmp_path):
    load_config("custom_coco", {"data_root": "my/data"}).dump(str(tmp_path / "config.py"))
    return tmp_path / "config.py"


def test_an_override_changes_a_record_as_it_changes_a_config(record):
    assert load_recorded(record).train_dataloader.batch_size == load_config("custom_coco").train_dataloader.batch_size
    cfg = load_recorded(record, {"val_dataloader.batch_size": 3, "model.detector.test_cfg.rcnn.max_per_img": 7})
    # Testing is declared as validation is.
    assert (cfg.test_dataloader.batch_size, cfg.model.detector.test_cfg.rcnn.max_per_img) == (3, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_dataloader.bach_size": 2}, "did you mean 'batch_size'"),
        ({"modle.type": "x"}, "did you mean 'model'"),
        ({"test_dataloader.batch_size": 0}, "test_dataloader.batch_size"),
        ({"data_root": "elsewhere"}, "data_root=elsewhere has no effect .* test_dataloader.dataset.data_root"),
        ({"image_size": 99}, "image_size=99 has no effect"),
    ],
)
def test_an_override_without_effect_on_a_record_is_refused(record, options, message):
    with pytest.raises(InputError, match=message):
        load_recorded(record, options)


def test_values_of_every_kind_come_back(tmp_path):
    cfg = dict(
        a=-1.5,
        b=(1, (2,)),
        c={1: [None, True], "x-y": {3, 4}},
        d="it's \"\n",
        e=1e-8,
        f=math.inf,
        g=-math.inf,
        h=dict(i=dict(j=[])),
        k=b"x",
        l=(),
        m={},
        n=set(),
        o=math.nan,
    )
    Config(cfg).dump(str(tmp_path / "config.py"))
    assert repr(read_recorded(tmp_path / "config.py").to_dict()) == repr(cfg)


@pytest.mark.parametrize(
    "line",
    [
        "open(MARK, 'w')",
        "x = open(MARK, 'w')",
        "x = [dict(y=open(MARK, 'w'))]",
        "x = f\"{open(MARK, 'w')}\"",
        "x = [open(MARK, 'w') for _ in '1']",
        "x = -open(MARK, 'w')",
        "x: open(MARK, 'w') = 1",
        "class A: x = open(MARK)",
        "import os",
        "x = (lambda: 1)()",
        "def f(): pass",
        "x = dict(**y)",
        "x = {**y}",
        "x = y",
        "x = dict([(1, 2)])",
        "x.y = 1",
        "x = y = 1",
        "x += 1",
        "_base_ = 'evil.py'",
        "x = 2 ** 10 ** 10",
        "x = 'a' * 10 ** 10",
        "x = getattr(1, 'real')",
    ],
)
def test_any_other_line_is_refused_with_its_number_and_nothing_runs(tmp_path, line):
    mark = tmp_path / "mark"
    (tmp_path / "config.py").write_text(f"a = dict(b=1)\n{line.replace('MARK', repr(str(mark)))}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 is something else\. Nothing was run") as raised:
        read_recorded(tmp_path / "config.py")
    assert not mark.exists() and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "a = [",
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "-" * 100_000 + "1",
        "a = 1\0",
        "a = '\\ud800'\nfilename = 1",
        "a = {[]: 1}",
    ],
)
def test_what_cannot_be_parsed_is_one_error(tmp_path, text):
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="config.py") as raised:
        read_recorded(tmp_path / "config.py")
    assert "\n" not in str(raised.value)
