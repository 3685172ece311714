"""Scores, measures of detection and calibration: against their definitions, and hand-made cases with known answers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.robustness.uncertainty import (
    auroc,
    average_precision,
    calibration,
    detection_accuracy,
    detection_measures,
    energy,
    max_logit,
    max_softmax,
    tnr_at_tpr,
)

# Few distinct values, so that ties are the rule.
scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30).map(np.array)


def test_scores_of_logits_that_one_can_add_up_by_hand():
    logits = np.array([[0.0, np.log(3.0)], [1000.0, 1000.0]])
    assert max_softmax(logits) == pytest.approx([0.75, 0.5])
    assert energy(logits) == pytest.approx([np.log(4), 1000 + np.log(2)])
    assert energy(logits[:1], temperature=2) == pytest.approx([2 * np.log(1 + 3**0.5)])
    assert max_logit(logits) == pytest.approx([np.log(3), 1000])


def test_all_scores_are_high_for_the_certain_image():
    certain, unsure = np.array([[9.0, 0.0, 0.0]]), np.array([[1.0, 0.9, 0.8]])
    for score in (max_softmax, energy, max_logit):
        assert score(certain)[0] > score(unsure)[0]


@given(scores, scores)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_measures_are_their_definitions(inside, outside):
    """Pairs and thresholds, one by one."""

    def precision_steps(positive, negative) -> float:
        area, before = 0.0, 0.0
        for threshold in sorted({*positive, *negative}, reverse=True):
            right, wrong = sum(positive >= threshold), sum(negative >= threshold)
            area += (right / len(positive) - before) * right / (right + wrong)
            before = right / len(positive)
        return area

    found = detection_measures(inside, outside)
    pairs = [(a > b) + 0.5 * (a == b) for a in inside for b in outside]
    assert found["auroc"] == pytest.approx(100 * sum(pairs) / len(pairs))
    assert found["aupr_in"] == pytest.approx(100 * precision_steps(inside, outside))
    assert found["aupr_out"] == pytest.approx(100 * precision_steps(-outside, -inside))
    at = [(np.mean(inside >= one), np.mean(outside < one)) for one in (*inside, *outside, np.inf)]
    assert found["tnr_at_tpr95"] == pytest.approx(100 * max(tnr for tpr, tnr in at if tpr >= 0.95 - 1e-9))
    assert found["detection_accuracy"] == pytest.approx(100 * max((tpr + tnr) / 2 for tpr, tnr in at))


def test_twenty_in_and_the_worst_of_them_given_up():
    inside = np.arange(1.0, 21.0)  # 19 of 20 are kept at a threshold of 2
    outside = np.array([0.5, 1.5, 1.9, 2.0, 30.0])
    assert tnr_at_tpr(inside, outside) == pytest.approx(3 / 5)
    assert detection_measures(inside, outside)["fpr_at_tpr95"] == pytest.approx(40)


def test_in_and_out_are_not_exchangeable():
    inside, outside = np.array([3.0, 3.0, 3.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert auroc(inside, outside) == pytest.approx(0.75)
    assert auroc(outside, inside) == pytest.approx(0.25)
    assert tnr_at_tpr(inside, outside) == 0  # all in must be kept: down to 0
    assert tnr_at_tpr(-outside, -inside) == pytest.approx(0.75)
    assert average_precision(inside, outside) != pytest.approx(average_precision(-outside, -inside))


def test_separate_sets_are_separated_and_equal_ones_are_not():
    apart = detection_measures(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert set(apart.values()) == {100.0, 0.0} and apart["fpr_at_tpr95"] == 0
    same = detection_measures(np.ones(4), np.ones(4))
    assert (same["auroc"], same["tnr_at_tpr95"], same["detection_accuracy"]) == (50, 0, 50)


def test_accuracy_below_chance_is_answered_by_keeping_none():
    assert detection_accuracy(np.array([0.0]), np.array([1.0])) == 0.5


@pytest.mark.parametrize("inside, outside", [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])])
def test_sets_that_hold_no_scores_are_refused(inside, outside):
    with pytest.raises(InputError, match="finite scores of at least one"):
        detection_measures(np.array(inside), np.array(outside))


def test_calibration_of_two_bins_by_hand():
    found = calibration(np.array([0.2, 0.4, 0.9, 1.0]), np.array([1, 0, 1, 0], bool), num_bins=2)
    assert found.count.tolist() == [2, 2]
    assert found.accuracy == pytest.approx([0.5, 0.5]) and found.confidence == pytest.approx([0.3, 0.95])
    assert found.error == pytest.approx((0.2 + 0.45) / 2) and found.largest_gap == pytest.approx(0.45)


def test_a_border_belongs_to_the_lower_bin_and_empty_bins_count_nothing():
    found = calibration(np.array([0.0, 0.5, 0.5]), np.array([0, 1, 0], bool), num_bins=2)
    assert found.count.tolist() == [3, 0] and np.isnan(found.accuracy[1])
    assert found.error == pytest.approx(0)


@pytest.mark.parametrize(
    "confidence, right, bins", [([], [], 15), ([1.2], [True], 15), ([0.5], [True], 0), ([0.5], [True, False], 15)]
)
def test_what_is_no_confidence_is_refused(confidence, right, bins):
    with pytest.raises(InputError, match="expected"):
        calibration(np.array(confidence), np.array(right), bins)
