"""CascadeRoIHead: its errors, masks on the last stage, odd batches. Values are in tests/parity."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from frozen_det.errors import InputError

from ...parity.roi_scene import TEST_CFG, rcnn_train_cfg, roi_extractor, scene


def cascade(**options):
    head = dict(
        type="frozen_det.ConvFCBBoxHead",
        num_shared_convs=1,
        num_shared_fcs=1,
        in_channels=8,
        conv_out_channels=8,
        fc_out_channels=16,
        num_classes=3,
    )
    return MODELS.build(
        ConfigDict(
            {
                **dict(
                    type="frozen_det.CascadeRoIHead",
                    bbox_roi_extractor=roi_extractor(),
                    bbox_head=head,
                    train_cfg=rcnn_train_cfg(0.5),
                    test_cfg=TEST_CFG,
                ),
                **options,
            }
        )
    )


def with_masks(**options):
    return cascade(
        **{
            **dict(
                mask_roi_extractor=roi_extractor(14),
                mask_head=dict(
                    type="mmdet.FCNMaskHead", num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3
                ),
            ),
            **options,
        }
    )


def total(losses):
    return sum(v for k, v in losses.items() if "loss" in k)


def test_defaults_are_the_authors_thresholds_box_codes_and_equal_weights():
    head = cascade()
    assert [a.pos_iou_thr for a in head.bbox_assigner] == [0.5, 0.7, 0.8]
    assert [a.neg_iou_thr for a in head.bbox_assigner] == [0.5, 0.7, 0.8]
    assert [h.bbox_coder.stds for h in head.bbox_head] == [
        pytest.approx(s) for s in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [1 / 30, 1 / 30, 1 / 15, 1 / 15])
    ]
    assert head.stage_loss_weights == [1 / 3] * 3
    assert [type(s).__name__ for s in head.bbox_sampler] == ["RandomSampler", "PseudoSampler", "PseudoSampler"]
    assert head.bbox_sampler[0].add_gt_as_proposals


def test_the_given_configs_are_left_as_they_were():
    train_cfg, head = ConfigDict(rcnn_train_cfg(0.5)), dict(type="mmdet.Shared2FCBBoxHead", in_channels=8)
    cascade(train_cfg=train_cfg, bbox_head=head)
    assert train_cfg == ConfigDict(rcnn_train_cfg(0.5))
    assert head == dict(type="mmdet.Shared2FCBBoxHead", in_channels=8)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(test_average="max"), "'logits', 'scores' or 'last'"),
        (dict(mask_stages="first"), "'all' or 'last'"),
        (dict(stage_loss_weights="sum"), "'mean' or one number per stage"),
        (dict(stage_loss_weights=[1, 0.5]), "3 stage_loss_weights"),
        (dict(iou_thresholds=(0.5, 0.6)), "3 iou_thresholds"),
        (dict(box_stds=[[0.1, 0.1, 0.2, 0.2]]), "3 rows of box_stds"),
        (dict(add_gt_later=True), "resample=True"),
        (dict(train_cfg=[rcnn_train_cfg(0.5)] * 3, iou_thresholds=(0.5, 0.6, 0.7)), "beside a list"),
        (dict(train_cfg=[rcnn_train_cfg(0.5)] * 2), "3 entries in train_cfg.rcnn"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(wrong, message):
    with pytest.raises(InputError, match=message):
        cascade(**wrong)


def test_a_cascade_of_two_stages_is_built_from_two_thresholds():
    head = cascade(num_stages=2, iou_thresholds=(0.5, 0.6), box_stds=[[0.1] * 4, [0.05] * 4])
    maps, proposals, samples = scene()
    assert {k for k in head.loss(maps, proposals, samples) if "loss" in k} == {
        "s0.loss_cls",
        "s0.loss_bbox",
        "s1.loss_cls",
        "s1.loss_bbox",
    }


@pytest.mark.parametrize("num_objects", [(2,), (0,), (0, 0)], ids=["batch-1", "no-object", "none-in-batch"])
def test_losses_and_gradients_are_finite_at_batch_1_and_without_objects(num_objects):
    head = cascade().train()
    maps, proposals, samples = scene(num_objects)
    losses = head.loss(maps, proposals, samples)
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)
    assert total(losses).isfinite() and losses["s2.loss_cls"] > 0
    assert (losses["s0.loss_bbox"] == 0) == (sum(num_objects) == 0)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (0, 1)])
def test_no_region_or_a_single_one_does_not_stop_training_or_inference(counts):
    head = cascade().train()
    maps, proposals, samples = scene((0, 0))
    proposals = [p[:n] for p, n in zip(proposals, counts)]
    total(head.loss(maps, [p.clone() for p in proposals], samples)).backward()
    head.eval()
    with torch.no_grad():
        out = head.predict(maps, proposals, samples)
    assert all(len(o) == 0 for o, n in zip(out, counts) if n == 0)


def test_one_mask_head_on_the_last_stage_trains_on_its_first_positives_with_full_weight():
    rows, losses = [], []
    for most in (1, None):
        torch.manual_seed(0)
        head = with_masks(mask_stages="last", max_mask_rois=most).train()
        assert len(head.mask_head) == 1
        head.mask_head[0].register_forward_pre_hook(lambda module, args: rows.append(args[0]))
        maps, proposals, samples = scene()
        losses.append(head.loss(maps, proposals, samples))
        assert {k for k in losses[-1] if "mask" in k} == {"s2.loss_mask"}
        total(losses[-1]).backward()
        assert head.mask_head[0].conv_logits.weight.grad.abs().sum() > 0
    capped, whole = rows
    assert len(capped) == 2 < len(whole)
    assert torch.equal(capped[0], whole[0])
    assert 0.5 < losses[1]["s2.loss_mask"] < 1.0  # log 2 at the start, not a third of it


@pytest.mark.parametrize("mask_stages", ["all", "last"])
def test_masks_are_predicted_for_every_detection_with_either_number_of_heads(mask_stages):
    head = with_masks(mask_stages=mask_stages).eval()
    maps, proposals, samples = scene()
    with torch.no_grad():
        out = head.predict(maps, proposals, samples, rescale=True)
        raw = head.forward(maps, scene()[1], samples)
    assert [tuple(o.masks.shape) for o in out] == [(len(o), 128, 128) for o in out]
    assert len(raw) == 3 and [len(m) for m in raw[2]] == [30, 30]


def test_one_mask_head_may_share_the_extractor_of_the_boxes():
    head = with_masks(mask_stages="last", mask_roi_extractor=None, bbox_roi_extractor=roi_extractor(7)).eval()
    maps, proposals, samples = scene()
    with torch.no_grad():
        assert head.predict(maps, proposals, samples)[0].masks.shape[1:] == (128, 128)


def test_a_list_of_mask_heads_with_a_single_mask_stage_is_refused():
    with pytest.raises(InputError, match="one mask_head"):
        with_masks(mask_stages="last", mask_head=[dict(type="mmdet.FCNMaskHead")] * 3)
