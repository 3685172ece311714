"""Soft targets of the recipes and the losses on them, against timm's and PyTorch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy as TimmBinaryCrossEntropy

from frozen_det.errors import InputError
from frozen_det.ops.mixing import draw_mixing, kept_share
from frozen_det.registry import MODELS
from frozen_det.upstream.losses import BinaryCrossEntropy, SoftTargetCrossEntropy

LABELS_A, LABELS_B = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 2, 2, 0])


def test_cross_entropy_of_plain_labels_is_pytorchs_with_and_without_smoothing():
    logits = 3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    for smoothing in (0.0, 0.1):
        loss = SoftTargetCrossEntropy(smoothing)
        targets = loss.targets(LABELS_A, LABELS_A, 1.0, 5)
        expected = F.cross_entropy(logits, LABELS_A, label_smoothing=smoothing)
        assert loss(logits, targets).item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.15, 0.5, 0.75, 0.9, 1.0])
def test_targets_and_loss_of_a2_are_those_of_timm(lam):
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    partners = torch.arange(4).flip(0)  # timm's pairs
    ours, theirs = BinaryCrossEntropy(target_threshold=0.2), TimmBinaryCrossEntropy(smoothing=0.0, target_threshold=0.2)
    targets = ours.targets(LABELS_A, LABELS_A[partners], lam, 6)
    soft = mixup_target(LABELS_A, 6, lam, smoothing=0.0)
    assert torch.equal(targets, soft.gt(0.2).float())
    assert ours(logits, targets).item() == pytest.approx(theirs(logits, soft).item(), abs=1e-7)


def test_smoothing_before_the_threshold_is_erased_but_after_it_stays():
    # timm's order: smoothed targets, thresholded by the loss.
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(2))
    theirs = TimmBinaryCrossEntropy(smoothing=0.0, target_threshold=0.2)
    smoothed, plain = (mixup_target(LABELS_A, 10, 0.6, smoothing=eps) for eps in (0.1, 0.0))
    assert theirs(logits, smoothed) == theirs(logits, plain)
    # Ours for A1.
    for threshold in (None, 0.2):
        targets = BinaryCrossEntropy(0.1, threshold).targets(LABELS_A, LABELS_B, 0.6, 10)
        assert targets[0].tolist() == pytest.approx([0.91, 0.01, 0.01, 0.91] + 6 * [0.01])
        assert targets[2].max().item() == pytest.approx(0.91)  # both partners of one class


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_in_timms_order_targets_and_loss_are_timms_smoothing_and_all(threshold):
    labels, logits = torch.tensor([0, 1, 2, 3]), torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    loss = BinaryCrossEntropy(
        label_smoothing=0.1, target_threshold=threshold, smooth_first=True, sum_to_one=threshold is None
    )
    theirs = mixup_target(labels, 5, 0.7, smoothing=0.1)
    found = loss(logits, loss.targets(labels, labels.flip(0), 0.7, 5))
    assert found.item() == pytest.approx(TimmBinaryCrossEntropy(0.1, threshold)(logits, theirs).item(), abs=1e-6)


def test_the_threshold_decides_between_one_and_two_positives():
    loss = BinaryCrossEntropy(target_threshold=0.2)
    assert loss.targets(LABELS_A, LABELS_B, 0.85, 4).sum(1).tolist() == [1, 1, 1, 1]
    targets = loss.targets(LABELS_A, LABELS_B, 0.75, 4)
    assert targets.sum(1).tolist() == [2, 2, 1, 2]
    assert targets[2].tolist() == [0, 0, 1, 0] and set(targets.unique().tolist()) == {0.0, 1.0}
    assert BinaryCrossEntropy().targets(LABELS_A, LABELS_B, 0.999, 4).sum(1).tolist() == [2, 2, 1, 2]
    assert BinaryCrossEntropy().targets(LABELS_A, LABELS_B, 1.0, 4).sum(1).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("kind, alpha, expected", [("cutmix", 1.0, 0.69), ("mixup", 0.1, 0.12), ("mixup", 0.2, 0.21)])
def test_two_positives_are_as_frequent_as_measured_with_timm(kind, alpha, expected):
    from frozen_det.ops.mixing import cutmix_box

    generator = torch.Generator().manual_seed(0)
    draws = [draw_mixing(2, alpha, generator) for _ in range(6000)]
    lams = [kept_share((224, 224), cutmix_box((224, 224), d)) if kind == "cutmix" else d.lam for d in draws]
    two = [lam > 0.2 and 1 - lam > 0.2 for lam in lams]
    assert np.mean(two) == pytest.approx(expected, abs=0.02)


def test_the_reduction_is_a_mean_over_classes_unless_a_sum_is_requested():
    labels, logits = torch.arange(8), torch.zeros(8, 1000)
    losses = [BinaryCrossEntropy(target_threshold=0.2, sum_classes=s) for s in (False, True)]
    values = [loss(logits, loss.targets(labels, labels, 1.0, 1000)).item() for loss in losses]
    assert values == pytest.approx([np.log(2), 1000 * np.log(2)], rel=1e-5)  # 0.693, 693


def test_targets_that_sum_to_one_are_the_weights_whatever_the_threshold():
    targets = BinaryCrossEntropy(target_threshold=0.2, sum_to_one=True).targets(LABELS_A, LABELS_B, 0.85, 4)
    assert targets[0].tolist() == pytest.approx([0.85, 0, 0, 0.15]) and targets[2, 2] == 1
    assert torch.allclose(targets, SoftTargetCrossEntropy().targets(LABELS_A, LABELS_B, 0.85, 4))
    smoothed = BinaryCrossEntropy(0.1, sum_to_one=True).targets(LABELS_A, LABELS_B, 0.85, 4)
    assert torch.allclose(smoothed.sum(1), torch.ones(4))


def test_gradients_reach_the_logits_and_lower_the_loss():
    for loss in (SoftTargetCrossEntropy(0.1), BinaryCrossEntropy(0.1, 0.2)):
        logits = torch.zeros(4, 5, requires_grad=True)
        targets = loss.targets(LABELS_A, LABELS_B, 0.6, 5)
        value = loss(logits, targets)
        value.backward()
        assert loss(logits.detach() - logits.grad, targets) < value


@pytest.mark.parametrize(
    "wrong, key",
    [
        (dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=1.0), "loss.label_smoothing"),
        (dict(type="frozen_det.BinaryCrossEntropy", label_smoothing=-0.1), "loss.label_smoothing"),
        (dict(type="frozen_det.BinaryCrossEntropy", target_threshold=1.0), "loss.target_threshold"),
    ],
)
def test_values_out_of_range_are_refused(wrong, key):
    with pytest.raises(InputError, match=key):
        MODELS.build(wrong)
