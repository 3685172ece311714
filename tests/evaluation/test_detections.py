"""Columns of detections: joined, limited, cleaned, and back to COCO lists without losing a digit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.evaluation.detections import Detections, PackedMasks

from .conftest import make_detections


def columns(scores, groups) -> Detections:
    n = len(scores)
    return Detections(
        np.array(groups, np.int64),
        np.arange(4 * n, dtype=float).reshape(n, 4),
        np.array(scores, float),
        np.array(groups, np.int64) + 100,
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30), st.integers(1, 5))
def test_the_best_of_each_image_are_those_a_stable_sort_keeps(rows, limit):
    scores, images = [score / 4 for score, _ in rows], [image for _, image in rows]
    kept = columns(scores, images).best_per_image(limit)
    expected = sorted(
        index
        for image in set(images)
        for index in sorted((i for i in range(len(rows)) if images[i] == image), key=lambda i: -scores[i])[:limit]
    )
    np.testing.assert_array_equal(kept.boxes_xywh[:, 0] / 4, expected)


def test_a_limit_per_category_counts_over_all_images():
    three = Detections(np.array([1, 2, 3]), np.zeros((3, 4)), np.array([0.1, 0.9, 0.5]), np.array([7, 7, 7]))
    assert three.best_per_category(2).image_ids.tolist() == [2, 3]


def test_images_without_detections_and_no_images_at_all_join():
    none = {
        "img_id": 4,
        "boxes_xyxy": np.zeros((0, 4)),
        "scores": np.zeros(0),
        "labels": np.zeros(0, int),
        "masks": PackedMasks.pack([]),
        "mask_scores": None,
    }
    one = {
        "img_id": 6,
        "boxes_xyxy": np.array([[1, 2, 4, 8]], np.float32),
        "scores": [0.5],
        "labels": [1],
        "masks": PackedMasks.pack([{"size": [9, 9], "counts": "xyz"}]),
        "mask_scores": [0.25],
    }
    joined = Detections.from_images([none, one], [11, 22], with_masks=True)
    assert joined.image_ids.tolist() == [6] and joined.category_ids.tolist() == [22]
    assert joined.boxes_xywh.tolist() == [[1, 2, 3, 6]]
    assert joined.masks == [{"size": [9, 9], "counts": b"xyz"}]
    assert joined.for_iou_type("segm").scores.tolist() == [0.25] and joined.for_iou_type("bbox").masks is None
    assert len(Detections.from_images([], [11])) == 0


@given(st.lists(st.binary(max_size=5), max_size=6))
def test_packed_masks_come_back_as_they_were(counts):
    masks = [{"size": [3, 4], "counts": one} for one in counts]
    assert PackedMasks.pack(masks).unpacked() == masks


def test_rows_with_nan_or_infinity_are_taken_out():
    four = columns([0.1, np.nan, 0.3, 0.4], [1, 1, 2, 3])
    four.boxes_xywh[3, 2] = np.inf
    assert four.finite().scores.tolist() == [0.1, 0.3]
    assert four.take(np.array([0, 2])).finite().scores.tolist() == [0.1, 0.3]


def test_coco_lists_bring_back_the_same_columns(coco128):
    detections = make_detections(coco128[1], "jittered").take(np.arange(20))
    boxes = Detections.from_coco_results(detections.to_coco_results("bbox"))
    np.testing.assert_array_equal(boxes.boxes_xywh, detections.boxes_xywh)
    np.testing.assert_array_equal(boxes.scores, detections.scores)
    masks = detections.to_coco_results("segm")
    assert "bbox" not in masks[0] and Detections.from_coco_results(masks).masks == detections.masks
    assert Detections.from_coco_results([]).to_coco_results("bbox") == []


BOX = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [1, 2, 3, 4]}
MASK = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": {"size": [2, 3], "counts": [6]}}


@pytest.mark.parametrize(
    "results, iou_type, message",
    [
        ([BOX, {**BOX, "score": 10**400}], None, r"got score 1000+ in entry 1 of a\.json"),
        ([BOX, {**BOX, "bbox": [1, 2, -(10**400), 4]}], None, r"got bbox \[1, 2, -1000+ in entry 1"),
        ([{**MASK, "score": 10**400}], "segm", "got score 1000+ in entry 0"),
        ([{**BOX, "score": True}], None, "got score True"),
        ([{**BOX, "bbox": [True, 2, 3, 4]}], None, "got bbox"),
        ([BOX, BOX], "segm", r"score, and segmentation\), got no segmentation in entry 0"),
        ([MASK], "bbox", r"score, and bbox\), got no bbox in entry 0"),
        ([MASK], "proposal", "got no bbox in entry 0"),
        ([{**BOX, **MASK}, MASK], None, "got no bbox in entry 1"),
        ([MASK, {**BOX, **MASK}], None, "got a bbox, unlike the first entry in entry 1"),
        ([BOX, {**BOX, **MASK}], None, "got a segmentation, unlike the first entry in entry 1"),
        ([{**BOX, **MASK}, BOX], None, "got no segmentation in entry 1"),
    ],
)
def test_what_is_no_result_or_lacks_what_is_needed_is_refused_by_entry(results, iou_type, message):
    with pytest.raises(InputError, match=message):
        Detections.from_coco_results(results, "a.json", iou_type)


def test_lists_of_masks_may_hold_boxes_too():
    assert len(Detections.from_coco_results([MASK, {**BOX, **MASK}], iou_type="segm")) == 2
    assert Detections.from_coco_results([{**BOX, **MASK}], iou_type="bbox").boxes_xywh.tolist() == [[1, 2, 3, 4]]
    assert Detections.from_coco_results([], iou_type="segm").masks == []
