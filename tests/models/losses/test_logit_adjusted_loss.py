"""Logit adjustment: equation 10 of arXiv 2007.07314, objects against background as before."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.models.losses.logit_adjusted_loss import LogitAdjustedLoss, logit_shifts

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any)


def test_the_loss_is_the_papers_over_classes_for_objects_alone():
    counts, tau = [500, 40, 3], 1.5
    logits = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    priors = torch.tensor(counts) / sum(counts)
    # Without background the common part of the shifts cancels.
    logits[:, 3] = -math.inf
    adjusted = logits[:, :3] + tau * priors.double().log()
    wanted = (adjusted.exp().sum(1) / adjusted.exp()[range(6), labels]).log()
    loss = LogitAdjustedLoss(num_instances=counts, tau=tau, loss_weight=2.0)
    assert torch.allclose(loss(logits, labels, reduction_override="none").double(), 2 * wanted, rtol=1e-5)
    assert loss(logits, labels).item() == pytest.approx(2 * wanted.mean().item(), rel=1e-5)


@given(COUNTS, st.floats(0, 3))
def test_an_instance_drawn_at_random_is_not_shifted_on_average_and_ratios_are_those_of_the_counts(counts, tau):
    shifts = logit_shifts(counts, tau)
    assert sum(n * one for n, one in zip(counts, shifts)) / sum(counts) == pytest.approx(0, abs=1e-9)
    rarest, most = min(counts), max(counts)
    gap = shifts[counts.index(most)] - shifts[counts.index(rarest)]
    assert gap == pytest.approx(tau * math.log(most / max(rarest, 1)), abs=1e-9)


def test_tau_0_is_the_plain_softmax_loss_and_the_background_is_never_shifted():
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 3])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert LogitAdjustedLoss(num_instances=[9, 2, 1], tau=0.0)(logits, labels).item() == pytest.approx(plain.item())
    shifted = LogitAdjustedLoss(num_instances=[9, 2, 1])
    shifted.init_weights()
    assert shifted.class_values[3] == 0 and shifted.class_values[0] > 0 > shifted.class_values[2]
    assert not shifted.state_dict()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(num_instances=[1], tau=-1.0), "tau from 0 on, got -1"),
        (dict(num_instances=[1], tau=math.nan), "tau from 0 on, got nan"),
        (dict(), "one of ann_file and num_instances in LogitAdjustedLoss, got neither"),
    ],
)
def test_contradicting_settings_are_refused_when_it_is_built(options, said):
    with pytest.raises(InputError, match=said):
        LogitAdjustedLoss(**options)


def test_counts_without_any_instance_are_refused():
    with pytest.raises(InputError, match=r"some instance, got \[0, 0\]"):
        logit_shifts([0, 0])
