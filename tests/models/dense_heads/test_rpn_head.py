"""RPNHead and RetinaHead: mmdet's results with mmdet's switches, the authors' losses against written-out loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from frozen_det.errors import InputError

SIZES = ((16, 16), (8, 8), (4, 4))
STRIDES = [8, 16, 32]
ANCHORS = dict(type="AnchorGenerator", scales=[4], ratios=[0.5, 1.0, 2.0], strides=STRIDES)
META = dict(img_shape=(128, 128), pad_shape=(128, 128), scale_factor=(1.0, 1.0))


def train_cfg(num=256):
    return dict(
        assigner=dict(
            type="MaxIoUAssigner",
            pos_iou_thr=0.6,
            neg_iou_thr=0.3,
            min_pos_iou=0.0,
            match_low_quality=True,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type="RandomSampler", num=num, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )


def rpn(kind="frozen_det.RPNHead", num=256, **options):
    return MODELS.build(
        ConfigDict(
            type=kind,
            in_channels=4,
            feat_channels=6,
            anchor_generator=ANCHORS,
            train_cfg=train_cfg(num),
            test_cfg=dict(nms_pre=50, max_per_img=20, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0),
            **options,
        )
    )


def maps(batch=2, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, 4, *s, generator=g).to(dtype) for s in SIZES)


def objects(*boxes):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long)
    )


TWO = (objects((10, 10, 44, 40), (60, 50, 120, 126), (70, 70, 90, 80)), objects((30, 20, 80, 60)))


def same_weights(ours, theirs):
    state = theirs.state_dict()
    names = {"rpn_tower.convs.0.": "rpn_conv.", "cls_tower.convs.": "cls_convs.", "reg_tower.convs.": "reg_convs."}
    wanted = {}
    for key in ours.state_dict():
        old = key
        for ours_prefix, theirs_prefix in names.items():
            if key.startswith(ours_prefix):
                old = theirs_prefix + key[len(ours_prefix) :]
        if old not in state:
            old = old.replace(".weight", ".conv.weight").replace(".bias", ".conv.bias")
        wanted[key] = state[old]
    ours.load_state_dict(wanted)


def host_losses(head, gts, x):
    torch.manual_seed(4)
    return head.loss_by_feat(*head(x), batch_gt_instances=list(gts), batch_img_metas=[META] * len(gts))


def test_with_mmdets_switches_losses_and_proposals_are_mmdets():
    theirs = rpn("mmdet.RPNHead", num=20, loss_bbox=dict(type="SmoothL1Loss", beta=1 / 9))
    for p in theirs.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    ours = rpn(
        num=20,
        norm_cfg=None,
        act_cfg=dict(type="ReLU"),
        score_anchors_per_image=None,
        box_loss="sampled",
        loss_bbox=dict(type="SmoothL1Loss", beta=1 / 9),
    )
    same_weights(ours, theirs)
    gts = [InstanceData(bboxes=g.bboxes.float(), labels=g.labels) for g in TWO]
    a, b = host_losses(ours, gts, maps()), host_losses(theirs, gts, maps())
    assert set(a) == set(b)
    assert all(torch.equal(x, y) for k in a for x, y in zip(a[k], b[k], strict=True))
    x, y = (h.predict_by_feat(*h(maps()), batch_img_metas=[META] * 2) for h in (ours, theirs))
    assert all(torch.equal(p.bboxes, q.bboxes) and torch.equal(p.scores, q.scores) for p, q in zip(x, y))


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0.0) * max(h, 0.0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def slow_losses(head, gts, x):
    """Per level the authors' objectness and box loss, anchor by anchor."""
    scores, deltas = head(x)
    anchors = [a.double().tolist() for a in head.prior_generator.grid_priors(SIZES, device="cpu")]
    score_sums, box_sums, counts = [0.0] * 3, [0.0] * 3, [0] * 3
    for image, gt in enumerate(gts):
        boxes = gt.bboxes.tolist()
        ious = [[[overlap(a, b) for b in boxes] for a in level] for level in anchors]
        best_of_object = [max(iou[j] for level in ious for iou in level) for j in range(len(boxes))]
        for level, level_anchors in enumerate(anchors):
            s = scores[level][image].permute(1, 2, 0).reshape(-1).tolist()
            d = deltas[level][image].permute(1, 2, 0).reshape(-1, 4).tolist()
            for row, (a, iou) in enumerate(zip(level_anchors, ious[level])):
                forced = [j for j in range(len(boxes)) if iou[j] == best_of_object[j] and iou[j] > 0]
                best = max(iou, default=0.0)
                if forced or best >= 0.6:
                    j = forced[-1] if forced else iou.index(best)
                    score_sums[level] += math.log1p(math.exp(-s[row]))
                    b = boxes[j]
                    aw, ah, bw, bh = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
                    target = [
                        ((b[0] + b[2]) - (a[0] + a[2])) / 2 / aw,
                        ((b[1] + b[3]) - (a[1] + a[3])) / 2 / ah,
                        math.log(bw / aw),
                        math.log(bh / ah),
                    ]
                    counts[level] += 1
                    for p, t in zip(d[row], target):
                        e = abs(p - t)
                        box_sums[level] += e * e / 2 if e <= 1 / 9 else (e - 1 / 18) / 9
                elif best < 0.3:
                    score_sums[level] += math.log1p(math.exp(s[row]))
    return ([v / (512 * len(gts)) for v in score_sums], [v / (4 * n + 0.01) for v, n in zip(box_sums, counts)])


