"""Pictures of Copy-Paste show what the sample holds."""

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import DefaultScope

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.datasets.transforms.copy_paste import CopyPaste
from frozen_det.datasets.transforms.copy_paste_patches import Patch
from frozen_det.datasets.transforms.copy_paste_sources import Donation
from frozen_det.datasets.visualization.copy_paste import COLOURS, draw_copy_paste, picture_of_sample


def dataset_of(root, *transforms) -> CocoDataset:
    with DefaultScope.overwrite_default_scope("mmdet"):
        return CocoDataset(
            "annotations/train.json",
            data_root=str(root),
            pipeline=[*transforms, dict(type="PackDetInputs", meta_keys=("num_pasted",))],
        )


JITTER = dict(type="frozen_det.LargeScaleJitter", size_hw=96, scale_range=(0.8, 1.25))


def shows(picture: np.ndarray, kind: str) -> bool:
    return bool((np.abs(picture.astype(int) - COLOURS[kind]).max(axis=2) <= 2).any())


def test_a_picture_shows_own_and_pasted_objects_of_the_very_sample(toy_root):
    dataset = dataset_of(toy_root, JITTER, dict(type="frozen_det.CopyPaste", donor_pipeline=[JITTER], objects="all"))
    index = SampleIndex(4, 0, 0)
    picture = picture_of_sample(dataset, index)
    assert dataset[index]["data_samples"].num_pasted > 0
    assert picture.dtype == np.uint8 and picture.shape[0] > 400 and picture.shape[1] > 4 * 400
    assert shows(picture, "own") and shows(picture, "pasted")
    np.testing.assert_array_equal(picture, picture_of_sample(dataset, index))


def test_a_pipeline_without_copy_paste_has_no_such_picture(toy_root):
    assert picture_of_sample(dataset_of(toy_root, JITTER), SampleIndex(0, 0, 0)) is None


def test_covered_objects_are_marked(toy_root):
    dataset = dataset_of(toy_root, JITTER)
    results = dataset.pipeline.transforms[0](dataset.get_data_info(2))
    height, width = results["img_shape"]
    num_own = len(results["gt_bboxes"])
    all_over = Patch(np.zeros((height, width, 3), np.uint8), np.ones((height, width), np.uint8), 0, 0, 0)
    results = CopyPaste().apply(results, Donation([all_over], {"img_id": 3}))
    assert results["occluded_objects"].tolist() == list(range(num_own))
    picture = draw_copy_paste(results)
    assert shows(picture, "occluded") and shows(picture, "pasted")


def test_an_image_in_memory_without_masks_shows_only_the_composition():
    results = dict(
        img=np.zeros((50, 80, 3), np.uint8),
        gt_bboxes=HorizontalBoxes([[5, 5, 30, 30], [40, 5, 60, 30]]),
        gt_bboxes_labels=np.zeros(2, np.int64),
        gt_ignore_flags=np.array([False, True]),
    )
    picture = draw_copy_paste(CopyPaste().apply(results, Donation([], {})))
    assert picture.shape == (26 + 320, 512, 3)
    assert shows(picture, "own") and shows(picture, "ignored") and not shows(picture, "pasted")
