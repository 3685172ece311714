"""ConvFCBBoxHead and HuberLoss: against mmdet's where they agree, written out where they do not."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.losses import SmoothL1Loss
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead as HostHead
from mmdet.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

from frozen_det.errors import InputError
from frozen_det.models.losses.huber_loss import HuberLoss
from frozen_det.models.roi_heads.bbox_head import ConvFCBBoxHead

SMALL = dict(
    num_shared_convs=2, num_shared_fcs=2, in_channels=4, conv_out_channels=6, fc_out_channels=16, num_classes=3
)


class CountConvolutions(TorchDispatchMode):
    """Counts forward convolutions that run while it is entered."""

    forward_calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.forward_calls += func.overloadpacket in (torch.ops.aten.convolution, torch.ops.aten.mkldnn_convolution)
        return func(*args, **(kwargs or {}))


def targets(labels, num_classes=3):
    labels = torch.tensor(labels)
    g = torch.Generator().manual_seed(1)
    n = len(labels)
    weights = (labels < num_classes).double()[:, None].expand(-1, 4)
    return dict(
        cls_score=torch.randn(n, num_classes + 1, generator=g).double(),
        bbox_pred=torch.randn(n, 4, generator=g).double(),
        rois=torch.zeros(n, 5).double(),
        labels=labels,
        label_weights=torch.ones(n).double(),
        bbox_targets=torch.randn(n, 4, generator=g).double() * weights,
        bbox_weights=weights,
    )


def test_without_norm_and_with_mmdets_divisor_it_is_mmdets_head_key_by_key():
    ours = ConvFCBBoxHead(norm_cfg=None, act_cfg=dict(type="ReLU"), box_loss_divisor="sampled", **SMALL)
    theirs = HostHead(reg_class_agnostic=True, **SMALL)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(5, 4, 7, 7)
    assert all(torch.equal(a, b) for a, b in zip(ours(x), theirs(x)))
    batch = targets([0, 3, 2, 3, 1])
    assert all(torch.equal(a, b) for a, b in zip(ours.loss(**batch).values(), theirs.loss(**batch).values()))


def test_every_convolution_and_linear_layer_is_followed_by_norm_and_swish():
    head = ConvFCBBoxHead(**SMALL).double().train()
    x = torch.randn(5, 4, 7, 7, dtype=torch.float64)
    y = x

    def norm_act(y, axes):
        mean, var = y.mean(axes, keepdim=True), y.var(axes, keepdim=True, unbiased=False)
        y = (y - mean) / (var + 1e-4).sqrt()
        return y * y.sigmoid()

    for conv in head.shared_convs:
        y = norm_act(torch.nn.functional.conv2d(y, conv.conv.weight, conv.conv.bias, padding=1), (0, 2, 3))
    y = y.flatten(1)
    for fc in head.shared_fcs:
        y = norm_act(y @ fc.weight.T + fc.bias, 0)
    expected = [y @ out.weight.T + out.bias for out in (head.fc_cls, head.fc_reg)]
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(head(x), expected))


def test_checkpointing_keeps_less_and_changes_nothing_and_runs_no_convolution_twice():
    plain = ConvFCBBoxHead(**{**SMALL, "num_shared_convs": 4}).double().train()
    saving = copy.deepcopy(plain)
    saving.with_checkpoint = True
    x = torch.randn(6, 4, 7, 7, dtype=torch.float64)
    results, kept = [], []
    for head in (plain, saving):
        sizes, own = {}, {p.data_ptr() for p in head.parameters()}

        def pack(t, sizes=sizes, own=own):
            if t.data_ptr() not in own and t.dim() == 4 and t.shape[1] == 6:
                sizes[t.untyped_storage().data_ptr()] = t.numel()
            return t

        leaf = x.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = head(leaf)
        kept.append(sum(sizes.values()))
        with CountConvolutions() as counted:
            grads = torch.autograd.grad(sum(o.square().sum() for o in out), [leaf, *head.parameters()])
        assert counted.forward_calls == 0
        results.append([*out, *grads, *head.buffers()])
    with CountConvolutions() as counted, torch.no_grad():
        copy.deepcopy(plain)(x)
    assert counted.forward_calls == 4
    assert kept[1] < 0.4 * kept[0]
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(*results))
    assert all(int(b) == 1 for name, b in saving.named_buffers() if name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("labels", [[0, 3, 2, 3, 1, 3, 3, 3], [3, 3], [1]])
def test_box_loss_is_divided_by_four_numbers_per_positive(labels):
    head = ConvFCBBoxHead(**SMALL)
    batch = targets(labels)
    total, positives = 0.0, 0
    for label, pred, target in zip(labels, batch["bbox_pred"].tolist(), batch["bbox_targets"].tolist()):
        if label < 3:
            positives += 1
            total += sum(0.5 * (p - t) ** 2 if abs(p - t) < 1 else abs(p - t) - 0.5 for p, t in zip(pred, target))
    assert head.loss(**batch)["loss_bbox"].item() == pytest.approx(total / (4 * positives + 0.01), rel=1e-6)


def test_the_authors_divisor_weighs_boxes_more_than_mmdets_when_few_regions_are_positive():
    ours, theirs = ConvFCBBoxHead(**SMALL), ConvFCBBoxHead(box_loss_divisor="sampled", **SMALL)
    batch = targets([0] + [3] * 15)
    a, b = ours.loss(**batch), theirs.loss(**batch)
    assert (a["loss_bbox"] / b["loss_bbox"]).item() == pytest.approx(16 / 4.01, rel=1e-6)
    assert torch.equal(a["loss_cls"], b["loss_cls"])


@pytest.mark.parametrize("rows", [0, 1])
def test_no_region_or_one_is_normalised_by_running_statistics_that_stay(rows):
    head = ConvFCBBoxHead(**SMALL).train()
    before = copy.deepcopy(head.state_dict())
    scores, boxes = head(torch.randn(rows, 4, 7, 7))
    assert scores.shape == (rows, 4) and boxes.shape == (rows, 4) and scores.isfinite().all()
    after = head.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if "shared_fcs" in k)


def test_initial_weights_are_the_authors():
    head = ConvFCBBoxHead(num_classes=80)
    fc = head.shared_fcs[1].weight
    assert fc.abs().max().item() <= 1 / 32 and fc.std().item() == pytest.approx(1 / 32 / math.sqrt(3), rel=0.01)
    assert head.shared_convs[0].conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.01)
    assert head.fc_cls.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert head.fc_reg.weight.std().item() == pytest.approx(0.001, rel=0.05)
    before = copy.deepcopy(head.state_dict())
    head.init_weights()
    assert all(torch.equal(before[k], v) for k, v in head.state_dict().items())


def test_group_norm_serves_convolutions_and_linear_layers_alike():
    head = ConvFCBBoxHead(**{**SMALL, "norm_cfg": dict(type="GN", num_groups=2)}).train()
    assert [t.shape[0] for t in head(torch.randn(1, 4, 7, 7))] == [1, 1]
    assert {type(m).__name__ for m in head.modules() if "Norm" in type(m).__name__} >= {"GroupNorm"}


def test_separate_class_and_box_branches_are_built_as_in_mmdet():
    head = ConvFCBBoxHead(
        num_shared_convs=1,
        num_shared_fcs=0,
        num_cls_convs=1,
        num_cls_fcs=1,
        num_reg_convs=1,
        in_channels=4,
        conv_out_channels=6,
        fc_out_channels=16,
        num_classes=3,
        reg_class_agnostic=False,
    )
    assert [tuple(t.shape) for t in head(torch.randn(2, 4, 7, 7))] == [(2, 4), (2, 12)]


def test_an_unknown_divisor_is_refused():
    with pytest.raises(InputError, match="'positives' or 'sampled'"):
        ConvFCBBoxHead(box_loss_divisor="all")


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-5, 5), delta=st.floats(0.05, 3))
def test_huber_is_delta_times_mmdets_smooth_l1_and_continuous_at_delta(x, delta):
    pred, zero = torch.tensor([x], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    ours = HuberLoss(delta=delta)(pred, zero).item()
    assert ours == pytest.approx(delta * SmoothL1Loss(beta=delta)(pred, zero).item(), rel=1e-9, abs=1e-12)
    assert ours == pytest.approx(x * x / 2 if abs(x) <= delta else delta * (abs(x) - delta / 2), rel=1e-9, abs=1e-12)


def test_huber_weights_and_averages_as_mmdets_losses_do():
    loss = MODELS.build(dict(type="frozen_det.HuberLoss", delta=1.0, loss_weight=2.0))
    pred, target = torch.tensor([0.5, 3.0, 9.0]), torch.zeros(3)
    weight = torch.tensor([1.0, 1.0, 0.0])
    assert loss(pred, target, weight, avg_factor=4).item() == pytest.approx(2 * (0.125 + 2.5) / 4)
    assert loss(pred, target, weight, reduction_override="none").tolist() == [0.25, 5.0, 0.0]
    with pytest.raises(InputError, match="delta above 0"):
        HuberLoss(delta=0.0)
