"""Configs in run folders are data: what the host wrote comes back as it was, anything else is refused unread."""

import math

import mmdet
import pytest
from mmengine.config import Config

from frozen_det.config import find_config
from frozen_det.errors import InputError
from frozen_det.recorded_config import read_recorded

STOCK = f"{mmdet.__path__[0]}/.mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
SHIPPED = ["quickstart", "custom_coco", "upstream/efficientnet-lite0_given_imagenet1k", STOCK]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_host_wrote_comes_back_as_it_was(tmp_path, name):
    cfg = Config.fromfile(str(find_config(name)))
    cfg.dump(str(tmp_path / "config.py"))
    got = read_recorded(tmp_path / "config.py")
    assert repr(got.to_dict()) == repr(Config.fromfile(str(tmp_path / "config.py")).to_dict())
    assert got.filename == str(tmp_path / "config.py") and got.text == (tmp_path / "config.py").read_text()


def test_values_of_every_kind_come_back(tmp_path):
    cfg = dict(a=-1.5, b=(1, (2,)), c={1: [None, True], "x-y": {3, 4}}, d="it's \"\n", e=1e-8, f=math.inf, g=-math.inf,
               h=dict(i=dict(j=[])), k=b"x", l=(), m={}, n=set(), o=math.nan)
    Config(cfg).dump(str(tmp_path / "config.py"))
    assert repr(read_recorded(tmp_path / "config.py").to_dict()) == repr(cfg)


@pytest.mark.parametrize("line", [
    "open(MARK, 'w')", "x = open(MARK, 'w')", "x = [dict(y=open(MARK, 'w'))]", "x = f\"{open(MARK, 'w')}\"",
    "x = [open(MARK, 'w') for _ in '1']", "x = -open(MARK, 'w')", "x: open(MARK, 'w') = 1", "class A: x = open(MARK)",
    "import os", "x = (lambda: 1)()", "def f(): pass", "x = dict(**y)", "x = {**y}", "x = y", "x = dict([(1, 2)])",
    "x.y = 1", "x = y = 1", "x += 1", "_base_ = 'evil.py'", "x = 2 ** 10 ** 10", "x = 'a' * 10 ** 10",
    "x = getattr(1, 'real')"])
def test_any_other_line_is_refused_with_its_number_and_nothing_runs(tmp_path, line):
    mark = tmp_path / "mark"
    (tmp_path / "config.py").write_text(f"a = dict(b=1)\n{line.replace('MARK', repr(str(mark)))}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 is something else\. Nothing was run") as raised:
        read_recorded(tmp_path / "config.py")
    assert not mark.exists() and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["a = [", "a = " + "[" * 5000 + "]" * 5000, "a = " + "-" * 100_000 + "1", "a = 1\0",
                                  "a = '\\ud800'\nfilename = 1", "a = {[]: 1}"])
def test_what_cannot_be_parsed_is_one_error(tmp_path, text):
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="config.py") as raised:
        read_recorded(tmp_path / "config.py")
    assert "\n" not in str(raised.value)
