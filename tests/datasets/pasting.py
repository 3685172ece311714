"""Samples and data sets in memory for tests of Copy-Paste: squares and triangles whose pixels are known."""

import copy

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from frozen_det.datasets.transforms.copy_paste import CopyPaste
from frozen_det.datasets.transforms.copy_paste_patches import Patch
from frozen_det.datasets.transforms.copy_paste_sources import Donation
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.ops.windows import JitterDraw

WHOLE = JitterDraw(1.0, 0.0, 0.0, False)
FILL = (104, 116, 124)  # BGR of the mean pixel


class Scenes:
    """A dataset in memory; image i has the one colour 40 * (i + 1)."""

    metainfo = dict(classes=("a", "b", "c"))

    def __init__(self, scenes: list[dict]) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def get_data_info(self, index: int) -> dict:
        return copy.deepcopy(self.scenes[index]) | dict(sample_idx=index)


def square(left, top, right, bottom, label=0, **further) -> dict:
    polygon = [float(v) for v in (left, top, right, top, right, bottom, left, bottom)]
    return dict(bbox=[left, top, right, bottom], bbox_label=label, ignore_flag=0, mask=[polygon]) | further


def image_of(index: int, height: int, width: int, instances: list[dict], **further) -> dict:
    return (
        dict(
            img=np.full((height, width, 3), 40 * (index + 1), np.uint8),
            img_id=100 + index,
            img_path=f"scene {index}",
            instances=instances,
        )
        | further
    )


def synthetic_scenes(seed: int) -> Scenes:
    """Four images of different sizes with 0 to 6 triangles, about one in five a crowd, some of a pixel."""
    generator = np.random.default_rng(seed)
    scenes = []
    for index in range(4):
        height, width = (int(v) for v in generator.integers(3, 90, 2))
        instances = []
        for _ in range(generator.integers(0, 7)):
            side = int(generator.choice([1, 3, 12, 60]))
            corner = generator.uniform(-2, [width - 1, height - 1])
            points = np.clip(corner + generator.uniform(0, side, (3, 2)), 0, [width, height])
            box = [*points.min(axis=0), *points.max(axis=0)]
            instances.append(
                dict(
                    bbox=box,
                    bbox_label=int(generator.integers(3)),
                    mask=[points.ravel().tolist()],
                    ignore_flag=int(generator.random() < 0.2),
                )
            )
        scenes.append(image_of(index, height, width, instances))
    return Scenes(scenes)


def bound(dataset, size=64, **settings_) -> CopyPaste:
    settings_.setdefault("donor_pipeline", [LargeScaleJitter(size)])
    paste = CopyPaste(**settings_)
    paste.bind(dataset)
    return paste


def loaded(size_hw=(100, 100), objects=(), colour=50, crowds=(), kind=BitmapMasks) -> dict:
    """A sample after mmdet's loading; ``objects`` are boxes, their masks are whole boxes."""
    height, width = size_hw
    full = np.zeros((len(objects), height, width), np.uint8)
    for bitmap, (x1, y1, x2, y2) in zip(full, objects):
        bitmap[y1:y2, x1:x2] = 1
    flags = np.zeros(len(objects), bool)
    flags[list(crowds)] = True
    if kind is PolygonMasks:
        masks = PolygonMasks(
            [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in objects], height, width
        )
    else:
        masks = BitmapMasks(full, height, width)
    return dict(
        img=np.full((height, width, 3), colour, np.uint8),
        img_shape=size_hw,
        gt_masks=masks,
        gt_bboxes=HorizontalBoxes(np.array(objects, np.float32).reshape(-1, 4)),
        gt_ignore_flags=flags,
        gt_bboxes_labels=np.arange(len(objects), dtype=np.int64),
    )


def patch(left, top, right, bottom, colour=200, label=9, **further) -> Patch:
    size = bottom - top, right - left
    return Patch(np.full((*size, 3), colour, np.uint8), np.ones(size, np.uint8), left, top, label, **further)


def pasted(results: dict, *patches: Patch) -> dict:
    donation = Donation(list(patches), {"sample_idx": 5, "img_id": 7})
    return CopyPaste().apply(results, donation)
