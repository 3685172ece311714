"""The stand-ins on boxes: soft-NMS, NMS with groups and overlaps equal loops over single boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.host import mmcv_ops

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2
METHODS = ["naive", "linear", "gaussian"]


def _overlap(a, b, offset=0, over_first=False):
    """IoU of two boxes in the dtype of its numbers, 0 without any area."""
    zero = a[0] - a[0]
    w = max(zero, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    h = max(zero, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    first, second = ((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    union = first if over_first else first + second - w * h
    return w * h / union if union else zero


def _slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """One array, one box at a time, in place: the best is swapped to the front, a dropped one replaced by the last."""
    rows = [[*box, score, index] for index, (box, score) in enumerate(zip(boxes, scores))]
    front = 0
    while front < len(rows):
        best = max(range(front, len(rows)), key=lambda i: (rows[i][4], -i))
        rows[front], rows[best] = rows[best], rows[front]
        at = front + 1
        while at < len(rows):
            overlap = _overlap(rows[front], rows[at], offset)
            if METHODS[method] == "gaussian":
                rows[at][4] = rows[at][4] * np.exp(-(overlap * overlap) / np.float32(sigma))
            elif overlap >= np.float32(threshold):
                rows[at][4] = rows[at][4] * (1 - overlap if METHODS[method] == "linear" else 0)
            if rows[at][4] < np.float32(min_score):
                last = rows.pop()
                if at < len(rows):
                    rows[at] = last
            else:
                at += 1
        front += 1
    return rows


_boxes = st.lists(st.tuples(*[st.integers(0, 6)] * 4, st.integers(1, 5)), max_size=12)


@settings(max_examples=120, deadline=None)
@given(
    _boxes,
    st.sampled_from(METHODS),
    st.sampled_from([0, 1]),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([0.0, 0.15, 0.5]),
)
def test_soft_nms_keeps_drops_orders_and_scores_as_the_loop_does_also_with_ties(rows, method, offset, threshold, least):
    from mmcv.ops import soft_nms

    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([s / 5 for *_, s in rows], np.float32)
    dets, kept = soft_nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, 0.5, least, method, offset)
    expected = _slow_soft_nms(boxes, scores, threshold, 0.5, least, METHODS.index(method), offset)
    assert kept.tolist() == [row[5] for row in expected]
    np.testing.assert_allclose(
        dets.numpy(), np.array([row[:5] for row in expected], np.float32).reshape(-1, 5), rtol=1e-6
    )


def test_soft_nms_takes_arrays_views_and_other_dtypes_and_returns_their_kind():
    from mmcv.ops import soft_nms

    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]])
    scores = torch.tensor([0.5, 0.9, 0.3])
    dets, kept = soft_nms(boxes, scores, 0.3)
    assert kept.tolist() == [1, 2, 0]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.3, 0.5 * (1 - 16 / 20)])
    turned = boxes.t().contiguous().t()  # not contiguous
    assert torch.equal(soft_nms(turned, scores, 0.3)[0], dets)
    assert soft_nms(boxes.double(), scores.double(), 0.3)[0].dtype == torch.float64
    assert soft_nms(boxes.bfloat16(), scores.bfloat16(), 0.3)[1].tolist() == [1, 2, 0]
    as_array, kept = soft_nms(boxes.numpy(), scores.numpy(), 0.3)
    assert isinstance(as_array, np.ndarray) and kept.tolist() == [1, 2, 0]


def test_boxes_without_an_area_do_not_decay_each_other():
    from mmcv.ops import soft_nms

    boxes = torch.tensor([[3.0, 1, 3, 1]] * 3)
    for method in METHODS:
        dets, _ = soft_nms(boxes, torch.tensor([0.9, 0.5, 0.4]), 0.3, method=method)
        assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.4])


def test_soft_nms_by_class_leaves_boxes_of_other_classes_alone():
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [0, 0, 4, 4]])
    dets, kept = batched_nms(
        boxes, torch.tensor([0.5, 0.9, 0.8]), torch.tensor([0, 0, 1]), dict(type="soft_nms", iou_threshold=0.3)
    )
    assert kept.tolist() == [1, 2, 0]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.5 * 0.2])


@settings(max_examples=100, deadline=None)
@given(_boxes, st.sampled_from([0.25, 0.5]))
def test_nms_match_groups_the_suppressed_under_the_kept(rows, threshold):
    from mmcv.ops import nms_match

    dets = np.array([[x, y, x + w, y + h, s / 5] for x, y, w, h, s in rows], np.float32).reshape(-1, 5)
    order, taken, expected = sorted(range(len(dets)), key=lambda i: (-dets[i, 4], i)), set(), []
    for at, i in enumerate(order):
        if i not in taken:
            group = [i] + [j for j in order[at + 1 :] if j not in taken and _overlap(dets[i], dets[j]) >= threshold]
            taken.update(group)
            expected.append(group)
    found = nms_match(torch.from_numpy(dets), threshold)
    assert [group.tolist() for group in found] == expected
    assert all(group.dtype == torch.long for group in found)


def test_nms_match_suppresses_at_the_threshold_and_takes_arrays_and_half_precision():
    from mmcv.ops import nms_match

    dets = np.array([[0, 0, 2, 2, 0.5], [0, 0, 2, 4, 0.9], [5, 5, 6, 6, 0.7]])  # the first two overlap by one half
    assert [group.tolist() for group in nms_match(dets, 0.5)] == [[1, 0], [2]]
    assert [group.tolist() for group in nms_match(dets, 0.51)] == [[1], [2], [0]]
    with torch.autocast("cpu", torch.bfloat16):
        assert [group.tolist() for group in nms_match(torch.tensor(dets).bfloat16(), 0.5)] == [[1, 0], [2]]


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("offset", [0, 1])
def test_overlaps_equal_those_of_single_pairs(mode, offset):
    from mmcv.ops import bbox_overlaps

    rng = np.random.default_rng(3)
    first, second = (np.concatenate([s, s + rng.uniform(1, 30, (5, 2))], 1) for s in rng.uniform(0, 30, (2, 5, 2)))
    expected = [[_overlap(a, b, offset, mode == "iof") for b in second] for a in first]
    first, second = torch.from_numpy(first), torch.from_numpy(second)
    np.testing.assert_allclose(bbox_overlaps(first, second, mode, offset=offset).numpy(), expected, rtol=1e-12)
    aligned = bbox_overlaps(first, second, mode, aligned=True, offset=offset)
    np.testing.assert_allclose(aligned.numpy(), np.diag(expected), rtol=1e-12)
    assert bbox_overlaps(first[:0], second).shape == (0, 5)
