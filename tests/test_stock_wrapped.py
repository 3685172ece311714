"""The blocks of docs/from_frozen_stages.md, word for word: each is a config that builds a frozen detector."""

import re
from pathlib import Path

import pytest
import torch

from frozen_det.config import load_config
from frozen_det.models.backbones.description import describing
from frozen_det.models.backbones.frozen_backbone import FrozenBackbone

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from_frozen_stages.md"
BLOCKS = re.findall(r'^```python\n(_base_ = "mmdet::(\w+)/.*?)^```', PAGE.read_text(encoding="utf-8"), re.M | re.S)


def _built(text, tmp_path):
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    (tmp_path / "wrapped.py").write_text(text, encoding="utf-8")
    cfg = load_config(tmp_path / "wrapped.py")
    with describing(), DefaultScope.overwrite_default_scope("mmdet"), torch.device("meta"):
        return MODELS.build(cfg.model)


def test_the_page_wraps_five_families():
    assert [family for _, family in BLOCKS] == ["retinanet", "dino", "rtmdet", "mask2former", "yolox"]


@pytest.mark.parametrize("text, family", BLOCKS, ids=[family for _, family in BLOCKS])
def test_a_block_of_the_page_is_a_frozen_detector_of_its_kind(text, family, tmp_path):
    model = _built(text, tmp_path)
    assert type(model).__name__.lower() == family and isinstance(model.backbone, FrozenBackbone)
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) > 30 and not any(name.startswith("backbone.") for name in trained)
    classes = [
        module.num_classes
        for module in model.modules()
        if hasattr(module, "num_classes") and "head" in type(module).__name__.lower()
    ]
    expected = {"retinanet": 80, "mask2former": 3 + 2}.get(family, 3)
    assert classes and set(classes) == {expected}