@pytest.mark.parametrize(
    "gts", [TWO, (objects(), TWO[1]), (TWO[0],), (objects(),)], ids=["two", "one-empty", "batch-1", "batch-1-empty"]
)
def test_the_authors_losses_equal_written_out_loops_level_by_level(gts):
    head = rpn(num=100_000).double().train()  # every anchor is sampled: nothing is left to chance
    for p in head.parameters():
        torch.nn.init.normal_(p, 0.1, 0.2)
    head.prior_generator.base_anchors = [b.double() for b in head.prior_generator.base_anchors]
    x = maps(len(gts), dtype=torch.float64)
    losses = host_losses(head, gts, x)
    expected_score, expected_box = slow_losses(head, gts, x)
    assert [v.item() for v in losses["loss_rpn_cls"]] == pytest.approx(expected_score, rel=1e-5)
    assert [v.item() for v in losses["loss_rpn_bbox"]] == pytest.approx(expected_box, rel=1e-5, abs=1e-12)


def test_matched_anchors_beyond_the_sample_count_in_the_box_loss_but_not_in_the_score():
    few, many = rpn(num=4).train(), rpn(num=10_000).train()
    many.load_state_dict(few.state_dict())
    gts = [InstanceData(bboxes=g.bboxes.float(), labels=g.labels) for g in TWO]
    a, b = (host_losses(h, gts, maps()) for h in (few, many))
    assert all(torch.allclose(x, y, rtol=1e-5) for x, y in zip(a["loss_rpn_bbox"], b["loss_rpn_bbox"]))
    assert sum(a["loss_rpn_cls"]) < 0.1 * sum(b["loss_rpn_cls"])


def test_levels_share_convolutions_and_have_their_own_norm():
    head = rpn(num_convs=2).train()
    assert len(head.rpn_tower.convs) == 2 and [len(n) for n in head.rpn_tower.norms] == [2, 2, 2]
    x = list(maps())
    x[1] = x[1] + 5
    head(x)
    means = [n[0].running_mean for n in head.rpn_tower.norms]
    assert not torch.allclose(means[0], means[1]) and not torch.allclose(means[1], means[2])
    scores, _ = head(x)
    shared = x[1]
    for conv, norm in zip(head.rpn_tower.convs, head.rpn_tower.norms[1]):
        y = F.conv2d(shared, conv.weight, conv.bias, padding=1)
        y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-4).sqrt()
        y = y * norm.weight[:, None, None] + norm.bias[:, None, None]
        shared = y * y.sigmoid()
    assert torch.allclose(scores[1], head.rpn_cls(shared), atol=1e-7)


def test_parameter_count_with_five_levels_and_three_anchors_is_that_of_the_authors_layers():
    head = MODELS.build(
        dict(type="frozen_det.RPNHead", in_channels=256, anchor_generator={**ANCHORS, "strides": [8, 16, 32, 64, 128]})
    )
    expected = (9 * 256 * 256 + 256) + 5 * 2 * 256 + (256 * 3 + 3) + (256 * 12 + 12)
    assert sum(p.numel() for p in head.parameters()) == expected == 596_495
    assert head.rpn_tower.convs[0].weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert head.rpn_cls.weight.std().item() == pytest.approx(1e-5, rel=0.15)


@pytest.mark.parametrize(
    "wrong, message", [(dict(box_loss="all"), "matched_per_level"), (dict(score_anchors_per_image=0), "1 or more")]
)
def test_values_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        rpn(**wrong)


def test_no_anchor_inside_the_image_is_refused_with_the_key_to_change():
    head = rpn()
    head.train_cfg.allowed_border = 0
    tiny = dict(META, img_shape=(8, 8))
    with pytest.raises(InputError, match="allowed_border"):
        head.loss_by_feat(*head(maps(1)), batch_gt_instances=[objects()], batch_img_metas=[tiny])


