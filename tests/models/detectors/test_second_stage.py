"""ClassifierStage: only the final layer trains, on Faster, Mask and Cascade heads; unfit first stages are refused."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from frozen_det.errors import InputError
from frozen_det.models.detectors.second_stage import final_layers, refuse_misfit
from frozen_det.models.losses.class_balanced_loss import effective_number_weights

from ...parity.roi_scene import TEST_CFG, rcnn_train_cfg, roi_extractor, scene

BALANCED = dict(type="frozen_det.ClassBalancedLoss", num_instances=[500, 40, 3])
SOFTMAX = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False)
OURS = dict(
    type="frozen_det.ConvFCBBoxHead",
    num_shared_convs=1,
    num_shared_fcs=1,
    in_channels=8,
    conv_out_channels=8,
    fc_out_channels=16,
    num_classes=3,
)
HOSTS = dict(type="mmdet.Shared2FCBBoxHead", in_channels=8, fc_out_channels=16, num_classes=3)
MASKS = dict(
    mask_roi_extractor=roi_extractor(14),
    mask_head=dict(type="mmdet.FCNMaskHead", num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3),
)
KINDS = ("ours", "hosts", "ours_masks", "ours_cascade", "hosts_cascade")


def detector(kind="ours", type="frozen_det.ClassifierStage", loss_cls=BALANCED, plain="mmdet.FasterRCNN"):
    """A tiny two-stage detector; every region is used, so nothing random is drawn."""
    head = dict(OURS if kind.startswith("ours") else HOSTS, loss_cls=loss_cls)
    rcnn = rcnn_train_cfg(0.5, num=1000)
    if kind == "ours_cascade":
        roi_head = dict(type="frozen_det.CascadeRoIHead", bbox_head=head)
    elif kind == "hosts_cascade":
        roi_head = dict(
            type="mmdet.CascadeRoIHead",
            num_stages=3,
            stage_loss_weights=[1, 0.5, 0.25],
            bbox_head=[copy.deepcopy(head) for _ in range(3)],
        )
        rcnn = [rcnn_train_cfg(iou, num=1000) for iou in (0.5, 0.6, 0.7)]
    else:
        roi_head = dict(type="mmdet.StandardRoIHead", bbox_head=head)
    if kind.endswith("masks"):
        roi_head.update(copy.deepcopy(MASKS))
    rpn = dict(
        assigner=dict(
            type="mmdet.MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=-1
        ),
        sampler=dict(type="mmdet.RandomSampler", num=64, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )
    proposals = dict(nms_pre=60, max_per_img=30, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
    cfg = ConfigDict(
        type=type,
        backbone=dict(
            type="frozen_det.FrozenBackbone",
            body=dict(type="timm", name="test_resnet"),
            weights="random",
            strides=(8, 16, 32),
            freeze=False,
        ),
        neck=dict(type="frozen_det.FPN", out_channels=8, num_outs=3, norm_cfg=dict(type="BN")),
        rpn_head=dict(
            type="frozen_det.RPNHead",
            feat_channels=8,
            anchor_generator=dict(type="mmdet.AnchorGenerator", scales=[4], ratios=[0.5, 1.0, 2.0]),
        ),
        roi_head=dict(roi_head, bbox_roi_extractor=roi_extractor()),
        train_cfg=dict(rpn=rpn, rpn_proposal=proposals, rcnn=rcnn),
        test_cfg=dict(rpn=proposals, rcnn=TEST_CFG),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(dict(type="frozen_det.Detector", num_classes=3, detector=cfg))


def stages(kind="ours", **options):
    """A first stage with its norm statistics moved, and the second stage that starts from it."""
    first = detector(kind, type="mmdet.FasterRCNN", **options)
    with torch.no_grad():
        for name, buffer in first.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
    second = detector(kind, **options)
    second.load_state_dict(first.state_dict())
    return first, second


def batch():
    _, _, samples = scene(num_objects=(3, 2))
    return torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)), samples


def total(losses):
    return sum(v.sum() if torch.is_tensor(v) else sum(v) for k, v in losses.items() if "loss" in k)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_final_layers_move_in_training_norm_statistics_included(kind):
    _, model = stages(kind)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        total(model.loss(*batch())).backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    heads = [f"roi_head.bbox_head.{i}" for i in range(3)] if "cascade" in kind else ["roi_head.bbox_head"]
    layers = [f"{head}.fc_cls" for head in heads]
    assert moved == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert set(model.frozen_tensors()) == set(before) - moved
    assert [part for part in model.modules() if part.training] == [
        model,
        *(model.get_submodule(layer) for layer in layers),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_first_stages_classification_loss_in_eval_mode_and_nothing_else(kind):
    first, second = stages(kind)
    wanted = {k: v for k, v in first.eval().loss(*batch()).items() if "loss_cls" in k and "rpn" not in k}
    got = {k: v for k, v in second.train().loss(*batch()).items() if "loss" in k}
    assert list(got) == list(wanted) and got
    for name, value in wanted.items():
        assert got[name].item() == pytest.approx(value.item(), rel=1e-6)


def test_the_class_weights_are_in_the_loss():
    _, balanced = stages()
    softmax = detector(loss_cls=SOFTMAX)
    softmax.load_state_dict(balanced.state_dict())
    assert balanced.loss(*batch())["loss_cls"].item() != pytest.approx(softmax.loss(*batch())["loss_cls"].item())
    assert balanced.roi_head.bbox_head.loss_cls.class_values.tolist() == pytest.approx(
        [*effective_number_weights([500, 40, 3]), 1.0]
    )


def test_no_autograd_before_the_final_layer_no_mask_head_and_no_rpn_loss_run():
    _, model = stages("ours_masks")
    seen = {}
    model.roi_head.bbox_head.fc_cls.register_forward_hook(
        lambda layer, args, out: seen.update(before=args[0].requires_grad, after=out.requires_grad)
    )
    model.roi_head.mask_head.register_forward_hook(lambda *_: seen.update(masks=True))
    model.rpn_head.loss_by_feat = None  # would raise
    losses = model.train().loss(*batch())
    assert seen == dict(before=False, after=True)
    assert set(losses) == {"loss_cls", "acc"}
    assert model.roi_head.with_mask and "roi_head.mask_head.conv_logits.weight" in model.state_dict()


def test_images_without_objects_are_stood():
    _, model = stages()
    images, samples = batch()
    for sample in samples:
        sample.gt_instances = sample.gt_instances[torch.zeros(len(sample.gt_instances), dtype=torch.bool)]
    loss = total(model.train().loss(images, samples))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(model.roi_head.bbox_head.fc_cls.weight.grad).all()


@pytest.mark.parametrize("kind", ["ours", "hosts", "ours_cascade", "hosts_cascade"])
def test_without_regions_every_final_layer_has_a_gradient_of_zero(kind):
    """As on a process whose images gave none, beside others that have some."""
    _, second = stages(kind)
    second.train()
    second._proposals = lambda features, samples: [sample.ignored_instances.clone() for sample in samples]
    images, samples = batch()
    for sample in samples:
        sample.gt_instances = sample.gt_instances[torch.zeros(len(sample.gt_instances), dtype=torch.bool)]
    losses = second.loss(images, samples)
    assert total(losses) == 0
    total(losses).backward()
    layers = [second.get_submodule(name) for name in second.trained_layers]
    assert all(p.grad is not None and not p.grad.any() for layer in layers for p in layer.parameters())


def test_it_predicts_what_the_first_stage_predicts():
    first, second = stages("ours_cascade")
    images, samples = batch()
    with torch.no_grad():
        wanted = first.eval().predict(images, copy.deepcopy(samples), rescale=False)
        got = second.eval().predict(images, copy.deepcopy(samples), rescale=False)
    for a, b in zip(wanted, got):
        assert torch.equal(a.pred_instances.scores, b.pred_instances.scores)
        assert torch.equal(a.pred_instances.bboxes, b.pred_instances.bboxes)


@pytest.mark.parametrize(
    "loss_cls",
    [dict(type="mmdet.SeesawLoss", num_classes=3), dict(type="frozen_det.EQLV2Loss", num_classes=3)],
    ids=["seesaw", "eqlv2"],
)
@pytest.mark.parametrize("kind", ["ours", "ours_cascade", "hosts_cascade"])
def test_the_hosts_long_tail_losses_train_both_stages(kind, loss_cls):
    first, second = stages(kind, loss_cls=loss_cls)
    total(first.train().loss(*batch())).backward()
    head = first.roi_head.bbox_head[0] if "cascade" in kind else first.roi_head.bbox_head
    assert head.fc_cls.weight.grad.abs().sum() > 0
    held = {name: value.clone() for name, value in second.frozen_tensors().items()}
    losses = second.train().loss(*batch())
    total(losses).backward()
    assert all("loss_cls" in name for name in losses if "loss" in name)
    assert all(p.requires_grad == (".fc_cls." in name) for name, p in second.named_parameters())
    # What these losses count for themselves is theirs to change.
    counted = [name for name in second.state_dict() if ".loss_cls." in name]
    assert counted and not set(counted) & set(held)
    assert all(torch.equal(value, held[name]) for name, value in second.frozen_tensors().items())


def test_a_new_layer_takes_no_values_and_no_shape_from_the_first_stage():
    first, _ = stages()
    second = detector(loss_cls=dict(type="mmdet.SeesawLoss", num_classes=3))
    with pytest.raises(InputError, match="has 4 outputs in the file, 5 in the model.*second_stage.new_layer=True"):
        second.load_state_dict(first.state_dict(), strict=False)
    second.new_layer, before = True, second.roi_head.bbox_head.fc_cls.weight.clone()
    second.load_state_dict(first.state_dict(), strict=False)
    assert torch.equal(second.roi_head.bbox_head.fc_cls.weight, before)
    assert torch.equal(
        second.neck.state_dict()[name := next(iter(first.neck.state_dict()))], first.neck.state_dict()[name]
    )


def test_training_without_a_first_stage_is_refused():
    with pytest.raises(InputError, match=r"no checkpoint was loaded.*load_from="):
        detector().loss(*batch())


def test_a_checkpoint_with_other_classes_a_lost_tensor_or_another_width_is_refused_by_its_name():
    _, model = stages()
    state = model.state_dict()
    classes = {**state, "roi_head.bbox_head.fc_cls.weight": torch.zeros(11, 16)}
    with pytest.raises(InputError, match="has 11 outputs in the file, 4 in the model.*num_classes"):
        model.load_state_dict(classes, strict=False)
    lost = {name: value for name, value in state.items() if name != "roi_head.bbox_head.fc_reg.weight"}
    with pytest.raises(InputError, match=r"1 of \d+ tensors missing.*fc_reg.weight is missing"):
        model.load_state_dict(lost, strict=False)
    wide = {**state, "rpn_head.rpn_cls.bias": torch.zeros(9)}
    with pytest.raises(InputError, match=r"rpn_cls.bias is \(9,\) in the file, \(3,\) in the model"):
        model.load_state_dict(wide, strict=False)


def test_a_refused_checkpoint_does_not_count_as_a_first_stage():
    model = detector()
    with pytest.raises(InputError):
        model.load_state_dict({}, strict=False)
    assert not model.stage_one_loaded


def test_lean_files_stock_names_and_a_losss_own_counts_are_not_missed():
    wanted = {
        "backbone.body.conv.weight": torch.zeros(2),
        "neck.weight": torch.zeros(1),
        "roi_head.bbox_head.loss_cls.cum_samples": torch.zeros(4),
        "neck.num_batches_tracked": torch.zeros(()),
    }
    refuse_misfit({"backbone.base_digest": torch.zeros(32), "neck.weight": torch.zeros(1)}, wanted)
    refuse_misfit({"backbone.conv.weight": torch.zeros(2), "neck.weight": torch.zeros(1)}, wanted)
    with pytest.raises(InputError, match="backbone.body.conv.weight is missing"):
        refuse_misfit({"neck.weight": torch.zeros(1)}, wanted)


def test_a_head_without_a_final_classification_layer_is_refused():
    model = detector(type="mmdet.FasterRCNN")
    del model.roi_head.bbox_head.fc_cls
    with pytest.raises(InputError, match="fc_cls in roi_head.bbox_head"):
        final_layers(model)
