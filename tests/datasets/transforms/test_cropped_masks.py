"""BoxedMasks do what BitmapMasks do, with less."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from frozen_det.datasets.transforms.cropped_masks import BoxedMasks


def bitmaps(num_masks: int, height: int, width: int, seed: int) -> BitmapMasks:
    """Rectangles with holes; about one in six is empty, and some touch the image's edge."""
    generator = np.random.default_rng(seed)
    full = np.zeros((num_masks, height, width), np.uint8)
    for bitmap in full:
        x1, x2 = np.sort(generator.integers(0, width + 1, 2))
        y1, y2 = np.sort(generator.integers(0, height + 1, 2))
        bitmap[y1:y2, x1:x2] = generator.random((y2 - y1, x2 - x1)) < 0.7
        bitmap *= generator.random() < 0.85
    return BitmapMasks(full, height, width)


cases = st.builds(bitmaps, st.integers(0, 5), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))


def same(boxed: BitmapMasks, full: BitmapMasks) -> None:
    np.testing.assert_array_equal(boxed.masks, full.masks)
    assert (boxed.height, boxed.width, len(boxed)) == (full.height, full.width, len(full))


@given(cases, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_operation_gives_what_bitmaps_give(full, seed):
    boxed = BoxedMasks.of(full)
    generator = np.random.default_rng(seed)
    same(boxed, full)
    np.testing.assert_array_equal(boxed.areas, full.areas)
    np.testing.assert_array_equal(boxed.get_bboxes("hbox").tensor, full.get_bboxes("hbox").tensor)
    np.testing.assert_array_equal(HorizontalBoxes.from_instance_masks(boxed).tensor, full.get_bboxes("hbox").tensor)
    for direction in ("horizontal", "vertical", "diagonal"):
        same(boxed.flip(direction), full.flip(direction))
    same(boxed.pad((full.height + 3, full.width + 2)), full.pad((full.height + 3, full.width + 2)))
    same(boxed.pad((full.height + 1, full.width), 1), full.pad((full.height + 1, full.width), 1))
    (x1, x2), (y1, y2) = np.sort(generator.integers(0, 22, 2)), np.sort(generator.integers(0, 22, 2))
    if x1 < full.width and y1 < full.height:
        same(boxed.crop(np.array([x1, y1, x2, y2])), full.crop(np.array([x1, y1, x2, y2])))
    same(boxed.resize((7, 9)), full.resize((7, 9)))
    assert torch.equal(boxed.to_tensor(torch.float32, "cpu"), full.to_tensor(torch.float32, "cpu"))
    same(BoxedMasks.cat([boxed, boxed]), BitmapMasks.cat([full, full]))


@given(cases)
@settings(max_examples=40, deadline=None)
def test_masks_survive_pickling_and_copying(full):
    boxed = BoxedMasks.of(full)
    same(pickle.loads(pickle.dumps(boxed)), full)
    same(copy.deepcopy(boxed), full)


def test_any_index_that_bitmaps_take_is_taken():
    full = bitmaps(5, 16, 16, 3)
    boxed = BoxedMasks.of(full)
    for index in (
        2,
        -1,
        slice(1, 4),
        [3, 0],
        np.array([4, 4]),
        np.array([True, False, True, False, False]),
        np.zeros(5, bool),
        np.zeros(0, int),
    ):
        same(boxed[index], full[index])
    same(boxed[torch.tensor([1, 2])], full[torch.tensor([1, 2])])
    same(boxed[torch.tensor([True, False, False, True, False])], full[np.array([0, 3])])


@given(cases, st.integers(0, 2**32 - 1), st.integers(1, 7))
@settings(max_examples=80, deadline=None)
def test_mask_targets_are_those_of_full_bitmaps(full, seed, side):
    if len(full) == 0:
        return
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 20, (6, 2, 2)).astype(np.float32)
    boxes_xyxy = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    inds = generator.integers(0, len(full), 6)
    expected = full.crop_and_resize(boxes_xyxy, (side, side), inds, binarize=False)
    found = BoxedMasks.of(full).crop_and_resize(boxes_xyxy, (side, side), inds, binarize=False)
    np.testing.assert_array_equal(found.masks, expected.masks)


def test_the_mask_heads_target_function_takes_them():
    full = bitmaps(4, 64, 64, 1)
    proposals = torch.tensor([[3.0, 4.0, 40.0, 50.0], [0.0, 0.0, 64.0, 64.0], [10.5, 9.5, 30.25, 33.0]])
    cfg = ConfigDict(mask_size=28)
    targets = [
        mask_target([proposals], [torch.tensor([0, 3, 1])], [masks], cfg) for masks in (full, BoxedMasks.of(full))
    ]
    assert targets[0].shape == (3, 28, 28)
    assert torch.equal(*targets)


def test_the_preprocessor_pads_them_to_the_batch():
    preprocessor = DetDataPreprocessor(
        pad_mask=True, batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(32, 40), pad_mask=True)]
    )
    samples = []
    for masks in (bitmaps(2, 20, 24, 1), BoxedMasks.of(bitmaps(2, 20, 24, 1))):
        sample = DetDataSample(gt_instances=InstanceData(masks=masks), metainfo=dict(img_shape=(20, 24)))
        data = dict(inputs=[torch.zeros(3, 20, 24)], data_samples=[sample])
        samples.append(preprocessor(data, training=True)["data_samples"][0].gt_instances.masks)
    assert isinstance(samples[1], BoxedMasks) and samples[1].masks.shape == (2, 32, 40)
    same(samples[1], samples[0])


def test_no_boxes_or_no_masks_give_no_targets():
    some, none = BoxedMasks.of(bitmaps(2, 8, 8, 0)), BoxedMasks([], np.zeros((0, 4)), 8, 8)
    for masks in (some, none):
        assert masks.crop_and_resize(np.zeros((0, 4), np.float32), (3, 3), np.zeros(0, int)).masks.shape == (0, 3, 3)
    assert none.masks.shape == (0, 8, 8) and none.areas.shape == (0,)


def test_polygons_are_taken_too():
    square = PolygonMasks([[np.array([2.0, 3, 8, 3, 8, 9, 2, 9])]], 12, 12)
    same(BoxedMasks.of(square), square.to_bitmap())


def test_setting_full_bitmaps_replaces_the_crops():
    boxed, other = BoxedMasks.of(bitmaps(2, 9, 9, 1)), bitmaps(3, 9, 9, 2)
    boxed.masks = other.masks
    same(boxed, other)


def test_a_sample_travels_with_an_eighth_of_the_boxes_bytes():
    full = np.zeros((10, 256, 256), np.uint8)
    full[:, 20:84, 30:94] = 1
    boxed = BoxedMasks.of(BitmapMasks(full, 256, 256))
    assert 10 * 64 * 64 / 8 < len(pickle.dumps(boxed)) < 10 * 64 * 64 / 8 + 1500
    instances = InstanceData(masks=boxed, labels=torch.zeros(10))
    assert len(instances[torch.tensor([0, 4])].masks) == 2


def test_masks_of_different_images_are_not_joined():
    with pytest.raises(AssertionError):
        BoxedMasks.cat([BoxedMasks.of(bitmaps(1, 8, 8, 0)), BoxedMasks.of(bitmaps(1, 9, 8, 0))])
