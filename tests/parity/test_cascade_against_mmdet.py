"""With every switch on mmdet's side our cascade gives mmdet's losses and predictions, same weights, same draws."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from .roi_scene import TEST_CFG, rcnn_train_cfg, roi_extractor, scene

STDS = [(0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)]


def train_cfgs(*ious):
    return [rcnn_train_cfg(iou, match_low_quality=False) for iou in ious]


def host_head(stds=None, agnostic=True):
    coder = dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0] * 4)
    return dict(
        type="mmdet.Shared2FCBBoxHead",
        in_channels=8,
        fc_out_channels=16,
        num_classes=3,
        reg_class_agnostic=agnostic,
        loss_bbox=dict(type="mmdet.SmoothL1Loss", beta=1.0),
        bbox_coder=coder if stds is None else {**coder, "target_stds": stds},
    )


def mask_parts():
    return dict(
        mask_roi_extractor=roi_extractor(14),
        mask_head=dict(type="mmdet.FCNMaskHead", num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3),
    )


def build(kind, **options):
    return MODELS.build(ConfigDict(type=kind, bbox_roi_extractor=roi_extractor(), test_cfg=TEST_CFG, **options))


def host_cascade(ious=(0.5, 0.6, 0.7), agnostic=True, mask=False):
    return build(
        "mmdet.CascadeRoIHead",
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[host_head(s, agnostic) for s in STDS],
        train_cfg=train_cfgs(*ious),
        **(mask_parts() if mask else {}),
    )


def run_losses(head, seed=5, **options):
    maps, proposals, samples = scene(**options)
    torch.manual_seed(seed)
    losses = head.loss(maps, proposals, samples)
    total = sum(v for k, v in losses.items() if "loss" in k)
    grads = torch.autograd.grad(total, [p for p in head.parameters() if p.requires_grad], allow_unused=True)
    return losses, grads


def assert_same_losses(ours, theirs, **options):
    ours.load_state_dict(theirs.state_dict())
    (a, ga), (b, gb) = run_losses(ours, **options), run_losses(theirs, **options)
    assert set(a) == set(b)
    assert all(torch.equal(a[k], b[k]) for k in a), {k: (a[k], b[k]) for k in a}
    assert all((x is None and y is None) or torch.equal(x, y) for x, y in zip(ga, gb))
    return a


@pytest.mark.parametrize("agnostic", [True, False], ids=["class-agnostic", "per-class"])
@pytest.mark.parametrize("mask", [False, True], ids=["boxes", "masks"])
def test_losses_and_gradients_equal_mmdets_with_lists_as_mmdet_has_them(agnostic, mask):
    theirs = host_cascade(agnostic=agnostic, mask=mask)
    ours = build(
        "frozen_det.CascadeRoIHead",
        stage_loss_weights=[1, 0.5, 0.25],
        keep_gt_rois=False,
        bbox_head=[host_head(s, agnostic) for s in STDS],
        train_cfg=train_cfgs(0.5, 0.6, 0.7),
        **(mask_parts() if mask else {}),
    )
    losses = assert_same_losses(ours, theirs)
    assert losses["s0.loss_bbox"] > 0 and ("s2.loss_mask" in losses) == mask


def mmdet_mode(**options):
    return build(
        "frozen_det.CascadeRoIHead",
        **{
            **dict(
                stage_loss_weights=[1, 0.5, 0.25],
                resample=True,
                add_gt_later=True,
                keep_gt_rois=False,
                iou_thresholds=(0.5, 0.6, 0.7),
                box_stds=STDS,
                bbox_head=host_head(),
                train_cfg=rcnn_train_cfg(0.5),
            ),
            **options,
        },
    )


def test_the_switches_on_one_config_equal_mmdets_three_configs():
    assert_same_losses(mmdet_mode(), host_cascade())


def test_an_image_without_objects_passes_through_both_alike():
    losses = assert_same_losses(mmdet_mode(), host_cascade(), num_objects=(0, 2))
    assert all(v.isfinite().all() for v in losses.values())


@pytest.mark.parametrize(
    "switch",
    [
        dict(resample=False, add_gt_later=False),
        dict(add_gt_later=False),
        dict(keep_gt_rois=True),
        dict(iou_thresholds=(0.5, 0.7, 0.8)),
        dict(box_stds=[STDS[0]] * 3),
        dict(stage_loss_weights="mean"),
    ],
)
def test_each_switch_turned_alone_changes_later_losses_and_not_the_first_stage(switch):
    base = mmdet_mode()
    other = mmdet_mode(**switch)
    other.load_state_dict(base.state_dict())
    a, b = run_losses(base)[0], run_losses(other)[0]
    weight = 1 / 3 if "stage_loss_weights" in switch else 1
    assert torch.allclose(a["s0.loss_bbox"] * weight, b["s0.loss_bbox"])
    assert any(not torch.allclose(a[k], b[k]) for k in a if not k.startswith("s0") and "loss" in k)


@pytest.mark.parametrize("mask", [False, True], ids=["boxes", "masks"])
def test_predictions_equal_mmdets(mask):
    theirs = host_cascade(mask=mask).eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, 0, 0.1)
    ours = mmdet_mode(**(mask_parts() if mask else {})).eval()
    ours.load_state_dict(theirs.state_dict())
    maps, proposals, samples = scene()
    with torch.no_grad():
        a, b = (h.predict(maps, copy.deepcopy(proposals), samples, rescale=True) for h in (ours, theirs))
        raw_a, raw_b = (h.forward(maps, proposals, samples) for h in (ours, theirs))
    for x, y in zip(a, b):
        assert len(x) == len(y) == 20
        assert all(torch.equal(x[k], y[k]) for k in y.keys())  # noqa: SIM118  InstanceData is no mapping
    assert len(raw_a) == len(raw_b)
    assert all(torch.equal(x, y) for p, q in zip(raw_a, raw_b) for x, y in zip(p, q))
