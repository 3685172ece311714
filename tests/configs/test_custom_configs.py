"""The configs for a user's own data: the one with masks differs from the one with boxes by masks and Copy-Paste."""

import pytest

from frozen_det.config import load_config
from frozen_det.datasets.transforms.copy_paste import CopyPaste
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter

OPTIONS = {"data_root": "my/data", "image_size": 256, "train_cfg.max_epochs": 7}


def _leaves(node, path=""):
    inner = node.items() if hasattr(node, "items") else enumerate(node) if isinstance(node, (list, tuple)) else None
    if inner is None:
        return {path: node}
    return {key: value for name, one in inner for key, value in _leaves(one, f"{path}.{name}").items()}


@pytest.fixture(scope="module")
def configs():
    return [load_config(name, OPTIONS) for name in ("custom_coco", "custom_masks")]


PIPELINE = ".train_dataloader.dataset.pipeline"


def test_the_config_with_masks_differs_by_the_masks_and_the_pipeline_alone(configs):
    boxes, masks = (_leaves(cfg.to_dict()) for cfg in configs)
    changed = {key for key in boxes.keys() | masks.keys() if boxes.get(key) != masks.get(key)}
    assert {key for key in changed if "mask" not in key and not key.startswith((PIPELINE, "._jitter"))} == {
        ".model.detector.type",
        ".val_evaluator.metric",
        ".val_evaluator.metric.0",
        ".val_evaluator.metric.1",
        ".test_evaluator.metric",
        ".test_evaluator.metric.0",
        ".test_evaluator.metric.1",
    }
    assert masks[".model.detector.type"] == "MaskRCNN"


def test_its_images_are_scaled_cropped_and_flipped_alike_and_objects_are_pasted_by_their_masks(configs):
    steps, (jitter, paste, pack) = (cfg.train_dataloader.dataset.pipeline for cfg in configs)
    resize, crop, flip = steps[2:5]
    assert (resize.type, crop.type, flip.type) == ("RandomResize", "RandomCrop", "RandomFlip")
    assert resize.scale == crop.crop_size == (256, 256) and flip.prob == LargeScaleJitter().flip_prob
    assert jitter == dict(type="frozen_det.LargeScaleJitter", size_hw=256, scale_range=resize.ratio_range)
    assert LargeScaleJitter().with_mask and CopyPaste().objects == "subset"
    assert paste == dict(type="frozen_det.CopyPaste", donor_pipeline=[jitter]) and pack == steps[-1]
