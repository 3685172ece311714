"""The stand-ins for mmcv's focal losses equal the formulas of the paper and their derivatives by autograd."""

import math

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.host import mmcv_ops

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")

LOGITS = torch.tensor([[0.3, -2.0, 1.5], [4.0, 0.0, -1.0], [0.5, 0.5, -3.0], [-9.0, 2.0, 7.0]], dtype=torch.float64)
GAMMA, ALPHA = 1.5, 0.3


def _slow_sigmoid(logits, labels, weight):
    """FL = -a_t (1 - p_t)^gamma log p_t, one number at a time."""
    rows = []
    for row, label in zip(logits.unbind(), labels.tolist()):
        for column, x in enumerate(row.unbind()):
            p = 1 / (1 + torch.exp(-x))
            p_t, a_t = (p, ALPHA) if column == label else (1 - p, 1 - ALPHA)
            rows.append(-a_t * (1 - p_t) ** GAMMA * torch.log(p_t) * (1.0 if weight is None else weight[label]))
    return torch.stack(rows).view(logits.shape)


def _slow_softmax(logits, labels, weight):
    rows = []
    for row, label in zip(logits.unbind(), labels.tolist()):
        p = torch.exp(row[label]) / torch.exp(row).sum()
        loss = -ALPHA * (1 - p) ** GAMMA * torch.log(p) * (1.0 if weight is None else weight[label])
        rows.append(loss if label >= 0 else row.sum() * 0)
    return torch.stack(rows)


CASES = [
    ("sigmoid", _slow_sigmoid, [0, 2, 3, 1]),  # 3: background, negative for every class
    ("softmax", _slow_softmax, [0, 2, -1, 1]),
]  # -1: ignored


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("kind, slow, labels", CASES, ids=["sigmoid", "softmax"])
def test_loss_and_gradient_equal_the_formula(kind, slow, labels, reduction):
    import mmcv.ops

    reduce = {"none": lambda x: x, "mean": lambda x: x.sum() / len(LOGITS), "sum": torch.sum}[reduction]
    ours, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    labels = torch.tensor(labels)
    loss = getattr(mmcv.ops, f"{kind}_focal_loss")(ours * 1, labels, GAMMA, ALPHA, None, reduction)
    expected = reduce(slow(theirs, labels, None))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-14)
    if (kind, reduction) == ("softmax", "none"):
        return  # mmcv's own wrapper cannot differentiate it: it multiplies (N, C) by (N,)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind, slow", [("sigmoid", _slow_sigmoid), ("softmax", _slow_softmax)])
def test_each_row_counts_by_the_weight_of_its_label(kind, slow):
    import mmcv.ops

    labels, weight = torch.tensor([0, 2, 1, 1]), torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    ours, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    loss = getattr(mmcv.ops, f"{kind}_focal_loss")(ours * 1, labels, GAMMA, ALPHA, weight, "sum")
    expected = slow(theirs, labels, weight).sum()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def test_it_equals_mmdets_own_loss_for_processors():
    """mmdet takes mmcv's operator on a GPU and its own arithmetic elsewhere: a detector must train the same on both."""
    from mmcv.ops import sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    labels = torch.tensor([0, 2, 3, 1])
    one_hot = torch.nn.functional.one_hot(labels, 4)[:, :3]
    torch.testing.assert_close(
        sigmoid_focal_loss(LOGITS, labels, 2.0, 0.25, None, "none"),
        py_sigmoid_focal_loss(LOGITS, one_hot, gamma=2.0, alpha=0.25, reduction="none"),
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_and_impossible_answers_have_finite_losses_and_gradients(gamma):
    from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss

    extreme = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for loss in (sigmoid_focal_loss, softmax_focal_loss):
        right, wrong = (loss(row * 1, torch.tensor([0]), gamma, 0.25, None, "sum") for row in extreme[:, None])
        (slope,) = torch.autograd.grad(right + wrong, extreme)
        assert float(right.detach()) == 0.0 and torch.isfinite(slope).all()
        # The false answer counts once in the softmax loss, and for both of its columns in the sigmoid loss.
        largest = -math.log(1.1754943508222875e-38)
        factor = 0.25 + (0.75 if loss is sigmoid_focal_loss else 0)
        assert float(wrong.detach()) == pytest.approx(factor * largest)


def test_no_rows_have_no_loss():
    from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss

    for loss in (sigmoid_focal_loss, softmax_focal_loss):
        nothing = torch.zeros(0, 3, requires_grad=True)
        value = loss(nothing * 1, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum")
        value.backward()
        assert float(value.detach()) == 0.0 and nothing.grad.shape == (0, 3)


def test_half_precision_computes_in_single_and_returns_half():
    from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss

    labels = torch.tensor([0, 2, 1, 1])
    short = LOGITS.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = sigmoid_focal_loss(short.requires_grad_() * 1, labels, 2.0, 0.25, None, "none")
    assert found.dtype == torch.bfloat16
    exact = sigmoid_focal_loss(short.detach().float(), labels, 2.0, 0.25, None, "none")
    assert torch.equal(found, exact.bfloat16())
    assert softmax_focal_loss(short.detach() * 1, labels, 2.0, 0.25, None, "none").dtype == torch.bfloat16


def test_a_label_without_a_class_or_a_weight_is_refused_by_its_value():
    from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss

    with pytest.raises(InputError, match="label is 3, but the last possible one is 2"):
        softmax_focal_loss(LOGITS[:1] * 1, torch.tensor([3]))
    with pytest.raises(InputError, match="label is 4, but the last possible one is 3"):
        sigmoid_focal_loss(LOGITS[:1], torch.tensor([4]))
    with pytest.raises(InputError, match="label is 3, but the last possible one is 2"):
        sigmoid_focal_loss(LOGITS[:1], torch.tensor([3]), 2.0, 0.25, torch.ones(3).double())
    with pytest.raises(InputError, match="label is -1, and there is no weight"):
        sigmoid_focal_loss(LOGITS[:1], torch.tensor([-1]), 2.0, 0.25, torch.ones(3).double())
