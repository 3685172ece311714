"""Small data that several tests of this folder read."""

import json
import logging

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    """Toy scenes with 12 train and 6 val images."""
    from frozen_det.datasets.toy.toy_scenes import write_toy_scenes

    return write_toy_scenes(tmp_path_factory.mktemp("toy") / "scenes", num_train=12, num_val=6, report=lambda _: None)


@pytest.fixture
def coco_content():
    """Two images of 40 x 30 px with three boxes of the classes cat (id 7) and dog (id 3)."""
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", "height": 30, "width": 40},
            {"id": 2, "file_name": "b.jpg", "height": 30, "width": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [2, 3, 10, 8], "area": 80, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [20, 5, 12, 20], "area": 240, "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 3, "bbox": [1, 1, 30, 25], "area": 750, "iscrowd": 0},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    }


@pytest.fixture
def coco_root(tmp_path, coco_content):
    """A function that writes the content (changed or not) as ``annotations/train.json`` with its images."""

    def write(content=coco_content, name="train"):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(content))
        for image in content.get("images", []):
            pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / image.get("file_name", "x.jpg")), pixels)
        return tmp_path

    return write


@pytest.fixture
def mmdet_scope():
    """Types without a scope are mmdet's, as in its configs."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


@pytest.fixture
def log_lines():
    """What is logged, line by line."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
