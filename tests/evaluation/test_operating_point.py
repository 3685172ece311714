"""The threshold with the best F1 is found exactly, its ties are broken as stated, and its decimals change nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.evaluation.operating_point import score_curve, short_between


def curve(pairs, num_objects):
    return score_curve(np.array([score for score, _ in pairs]), np.array([right for _, right in pairs]), num_objects)


def test_precision_recall_and_f1_of_three_detections():
    found = curve([(0.5, False), (0.9, True), (0.2, True)], num_objects=4)
    assert found.scores.tolist() == [0.9, 0.5, 0.2]
    assert found.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert found.recall.tolist() == [1 / 4, 1 / 4, 2 / 4]
    assert found.f1.tolist() == [2 / 5, 2 / 6, 4 / 7]
    assert found.best.threshold == 0.2 and found.best.f1 == 4 / 7


def test_of_equal_f1_the_highest_threshold_is_taken():
    # One of two objects with one detection: 2/3; both with four detections: 4/6.
    found = curve([(0.9, True), (0.4, False), (0.3, False), (0.2, True)], num_objects=2)
    assert found.f1[0] == found.f1[3] == found.f1.max()
    assert found.best.threshold == 0.9


def test_detections_of_one_score_are_kept_or_cut_together():
    found = curve([(0.5, True), (0.5, False), (0.5, True)], num_objects=2)
    assert found.scores.tolist() == [0.5] and found.f1.tolist() == [4 / 5]


@pytest.mark.parametrize("pairs, num_objects", [([], 3), ([(0.9, False)], 3)], ids=["no detections", "nothing right"])
def test_there_is_no_threshold_where_nothing_right_was_found(pairs, num_objects):
    assert curve(pairs, num_objects).best is None


def test_without_an_object_nothing_is_said():
    assert curve([(0.9, False)], num_objects=0) is None


def test_a_threshold_is_written_with_the_fewest_decimals_that_keep_the_same():
    assert short_between(0.3, 0.38172) == 0.38
    assert short_between(0.38, 0.38172) == 0.381
    assert short_between(0.3817, 0.38172) == 0.38172
    assert short_between(float(np.nextafter(0.5, 0)), 0.5) == 0.5


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=30), st.integers(0, 5))
def test_the_best_threshold_is_the_best_of_all_tried_one_by_one(pairs, num_missed):
    num_objects = sum(right for _, right in pairs) + num_missed
    if num_objects == 0:
        return
    tried = {}
    for threshold, _ in pairs:
        kept = [right for score, right in pairs if score >= threshold]
        tried[threshold] = 2 * sum(kept) / (len(kept) + num_objects)
    best = curve(pairs, num_objects).best
    if max(tried.values()) == 0:
        assert best is None
        return
    place = max(threshold for threshold, f1 in tried.items() if f1 == max(tried.values()))
    assert best.f1 == tried[place]
    assert [score for score, _ in pairs if score >= best.threshold] == [score for score, _ in pairs if score >= place]
