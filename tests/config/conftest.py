"""Config files written on the spot: children of a shipped or a stock config, any other text."""

from pathlib import Path

import pytest

from frozen_det.config import find_config, load_config
from frozen_det.config.option_text import parse_options

RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
FASTER = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"


def with_options(name, *items):
    """A config with overrides as they are typed."""
    return load_config(name, parse_options(list(items)))


@pytest.fixture
def write(tmp_path):
    """Write one file; returns its path."""

    def one(text: str, name: str = "child.py") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return one


@pytest.fixture
def child(write):
    """The config of a file with one base and some lines."""

    def one(base: str, text: str, *items: str):
        path = base if "::" in base or base.endswith(".py") else str(find_config(base))
        return with_options(write(f"_base_ = {path!r}\n{text}"), *items)

    return one
