"""Members' detections as one list: boxes of different members compete, those of one member leave each other alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from frozen_det.errors import InputError
from frozen_det.inference.detector import Detections
from frozen_det.inference.joining import join


def _found(boxes, scores, labels, classes, **more):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
        classes,
        **more,
    )


@pytest.fixture
def members():
    """Two members; the first box of `new` lies on the second of `old`, with IoU 0.8."""
    old = _found([[0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 9]], [0.9, 0.5, 0.4], [0, 1, 1], ("cat", "dog"))
    new = _found([[20, 0, 30, 8], [50, 50, 60, 60]], [0.7, 0.1], [0, 0], ("boat",))
    return {"old": old, "new": new}


def test_the_better_score_of_overlapping_boxes_of_two_members_stays(members):
    found = join(members, 0.5)
    assert found.classes == ("cat", "dog", "boat")
    assert found.labels.tolist() == [0, 2, 2] and found.scores.tolist() == pytest.approx([0.9, 0.7, 0.1])
    assert found.boxes_xyxy.tolist() == [[0, 0, 10, 10], [20, 0, 30, 8], [50, 50, 60, 60]]


def test_of_suggested_scores_the_lowest_is_that_of_all_where_every_member_has_one(members):
    old, new = replace(members["old"], threshold=0.4), replace(members["new"], threshold=0.25)
    assert join({"old": old, "new": new}).threshold == 0.25
    assert join({"old": old, "new": members["new"]}).threshold is None


def test_boxes_of_one_member_leave_each_other_as_they_are(members):
    assert join({"old": members["old"]}, 0.5).scores.tolist() == pytest.approx([0.9, 0.5, 0.4])


def test_the_threshold_is_exclusive(members):
    # 80 of 100 px and 80 of 90 px overlap.
    assert join(members, 0.8).labels.tolist() == [0, 2, 1, 2]
    assert join(members, 0.79).labels.tolist() == [0, 2, 2]


def test_every_box_stays_unless_an_iou_is_asked_for(members):
    found = join(members)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.5, 0.4, 0.1])
    assert found.labels.tolist() == [0, 2, 1, 1, 2]


def test_a_box_that_went_takes_no_other_with_it():
    a = _found([[0, 0, 10, 10], [6, 0, 16, 10]], [0.9, 0.7], [0, 0], ("a",))
    b = _found([[3, 0, 13, 10]], [0.8], [0], ("b",))
    assert join({"a": a, "b": b}, 0.5).scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_class_of_several_members_is_one_class(members):
    twice = join({"old": members["old"], "other": _found([[0, 50, 9, 60]], [0.3], [1], ("boat", "dog"))})
    assert twice.classes == ("cat", "dog", "boat") and twice.labels.tolist() == [0, 1, 1, 1]


def test_masks_go_with_their_boxes_where_every_member_has_them(members):
    masks = np.zeros((1, 4, 4), bool)
    a = _found([[0, 0, 2, 2]], [0.4], [0], ("a",), masks=masks)
    b = _found([[2, 2, 4, 4]], [0.6], [0], ("b",), masks=~masks)
    assert join({"a": a, "b": b}).masks.sum((1, 2)).tolist() == [16, 0]
    assert join({"a": a, **members}).masks is None


def test_members_that_find_nothing_give_nothing():
    empty = _found([], [], [], ("a", "b"))
    found = join({"one": empty, "two": empty})
    assert found.boxes_xyxy.shape == (0, 4) and found.classes == ("a", "b")


@pytest.mark.parametrize("iou", [0, -0.1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(members, iou):
    with pytest.raises(InputError, match=r"expected an IoU in \(0, 1\] to join at"):
        join(members, iou)


def test_panoptic_maps_are_refused_by_the_member(members):
    members["map"] = _found([], [], [], ("sky",), panoptic=np.zeros((4, 4), int))
    with pytest.raises(InputError, match="got map with panoptic maps"):
        join(members)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 12), st.sampled_from([0.3, 0.5, 0.7]))
def test_boxes_of_a_member_each_compete_as_in_torchvisions_nms(seed, count, iou):
    draw = np.random.default_rng(seed)
    corners = draw.integers(0, 20, (count, 2))
    boxes = np.concatenate([corners, corners + draw.integers(1, 20, (count, 2))], 1).astype(np.float32)
    scores = draw.permutation(count).astype(np.float32) / 16
    found = join(
        {str(i): _found(boxes[i], [scores[i]], [0], ("a",)) for i in range(count)} | {"": _found([], [], [], ("a",))},
        iou,
    )
    wanted = nms(torch.from_numpy(boxes).double(), torch.from_numpy(scores).double(), iou)
    assert found.scores.tolist() == scores[wanted.numpy()].tolist()