def retina(kind="frozen_det.RetinaHead", **options):
    anchors = dict(
        type="AnchorGenerator", octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0], strides=STRIDES
    )
    cfg = {**train_cfg(), "assigner": {**train_cfg()["assigner"], "pos_iou_thr": 0.5, "neg_iou_thr": 0.5}}
    cfg["sampler"] = dict(type="PseudoSampler")
    return MODELS.build(
        ConfigDict(
            type=kind,
            num_classes=3,
            in_channels=4,
            feat_channels=6,
            stacked_convs=2,
            anchor_generator=anchors,
            train_cfg=cfg,
            test_cfg=dict(nms_pre=50, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=10),
            **options,
        )
    )


def focal(gamma=1.5):
    return dict(type="FocalLoss", use_sigmoid=True, gamma=gamma, alpha=0.25)


def test_retina_without_norm_and_extra_positive_is_mmdets():
    losses = dict(loss_cls=focal(2.0), loss_bbox=dict(type="L1Loss"))
    theirs = retina("mmdet.RetinaHead", **losses)
    for p in theirs.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    ours = retina(norm_cfg=None, extra_positives=0.0, **losses)
    same_weights(ours, theirs)
    gts = [InstanceData(bboxes=g.bboxes.float(), labels=g.labels) for g in TWO]
    a, b = host_losses(ours, gts, maps()), host_losses(theirs, gts, maps())
    assert all(torch.equal(x, y) for k in b for x, y in zip(a[k], b[k], strict=True))
    x, y = (h.predict_by_feat(*h(maps()), batch_img_metas=[META] * 2) for h in (ours, theirs))
    assert all(torch.equal(p.scores, q.scores) for p, q in zip(x, y))


def test_retina_losses_are_divided_by_positives_plus_one():
    one, none = retina(), retina(extra_positives=0.0)
    none.load_state_dict(one.state_dict())
    gts = [InstanceData(bboxes=g.bboxes.float(), labels=g.labels) for g in TWO]
    x = maps()
    anchors, flags = one.get_anchors(SIZES, [META] * 2, device="cpu")
    positives = one.get_targets(anchors, flags, gts, [META] * 2)[4]
    a, b = host_losses(one, gts, x), host_losses(none, gts, x)
    for k in a:
        assert (sum(b[k]) / sum(a[k])).item() == pytest.approx((positives + 1) / positives, rel=1e-4)


def test_retina_starts_with_one_percent_scores_and_a_norm_per_level():
    head = retina().eval()
    scores, _ = head(maps())
    assert all(s.sigmoid().mean().item() == pytest.approx(0.01, rel=1e-3) for s in scores)
    assert [len(n) for n in head.cls_tower.norms] == [2, 2, 2]
    norm = head.reg_tower.norms[0][0]
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


@pytest.mark.parametrize(("border", "padded"), [(-1, 128), (-1, 70), (0, 128), (0, 90)])
@pytest.mark.parametrize("boxes", [[], [(8, 8, 40, 44), (30, 20, 62, 60), (2, 2, 7, 9)]])
def test_anchors_outside_are_ignored_as_where_mmdet_leaves_them_out(border, padded, boxes):
    head = rpn(num=24)
    head.train_cfg["allowed_border"] = border
    shape = (padded, padded)
    meta = dict(META, img_shape=shape, pad_shape=shape)
    anchors = torch.cat(head.prior_generator.grid_priors(SIZES, device="cpu"))
    valid = torch.cat(head.prior_generator.valid_flags(SIZES, shape, device="cpu"))
    found = {}
    for kind in ("sampled", "matched_per_level"):  # the first is mmdet's code
        head.box_loss = kind
        torch.manual_seed(0)
        found[kind] = head._get_targets_single(anchors, valid, objects(*boxes), meta)
    labels, label_weights, targets, weights, *_ = found["matched_per_level"]
    host_labels, host_label_weights, host_targets, host_weights, *_ = found["sampled"]
    assert torch.equal(labels, host_labels) and torch.equal(label_weights, host_label_weights)
    assert label_weights.sum() == 24 and valid.all() == (padded == 128)
    assert (host_weights.sum() > 0) == bool(boxes)
    drawn = host_weights > 0
    assert torch.equal(targets[drawn].float(), host_targets[drawn].float()) and (weights[drawn] == 1).all()
    assert torch.isfinite(targets).all() and (targets[weights == 0] == 0).all()


@pytest.mark.parametrize("kind", ["RPNHead", "RetinaHead"])
def test_maps_may_come_from_a_generator(kind):
    head = rpn() if kind == "RPNHead" else retina()
    head.eval()
    for one, other in zip(head(iter(maps())), head(maps())):
        assert len(one) == len(SIZES) and all(map(torch.equal, one, other))
