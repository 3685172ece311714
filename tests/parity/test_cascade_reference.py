"""The authors' cascade against a slow reference: loops over regions, float64, losses, next regions and test outputs.

The reference takes region features and head outputs from the built modules; matching, box coding, losses and their
normalisation, the passing on of regions and the averaging at test are written out from the authors' description.
"""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict

from .roi_scene import SIZE, TEST_CFG, rcnn_train_cfg, roi_extractor, scene

NUM_CLASSES = 3
WEIGHTS = ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))


def authors_cascade(ious=None, **options):
    # More samples than regions: nothing is left to chance, whatever order the sampler puts them in.
    train_cfg = rcnn_train_cfg(0.5, num=4000)
    head = dict(
        type="frozen_det.ConvFCBBoxHead",
        num_shared_convs=1,
        num_shared_fcs=2,
        in_channels=8,
        conv_out_channels=8,
        fc_out_channels=16,
        num_classes=NUM_CLASSES,
    )
    return MODELS.build(
        ConfigDict(
            type="frozen_det.CascadeRoIHead",
            bbox_roi_extractor=roi_extractor(),
            bbox_head=head,
            iou_thresholds=ious,
            train_cfg=train_cfg,
            test_cfg=TEST_CFG,
            **options,
        )
    ).double()


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0.0) * max(h, 0.0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def encode(gt, box, weights):
    gw, gh, bw, bh = gt[2] - gt[0], gt[3] - gt[1], box[2] - box[0], box[3] - box[1]
    return [
        weights[0] * ((gt[0] + gw / 2) - (box[0] + bw / 2)) / bw,
        weights[1] * ((gt[1] + gh / 2) - (box[1] + bh / 2)) / bh,
        weights[2] * math.log(gw / bw),
        weights[3] * math.log(gh / bh),
    ]


def decode(deltas, box, weights):
    dx, dy, dw, dh = (d / w for d, w in zip(deltas, weights))
    bw, bh = box[2] - box[0], box[3] - box[1]
    limit = math.log(1000 / 16)
    cx, cy = dx * bw + box[0] + bw / 2, dy * bh + box[1] + bh / 2
    w, h = math.exp(min(dw, limit)) * bw, math.exp(min(dh, limit)) * bh
    return [min(max(v, 0.0), SIZE) for v in (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)]


def match(boxes, gt, labels, threshold):
    """(class, object box) of every region; NUM_CLASSES and None for background."""
    found = []
    for box in boxes:
        ious = [overlap(box, g) for g in gt]
        best = max(range(len(gt)), key=lambda i: ious[i], default=None)
        hit = best is not None and ious[best] >= threshold
        found.append((labels[best], gt[best]) if hit else (NUM_CLASSES, None))
    return found


def drop_unclear(boxes, gt, threshold):
    """The first stage leaves regions out that are neither an object's (>= threshold) nor background (< 0.5)."""
    best = [max((overlap(box, g) for g in gt), default=0.0) for box in boxes]
    return [box for box, iou in zip(boxes, best) if iou < 0.5 or iou >= threshold]


def huber(x):
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


def run_heads(cascade, stage, maps, regions):
    rois = bbox2roi([torch.tensor(r, dtype=torch.float64).reshape(-1, 4) for r in regions])
    features = cascade.bbox_roi_extractor[stage](maps, rois)
    return cascade.bbox_head[stage](features)


def reference_losses(cascade, maps, proposals, samples, ious):
    regions = [p.bboxes.tolist() + s.gt_instances.bboxes.tolist() for p, s in zip(proposals, samples)]
    regions = [drop_unclear(r, s.gt_instances.bboxes.tolist(), ious[0]) for r, s in zip(regions, samples)]
    cls_losses, box_losses = [], []
    for stage, threshold in enumerate(ious):
        matched = [
            match(r, s.gt_instances.bboxes.tolist(), s.gt_instances.labels.tolist(), threshold)
            for r, s in zip(regions, samples)
        ]
        with torch.no_grad():
            logits, deltas = run_heads(cascade, stage, maps, regions)
        flat = [(box, *m) for r, ms in zip(regions, matched) for box, m in zip(r, ms)]
        cls = box_sum = positives = 0.0
        for row, (box, label, gt) in enumerate(flat):
            scores = logits[row].tolist()
            cls += math.log(sum(math.exp(v) for v in scores)) - scores[label]
            if gt is not None:
                positives += 1
                target = encode(gt, box, WEIGHTS[stage])
                box_sum += sum(huber(p - t) for p, t in zip(deltas[row].tolist(), target))
        cls_losses.append(cls / len(flat))
        box_losses.append(box_sum / (4 * positives + 0.01))
        moved = [decode(d, box, WEIGHTS[stage]) for d, (box, _, _) in zip(deltas.tolist(), flat)]
        cuts = [len(r) for r in regions]
        regions = [moved[sum(cuts[:i]) : sum(cuts[: i + 1])] for i in range(len(cuts))]
    return sum(cls_losses) / len(ious), sum(box_losses) / len(ious)


@pytest.mark.parametrize("ious", [None, (0.6, 0.7, 0.8)], ids=["yaml", "b7"])
@pytest.mark.parametrize("num_objects", [(3, 2), (0, 4)], ids=["objects", "one-empty-image"])
def test_losses_of_all_stages_equal_the_slow_reference(ious, num_objects):
    cascade = authors_cascade(ious).train()
    for head in cascade.bbox_head:
        torch.nn.init.normal_(head.fc_reg.weight, 0, 0.05)
        torch.nn.init.normal_(head.fc_cls.weight, 0, 0.5)
    maps, proposals, samples = scene(num_objects, dtype=torch.float64)
    expected_cls, expected_box = reference_losses(
        cascade, maps, [p.clone() for p in proposals], samples, ious or (0.5, 0.7, 0.8)
    )
    losses = cascade.loss(maps, proposals, samples)
    # mmdet adds 1.2e-7 (single-precision eps) to divisors.
    assert sum(losses[f"s{i}.loss_cls"] for i in range(3)).item() == pytest.approx(expected_cls, rel=1e-6)
    assert sum(losses[f"s{i}.loss_bbox"] for i in range(3)).item() == pytest.approx(expected_box, rel=1e-6)
    assert expected_box > 0


def test_every_region_of_the_first_stage_reaches_the_last_without_gradient():
    cascade = authors_cascade().train()
    maps, proposals, samples = scene((3, 2), dtype=torch.float64)
    seen = []
    for head in cascade.bbox_head:
        head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    rois = []
    forward = cascade._bbox_forward
    cascade._bbox_forward = lambda stage, x, r: rois.append(r) or forward(stage, x, r)
    cascade.loss(maps, proposals, samples)
    assert [len(x) for x in seen] == [30 * 2 + 5] * 3
    assert not any(r.requires_grad for r in rois)
    assert [(r[:, 0] == 0).sum().item() for r in rois] == [33] * 3


@pytest.mark.parametrize("how", ["logits", "scores", "last"])
def test_class_scores_at_test_are_averaged_as_requested_and_boxes_are_the_last_stages(how):
    cascade = authors_cascade(test_average=how).eval()
    for head in cascade.bbox_head:
        torch.nn.init.normal_(head.fc_reg.weight, 0, 0.05)
        torch.nn.init.normal_(head.fc_cls.weight, 0, 0.5)
    maps, proposals, _ = scene((3, 2), dtype=torch.float64)
    metas = [dict(img_shape=(SIZE, SIZE))] * 2
    regions, per_stage = [p.bboxes.tolist() for p in proposals], []
    with torch.no_grad():
        for stage in range(3):
            logits, deltas = run_heads(cascade, stage, maps, regions)
            per_stage.append(logits)
            last = [list(r) for r in regions]
            moved = [decode(d, box, WEIGHTS[stage]) for d, box in zip(deltas.tolist(), sum(regions, []))]
            regions = [moved[: len(regions[0])], moved[len(regions[0]) :]]
        rois, merged, boxes = cascade._refine_roi(maps, bbox2roi([p.bboxes for p in proposals]), metas, [30, 30])
    wanted = {
        "logits": (sum(per_stage) / 3).softmax(-1),
        "last": per_stage[-1].softmax(-1),
        "scores": sum(x.softmax(-1) for x in per_stage) / 3,
    }[how]
    assert torch.allclose(torch.cat(merged).softmax(-1), wanted, rtol=1e-9)
    assert torch.allclose(torch.cat(boxes), deltas, rtol=1e-9)
    assert torch.allclose(torch.cat(rois)[:, 1:], torch.tensor(sum(last, []), dtype=torch.float64), rtol=1e-9)
