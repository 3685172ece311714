"""Detections from the best candidates are mmdet's from all of them, bit for bit; ties keep the candidates' order."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.layers import multiclass_nms
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from frozen_det.models.layers import best_candidates
from frozen_det.models.layers.best_candidates import best_of_classes

NMS = dict(type="nms", iou_threshold=0.5)


@pytest.fixture(autouse=True)
def by_class(monkeypatch):
    """However few, mmdet goes through candidates class by class, and the choice is tried."""
    monkeypatch.setattr(best_candidates, "_SPLIT", 1)
    monkeypatch.setattr(best_candidates, "_LOW", 2.0)


def same(boxes, scores, threshold, cfg, max_num):
    """Compared with mmdet's function where equal scores keep their order; torch's sort leaves it open."""
    sort = torch.Tensor.sort
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "sort", lambda self, **options: sort(self, **{"stable": True, **options}))
        wanted = multiclass_nms(boxes, scores, threshold, cfg, max_num)
        found = best_of_classes(boxes, scores, threshold, cfg, max_num)
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@st.composite
def scenes(draw):
    regions, classes = draw(st.integers(1, 30)), draw(st.integers(1, 12))
    g = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    per_region = draw(st.sampled_from([1, classes]))
    side = draw(st.sampled_from([0.0, 5.0, 60.0, 1e5]))  # none: all boxes the same, without an area
    corners = (torch.rand(regions * per_region, 2, generator=g) * side).round(decimals=draw(st.sampled_from([0, 4])))
    sides = torch.rand(regions * per_region, 2, generator=g) * draw(st.sampled_from([0.0, 40.0]))
    boxes = torch.cat([corners, corners + sides], 1) - draw(st.sampled_from([0.0, 30.0]))  # some left of the image
    levels = draw(st.sampled_from([1, 3, 1000]))  # of equal scores many
    scores = torch.randint(0, levels + 1, (regions, classes + 1), generator=g) / levels
    return boxes.view(regions, per_region * 4), scores


@settings(max_examples=300, deadline=None)
@given(scenes(), st.integers(1, 20), st.integers(1, 40), st.sampled_from([-0.1, 0.0, 0.5, 1.0]))
def test_every_choice_gives_all_of_mmdets_detections(scene, first, max_num, threshold):
    best_candidates.FIRST_CANDIDATES, before = first, best_candidates.FIRST_CANDIDATES
    try:
        assert same(*scene, threshold, dict(NMS, split_thr=1), max_num)
    finally:
        best_candidates.FIRST_CANDIDATES = before


def _many(classes=200, regions=60, seed=0):
    g = torch.Generator().manual_seed(seed)
    corners = torch.rand(regions, 2, generator=g) * 400
    boxes = torch.cat([corners, corners + torch.rand(regions, 2, generator=g) * 200], 1)
    return boxes, torch.randn(regions, classes + 1, generator=g).mul(2).softmax(1)


def _counted(monkeypatch):
    """The number of candidates of each call of NMS, of ours alone."""
    seen = []
    original = best_candidates.nms
    monkeypatch.setattr(best_candidates, "nms", lambda b, *rest: seen.append(len(b)) or original(b, *rest))
    return seen


def test_at_threshold_zero_few_of_all_candidates_are_looked_at(monkeypatch):
    seen = _counted(monkeypatch)
    assert same(*_many(), 0.0, dict(NMS, split_thr=1), 300) and seen == [5000]


def test_without_ties_mmdets_own_sort_gives_the_same():
    boxes, scores = _many(seed=1)
    best = scores[:, :-1].flatten().sort(descending=True).values[:1000]
    assert (best[1:] < best[:-1]).all()
    wanted = multiclass_nms(boxes, scores, 0.0, dict(NMS, split_thr=1), 300)
    found = best_of_classes(boxes, scores, 0.0, dict(NMS, split_thr=1), 300)
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_where_too_few_of_the_best_survive_more_are_taken(monkeypatch):
    """All classes' best boxes lie on one another: one of each class survives."""
    monkeypatch.setattr(best_candidates, "FIRST_CANDIDATES", 100)
    boxes, scores = _many(classes=40, regions=300)
    boxes = boxes[:1] + boxes * 1e-3
    seen = _counted(monkeypatch)
    assert same(boxes, scores, 0.0, dict(NMS, split_thr=1), 39)
    assert len(seen) > 1 and seen[0] == 100 and seen[1] == 400


