"""Copy-Paste on one image: whose pixels, whose boxes, which objects stay."""

import copy

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import CopyPaste as MMDetCopyPaste
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from frozen_det.datasets.transforms.copy_paste import CopyPaste
from frozen_det.datasets.transforms.copy_paste_patches import Patch
from frozen_det.datasets.transforms.copy_paste_sources import Donation
from frozen_det.datasets.transforms.cropped_masks import BoxedMasks
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.errors import InputError

from ..pasting import FILL, WHOLE, Scenes, bound, image_of, loaded, pasted, patch, square, synthetic_scenes


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["subset", "one", "all"]),
    st.sampled_from([0, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_a_composed_image_has_every_documented_property(seed, objects, cache_mb):
    dataset = synthetic_scenes(seed)
    generator = np.random.default_rng(seed)
    jitter = LargeScaleJitter(64)
    paste = bound(dataset, objects=objects, donor_cache_mb=cache_mb)
    before = jitter.apply(dataset.get_data_info(0), jitter.draw(generator))
    donation = paste.sources.draw(generator)
    after = paste.apply(copy.deepcopy(before), donation)

    num = len(after["gt_bboxes_labels"])
    for key in ("gt_bboxes", "gt_masks", "gt_ignore_flags", "gt_origins"):
        assert len(after[key]) == num, key
    assert len(after["gt_masks"].areas) == num and after["gt_masks"].masks.shape == (num, *after["img"].shape[:2])
    assert after["img"].dtype == np.uint8 and after["img_shape"] == after["img"].shape[:2] <= (64, 64)
    # Every box is the tight box of its mask, and no mask is empty.
    tight = HorizontalBoxes.from_instance_masks(BitmapMasks(after["gt_masks"].masks, *after["img_shape"]))
    assert torch.equal(after["gt_bboxes"].tensor, tight.tensor) and (after["gt_masks"].areas > 0).all()

    num_pasted = len(donation.patches)
    full = after["gt_masks"].masks.astype(bool)
    covered = full[num - num_pasted :].any(axis=0) if num_pasted else np.zeros(after["img_shape"], bool)
    # Pixels of pasted objects are the paste source's, all others the target's, or the fill where there was no image.
    if num_pasted:
        assert (after["img"][covered] == 40 * (donation.data_info["sample_idx"] + 1)).all()
        assert not after["gt_ignore_flags"][num - num_pasted :].any()
        assert set(after["gt_origins"][num - num_pasted :]) == {donation.data_info["sample_idx"]}
    height, width = before["img_shape"]
    own = np.zeros(after["img_shape"], bool)
    own[:height, :width] = True
    assert (after["img"][own & ~covered] == 40).all()
    assert (after["img"][~own & ~covered] == FILL).all()

    survivors = after["gt_masks"][np.arange(num - num_pasted)].masks
    old = before["gt_masks"].pad(after["img_shape"]).masks
    rest = np.where(before["gt_ignore_flags"][:, None, None], old, old & ~covered)
    kept = [
        i for i in range(len(old)) if rest[i].any() and (before["gt_ignore_flags"][i] or not occluded(old[i], rest[i]))
    ]
    np.testing.assert_array_equal(survivors, rest[kept])
    assert after["num_occluded"] == len(old) - len(kept)


def box_moved(old: np.ndarray, new: np.ndarray) -> float:
    if not new.any():
        return np.inf
    boxes = [cv2.boundingRect(m) for m in (old, new)]
    (x1, y1, w1, h1), (x2, y2, w2, h2) = boxes
    return max(abs(x1 - x2), abs(y1 - y2), abs(x1 + w1 - x2 - w2), abs(y1 + h1 - y2 - h2))


def occluded(old: np.ndarray, new: np.ndarray) -> bool:
    return box_moved(old, new) > 10 and new.sum() <= 300


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_all_objects_pasted_are_what_mmdet_pastes(seed):
    generator = np.random.default_rng(seed)

    def boxes(count):
        corners = np.sort(generator.integers(0, 60, (count, 2, 2)), axis=1)
        return [(x1 + 20, y1 + 20, x2 + 22, y2 + 22) for (x1, y1), (x2, y2) in corners.tolist()]

    target, donor = loaded(objects=boxes(5)), loaded(objects=boxes(3))
    for sample in (target, donor):
        sample["img"] = generator.integers(0, 256, (100, 100, 3), np.uint8)
        noise = generator.random(sample["gt_masks"].masks.shape) < 0.8
        sample["gt_masks"].masks &= noise
        sample["gt_bboxes"] = sample["gt_masks"].get_bboxes("hbox")
    theirs = MMDetCopyPaste(selected=False)(copy.deepcopy(target) | {"mix_results": [copy.deepcopy(donor)]})
    ours = CopyPaste(objects="all")(copy.deepcopy(target) | {"mix_results": [copy.deepcopy(donor)]})
    order = np.argsort(ours["gt_bboxes_labels"][-3:], kind="stable") + len(ours["gt_bboxes_labels"]) - 3
    order = np.concatenate([np.arange(len(ours["gt_bboxes_labels"]) - 3), order])
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert ours["img"].dtype == np.uint8
    # mmdet keeps a wholly covered object whose box lay within 10 px of the corner, with an empty mask.
    there = theirs["gt_masks"].areas > 0
    np.testing.assert_array_equal(ours["gt_bboxes_labels"][order], theirs["gt_bboxes_labels"][there])
    assert torch.equal(ours["gt_bboxes"].tensor[order], theirs["gt_bboxes"].tensor[there])
    np.testing.assert_array_equal(ours["gt_masks"][order].masks, theirs["gt_masks"].masks[there])


def test_pasted_objects_are_cut_out_along_their_outline():
    donor = image_of(1, 80, 80, [square(20, 30, 50, 60)])
    donor["img"][30:60, 20:50] = 250
    paste = bound(Scenes([donor]), objects="all", donor_pipeline=[LargeScaleJitter(200, (1.7, 1.9))])
    for seed in range(20):
        target = LargeScaleJitter(200).apply(image_of(0, 80, 80, []), WHOLE)
        results = paste.apply(target, paste.sources.draw(np.random.default_rng(seed)))
        mask = results["gt_masks"].masks[0].astype(bool) if len(results["gt_masks"]) else np.zeros(0, bool)
        if mask.sum() > 200:
            inner = cv2.erode(mask.astype(np.uint8), np.ones((7, 7))).astype(bool)
            assert (results["img"][inner] == 250).all()
            assert results["img"][mask].mean() > 235


def test_a_covered_object_shrinks_or_goes_and_the_others_stay():
    target = loaded(objects=[(0, 0, 40, 40), (60, 60, 80, 80), (5, 85, 25, 95)])
    results = pasted(target, patch(0, 0, 20, 60), patch(60, 60, 80, 79))
    assert results["gt_bboxes_labels"].tolist() == [0, 2, 9, 9]
    assert results["gt_bboxes"].tensor.tolist() == [[20, 0, 40, 40], [5, 85, 25, 95], [0, 0, 20, 60], [60, 60, 80, 79]]
    assert results["gt_masks"].areas.tolist() == [800, 200, 1200, 380]
    assert results["gt_origins"].tolist() == [-1, -1, 5, 5]
    assert (results["num_pasted"], results["num_occluded"], results["donor_img_id"]) == (2, 1, 7)


def test_a_wholly_covered_small_object_goes_also_near_the_corner():
    assert pasted(loaded(objects=[(0, 0, 8, 8)]), patch(0, 0, 9, 9))["gt_bboxes_labels"].tolist() == [9]


def test_a_crowd_is_neither_pasted_nor_changed():
    results = pasted(loaded(objects=[(0, 0, 40, 40), (50, 50, 60, 60)], crowds=[0]), patch(0, 0, 50, 50))
    assert results["gt_ignore_flags"].tolist() == [True, False, False]
    assert results["gt_masks"].areas.tolist() == [1600, 100, 2500]
    crowd = image_of(1, 80, 80, [square(0, 0, 60, 60, ignore_flag=1)])
    paste = bound(Scenes([crowd]), objects="all")
    assert all(not paste.sources.draw(np.random.default_rng(seed)).patches for seed in range(20))
    mixed = CopyPaste(objects="all")(loaded() | {"mix_results": [loaded(objects=[(1, 1, 9, 9)], crowds=[0])]})
    assert len(mixed["gt_bboxes"]) == 0


def test_objects_keep_their_origin_when_further_ones_are_pasted():
    results = pasted(loaded(objects=[(0, 0, 40, 40), (60, 60, 70, 70)]), patch(80, 0, 95, 9), patch(80, 20, 95, 29))
    results = CopyPaste().apply(results, Donation([patch(0, 0, 40, 40)], {"sample_idx": 8}))
    assert results["gt_bboxes_labels"].tolist() == [1, 9, 9, 9]
    assert results["gt_origins"].tolist() == [-1, 5, 5, 8]


def test_an_empty_target_receives_and_an_empty_paste_source_gives_nothing():
    results = pasted(loaded(), patch(10, 10, 20, 30))
    assert results["gt_bboxes"].tensor.tolist() == [[10, 10, 20, 30]]
    untouched = loaded(objects=[(0, 0, 9, 9)])
    results = pasted(copy.deepcopy(untouched))
    np.testing.assert_array_equal(results["img"], untouched["img"])
    assert results["gt_bboxes"].tensor.tolist() == [[0, 0, 9, 9]] and results["num_pasted"] == 0
    assert results["gt_origins"].tolist() == [-1] and results["donor_img_id"] is None


def test_an_object_that_came_with_an_empty_mask_goes():
    target = loaded(objects=[(0, 0, 40, 40), (5, 5, 5, 5)])
    assert pasted(target, patch(60, 60, 70, 70))["gt_bboxes_labels"].tolist() == [0, 9]


def test_an_object_beyond_the_target_grows_the_image_with_the_fill():
    results = pasted(loaded((50, 40)), patch(35, 10, 70, 30))
    assert results["img"].shape == (50, 70, 3) and results["img_shape"] == (50, 70)
    assert (results["img"][10:30, 35:70] == 200).all() and (results["img"][:, :35] == 50).all()
    assert (results["img"][:10, 40:] == FILL).all() and (results["img"][30:, 40:] == FILL).all()
    assert (results["gt_masks"].height, results["gt_masks"].width) == (50, 70)


@pytest.mark.parametrize("kind", [BitmapMasks, PolygonMasks, BoxedMasks])
def test_all_kinds_of_masks_are_taken(kind):
    target = loaded(objects=[(0, 0, 40, 40)], kind=kind)
    if kind is BoxedMasks:
        target["gt_masks"] = BoxedMasks.of(target["gt_masks"])
    results = pasted(target, patch(0, 0, 20, 40))
    assert isinstance(results["gt_masks"], BoxedMasks) and results["gt_masks"].areas.tolist() == [800, 800]
    donor = loaded(objects=[(2, 2, 12, 12)], colour=90, kind=BitmapMasks if kind is BoxedMasks else kind)
    results = CopyPaste(objects="all")(loaded() | {"mix_results": [donor]})
    assert (results["img"][2:12, 2:12] == 90).all() and results["gt_masks"].areas.tolist() == [100]


def boxes_only(sample: dict) -> dict:
    return {key: value for key, value in sample.items() if key != "gt_masks"}


def test_boxes_are_pasted_where_that_is_requested():
    target = boxes_only(loaded(objects=[(0, 0, 40, 40), (60, 60, 80, 80)]))
    target["gt_bboxes"].tensor[1] += 0.25
    donor = boxes_only(loaded(objects=[(0, 0, 25, 40)], colour=90))
    with pytest.raises(InputError, match="set paste_by_box=True"):
        CopyPaste(objects="all")(copy.deepcopy(target) | {"mix_results": [donor]})
    results = CopyPaste(objects="all", paste_by_box=True)(target | {"mix_results": [donor]})
    assert "gt_masks" not in results
    # The covered box shrinks to what is left of it, the other keeps its fractions.
    assert results["gt_bboxes"].tensor.tolist() == [[25, 0, 40, 40], [60.25, 60.25, 80.25, 80.25], [0, 0, 25, 40]]
    assert (results["img"][:40, :25] == 90).all()


def test_boxes_without_masks_go_through_the_fast_way_too():
    dataset = Scenes([image_of(0, 60, 60, [square(10, 10, 30, 40)])])
    del dataset.scenes[0]["instances"][0]["mask"]
    jitter = LargeScaleJitter(60, (1.0, 1.0), flip_prob=0, with_mask=False)
    paste = bound(dataset, donor_pipeline=[jitter], objects="all", paste_by_box=True)
    results = paste(jitter(image_of(1, 60, 60, [])))
    assert results["gt_bboxes"].tensor.tolist() == [[10, 10, 30, 40]] and "gt_masks" not in results
    assert (results["img"][10:40, 10:30] == 40).all()
    with pytest.raises(InputError, match="set paste_by_box=True"):
        bound(dataset, donor_pipeline=[jitter])(jitter(image_of(1, 60, 60, [])))


def test_boxes_are_not_pasted_as_masks_onto_an_image_with_masks():
    with pytest.raises(InputError, match="set with_mask=False"):
        pasted(loaded(), patch(0, 0, 9, 9, made_up_mask=True))


def test_pasted_pixels_carry_the_paste_sources_segmentation():
    donor = image_of(1, 80, 80, [square(20, 30, 50, 60)], gt_seg_map=np.full((80, 80), 3, np.uint8))
    donor["gt_seg_map"][30:60, 20:50] = 8
    jitter = LargeScaleJitter(80, (1.0, 1.0), flip_prob=0)
    paste = bound(Scenes([donor]), donor_pipeline=[jitter], objects="all")
    target = jitter(image_of(0, 40, 80, [], gt_seg_map=np.full((40, 80), 5, np.uint8)))
    seg_map = paste(target)["gt_seg_map"]
    mask = np.zeros((60, 80), bool)
    mask[30:60, 20:50] = True
    assert seg_map.shape == (60, 80) and (seg_map[mask] == 8).all()
    assert (seg_map[:40][~mask[:40]] == 5).all() and (seg_map[40:][~mask[40:]] == 255).all()
    corner = np.triu(np.ones((10, 10), np.uint8))
    results = pasted(
        loaded() | dict(gt_seg_map=np.zeros((100, 100), np.uint8)),
        Patch(np.zeros((10, 10, 3), np.uint8), corner, 4, 6, 1, seg_map=np.full((10, 10), 2, np.uint8)),
    )
    np.testing.assert_array_equal(results["gt_seg_map"][6:16, 4:14], 2 * corner)
    with pytest.raises(InputError, match="with_seg=True"):
        pasted(loaded() | dict(gt_seg_map=np.zeros((100, 100), np.uint8)), patch(0, 0, 5, 5))
