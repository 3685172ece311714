"""The two pipelines that `benchmark copy-paste` compares: mmdet's transforms and ours, same data, same settings."""

import random
from pathlib import Path

import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from ..datasets.coco import CocoDataset
from ..datasets.samplers.seeding import seeded
from ..errors import InputError

ARMS = ("mmdet", "frozen_det")
_PACK = dict(type="PackDetInputs")


def coco_data(folder: str) -> dict:
    """``data_root``, ``ann_file`` and ``data_prefix`` of a folder with ``images/`` and ``annotations/*.json``."""
    found = sorted(Path(folder, "annotations").glob("*.json"))
    named = [path for path in found if path.stem in ("instances", "train")] or found
    if not named or not Path(folder, "images").is_dir():
        raise InputError(
            f"expected images/ and annotations/*.json with polygons, got none of these in {folder} (--data)."
        )
    return dict(data_root=folder, ann_file=f"annotations/{named[0].name}", data_prefix=dict(img="images/"))


def jitter_pipeline(arm: str, size: int, scale_range=(0.1, 2.0)) -> list[dict]:
    """Loading and large-scale jitter; mmdet's as in its configs/common/lsj-100e_coco-instance.py."""
    if arm == "frozen_det":
        return [dict(type="frozen_det.LargeScaleJitter", size_hw=(size, size), scale_range=scale_range)]
    return [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="RandomResize", scale=(size, size), ratio_range=scale_range, keep_ratio=True),
        dict(
            type="RandomCrop",
            crop_type="absolute_range",
            crop_size=(size, size),
            recompute_bbox=True,
            allow_negative_crop=True,
        ),
        dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
        dict(type="RandomFlip", prob=0.5),
    ]


def jitter_samples(arm: str, data: dict, size: int):
    """A dataset of packed samples after large-scale jitter."""
    pipeline = jitter_pipeline(arm, size)
    if arm == "frozen_det":
        pipeline[-1]["planar"] = True
    return _built(data, [*pipeline, _PACK])


def copy_paste_samples(arm: str, data: dict, size: int, donor_cache_mb: float = 0):
    """A dataset of packed samples after jitter and Copy-Paste; mmdet's as in its configs/simple_copy_paste."""
    jitter = jitter_pipeline(arm, size)
    if arm == "frozen_det":
        paste = dict(type="frozen_det.CopyPaste", donor_pipeline=jitter, donor_cache_mb=donor_cache_mb, planar=True)
        return _built(data, [*jitter, paste, _PACK])
    from mmdet.datasets import MultiImageMixDataset

    inner = _built(data, [*jitter, dict(type="Pad", size=(size, size))])
    with DefaultScope.overwrite_default_scope("mmdet"):
        mixed = MultiImageMixDataset(inner, [dict(type="CopyPaste", max_num_pasted=100), _PACK])
    # Unchanged, it draws 0 .. len, and the last of these does not exist.
    mixed.pipeline[0].get_indexes = _any_index
    return mixed


class SeededByPlace:
    """Samples of a dataset of any kind, each with random draws of its own, so that runs can be repeated."""

    def __init__(self, dataset, num_samples: int, seed: int = 0) -> None:
        self.dataset, self.num_samples, self.seed = dataset, num_samples, seed

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, place: int):
        if place >= self.num_samples:
            raise IndexError(place)
        with seeded(self.seed * 2**32 + place):
            return self.dataset[place % len(self.dataset)]


def paste_inputs(num_objects: int, size: int, seed: int) -> tuple[dict, dict]:
    """A target and a paste source in memory with ellipses on noise, as mmdet's loading leaves them: full bitmaps."""
    import cv2
    from mmdet.structures.mask import BitmapMasks

    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(2):
        full = np.zeros((num_objects, size, size), np.uint8)
        for bitmap in full:
            # Sizes as in COCO: sides from a fiftieth to half of the image, most of them small.
            axes = np.exp(generator.uniform(np.log(size / 100), np.log(size / 4), 2))
            centre = generator.uniform(0, size, 2)
            middle, half = (tuple(pair.astype(int).tolist()) for pair in (centre, axes))
            cv2.ellipse(bitmap, middle, half, float(generator.uniform(0, 180)), 0, 360, 1, -1)
        masks = BitmapMasks(full, size, size)
        samples.append(
            dict(
                img=generator.integers(0, 256, (size, size, 3), np.uint8),
                img_shape=(size, size),
                gt_masks=masks,
                gt_bboxes=masks.get_bboxes("hbox"),
                gt_bboxes_labels=np.arange(num_objects, dtype=np.int64),
                gt_ignore_flags=np.zeros(num_objects, bool),
            )
        )
    return samples[0], samples[1]


def _any_index(dataset) -> int:
    return random.randrange(len(dataset))


def _built(data: dict, pipeline: list[dict]) -> CocoDataset:
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = CocoDataset(**data, pipeline=pipeline)
        assert isinstance(dataset.pipeline, Compose)
    return dataset