def test_candidates_that_tie_with_the_last_are_taken_as_well(monkeypatch):
    seen = _counted(monkeypatch)
    boxes, scores = _many()
    scores = (scores * 2000).floor() / 2000
    assert same(boxes, scores, 0.0, dict(NMS, split_thr=1), 300)
    assert seen and seen[0] > 5000


@pytest.mark.parametrize("moved", [0.0, -300.0, 1e6])
def test_where_classes_could_meet_each_is_suppressed_alone(monkeypatch, moved):
    """Boxes left of the image, or so far right that steps of float32 are coarse."""
    seen = _counted(monkeypatch)
    boxes, scores = _many()
    assert same(boxes + moved, scores, 0.0, dict(NMS, split_thr=1), 300)
    assert (len(seen) == 1) == (moved == 0.0)


def test_at_a_usual_threshold_candidates_are_not_counted(monkeypatch):
    monkeypatch.setattr(best_candidates, "_LOW", 0.01)
    monkeypatch.setattr(best_candidates, "_of_best", None)
    assert same(*_many(), 0.05, dict(NMS, split_thr=1), 300)


@pytest.mark.parametrize(
    ("cfg", "max_num"),
    [
        (dict(type="soft_nms", iou_threshold=0.5, split_thr=1), 30),
        (dict(NMS, split_thr=1, class_agnostic=True), 30),
        (dict(NMS, split_thr=1, max_num=3), 30),
        (dict(NMS, split_thr=1), -1),
        (dict(NMS, split_thr=10**6), 30),
    ],
)
def test_other_kinds_go_through_mmdets_function(monkeypatch, cfg, max_num):
    seen = _counted(monkeypatch)
    boxes, scores = _many(classes=9)
    assert same(boxes, scores, 0.001, cfg, max_num) and seen == []


HEADS = {
    "ours, one box": dict(type="frozen_det.ConvFCBBoxHead", reg_class_agnostic=True, num_shared_convs=0),
    "ours, a box for each class": dict(type="frozen_det.ConvFCBBoxHead", reg_class_agnostic=False, num_shared_convs=0),
    "mmdet's": dict(type="mmdet.Shared2FCBBoxHead", reg_class_agnostic=False),
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_predict_what_mmdets_prediction_gives(kind, monkeypatch):
    from frozen_det.models.layers.best_candidates import predict_from_the_best

    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            **HEADS[kind],
            in_channels=4,
            fc_out_channels=8,
            num_classes=200,
            bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        )
    ).eval()
    if kind == "mmdet's":
        predict_from_the_best(head)
        assert copy.deepcopy(head)._predict_by_feat_single.__self__ is not head
    boxes, _ = _many()
    rois = torch.cat([torch.zeros(60, 1), boxes], 1)
    width = 4 if head.reg_class_agnostic else 800
    g = torch.Generator().manual_seed(1)
    raw = [torch.randn(60, 201, generator=g) * 2], [torch.randn(60, width, generator=g)]
    meta = dict(img_shape=(600, 600), scale_factor=(0.5, 0.5))
    cfg = ConfigDict(score_thr=0.0, nms=dict(NMS, split_thr=1), max_per_img=300)
    seen = _counted(monkeypatch)

    def predicted():
        return head.predict_by_feat((rois,), *map(tuple, raw), [meta], cfg, rescale=True)[0]

    found = predicted()
    assert seen and len(found.scores) == 300
    monkeypatch.setattr(best_candidates, "_of_best", lambda *arguments: None)
    wanted = predicted()
    for name in ("bboxes", "scores", "labels"):
        assert torch.equal(found[name], wanted[name])
    without = head.predict_by_feat((rois,), *map(tuple, raw), [meta], None)[0]
    assert without.scores.shape == (60, 201)
    empty = head.predict_by_feat((rois[:0],), (raw[0][0][:0],), (raw[1][0][:0],), [meta], cfg)[0]
    assert len(empty.scores) == 0 and len(empty.labels) == 0
