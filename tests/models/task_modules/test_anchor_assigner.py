"""ForcedMatchAssigner against the authors' rule written out with loops, on made IoUs and on real anchors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData


def assigner(**options):
    return TASK_UTILS.build(dict(type="frozen_det.ForcedMatchAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, **options))


def assigned_by_hand(iou, positive=0.7, negative=0.3):
    """(K, N) IoUs -> object number per anchor, 0 background, -1 ignored, anchor by anchor and object by object."""
    objects, anchors = iou.shape
    result = np.zeros(anchors, dtype=np.int64)
    for a in range(anchors):
        best = int(np.argmax(iou[:, a]))
        value = iou[best, a]
        result[a] = best + 1 if value >= positive else 0 if value < negative else -1
    taken = set()
    for k in range(objects):
        a = int(np.argmax(iou[k]))
        if a not in taken:
            taken.add(a)
            result[a] = k + 1
    return result


# Steps of 0.1 make ties of every kind, the thresholds among them.
ious = st.integers(1, 5).flatmap(
    lambda k: st.integers(1, 30).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 10), min_size=n, max_size=n), min_size=k, max_size=k)
    )
)


@settings(max_examples=200, deadline=None)
@given(ious)
def test_every_anchor_goes_where_the_authors_rule_puts_it(rows):
    iou = np.array(rows, dtype=np.float64) / 10
    labels = torch.arange(len(rows)) + 5
    result = assigner().assign_wrt_overlaps(torch.from_numpy(iou), labels)
    wanted = assigned_by_hand(iou)
    assert result.gt_inds.tolist() == wanted.tolist()
    assert result.labels.tolist() == [number + 4 if number > 0 else -1 for number in wanted]


def test_a_small_object_gets_one_anchor_where_mmdet_forces_all_that_tie():
    boxes = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)) * 8
    anchors = torch.cat([boxes - 30, boxes + 34], dim=1)
    small = InstanceData(bboxes=torch.tensor([[30.0, 30.0, 34.0, 34.0]]), labels=torch.tensor([0]))
    ours = assigner().assign(InstanceData(priors=anchors), small)
    theirs = TASK_UTILS.build(
        dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.0, match_low_quality=True)
    ).assign(InstanceData(priors=anchors), small)
    assert (ours.gt_inds > 0).sum() == 1
    assert (theirs.gt_inds > 0).sum() == 64


def test_an_anchor_that_is_best_for_two_objects_goes_to_the_first():
    iou = torch.tensor([[0.1, 0.5], [0.0, 0.6]])
    assert assigner().assign_wrt_overlaps(iou, torch.tensor([3, 4])).gt_inds.tolist() == [0, 1]


@pytest.mark.parametrize("objects", [0, 2])
def test_no_object_makes_every_anchor_background_and_no_anchor_is_no_error(objects):
    anchors = 4 if objects == 0 else 0
    result = assigner().assign_wrt_overlaps(torch.zeros(objects, anchors), torch.zeros(objects, dtype=torch.long))
    assert result.gt_inds.tolist() == [0] * anchors
