"""The configs for a user's own data: the one with masks differs from the one with boxes by the masks alone."""

import pytest

from frozen_det.config import load_config

OPTIONS = {"data_root": "my/data", "image_size": 256, "train_cfg.max_epochs": 7}


def _leaves(node, path=""):
    inner = node.items() if hasattr(node, "items") else enumerate(node) if isinstance(node, (list, tuple)) else None
    if inner is None:
        return {path: node}
    return {key: value for name, one in inner for key, value in _leaves(one, f"{path}.{name}").items()}


@pytest.fixture(scope="module")
def configs():
    return [load_config(name, OPTIONS) for name in ("custom_coco", "custom_masks")]


def test_the_config_with_masks_differs_by_the_masks_alone(configs):
    boxes, masks = (_leaves(cfg.to_dict()) for cfg in configs)
    changed = {key for key in boxes.keys() | masks.keys() if boxes.get(key) != masks.get(key)}
    assert {key for key in changed if "mask" not in key} == {
        ".model.detector.type",
        ".val_evaluator.metric",
        ".val_evaluator.metric.0",
        ".val_evaluator.metric.1",
        ".test_evaluator.metric",
        ".test_evaluator.metric.0",
        ".test_evaluator.metric.1",
    }
    assert masks[".model.detector.type"] == "MaskRCNN"


def test_its_training_loads_masks(configs):
    loads = [step for step in configs[1].train_dataloader.dataset.pipeline if step["type"] == "LoadAnnotations"]
    assert [step["with_mask"] for step in loads] == [True]
