"""Student's t against published tables, and no claim where too few seeds stand behind it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.reports.statistics import correct, paired_test


def test_the_interval_is_that_of_the_tables():
    # One and four degrees of freedom: 12.7062 and 2.77645 standard errors.
    two = paired_test({0: 0.0, 1: 0.0}, {0: 1.0, 1: 3.0})
    assert two.interval == pytest.approx((2 - 12.7062, 2 + 12.7062), rel=2e-5)
    five = paired_test(dict.fromkeys(range(5), 0.0), dict(enumerate([-2.0, -1.0, 0.0, 1.0, 2.0])))
    half = 2.77645 * (2.5 / 5) ** 0.5
    assert five.interval == pytest.approx((-half, half), rel=2e-5) and five.p == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.floats(-1, 1))
def test_swapping_the_groups_turns_the_sign_and_nothing_else(values, shift):
    first = dict(enumerate(values))
    second = {seed: value * 0.5 + shift for seed, value in first.items()}
    one, other = paired_test(first, second), paired_test(second, first)
    assert one.mean == pytest.approx(-other.mean) and one.p == pytest.approx(other.p, abs=1e-9)


def test_a_textbook_example():
    # Student's sleep data (Biometrika 6, 1908): t = -4.0621, 9 degrees of freedom, p = 0.002833.
    first = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
    second = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))
    found = paired_test(first, second)
    assert found.mean == pytest.approx(1.58) and found.p == pytest.approx(0.002833, abs=1e-6)
    assert found.interval == pytest.approx((0.7001, 2.4599), abs=1e-4) and found.verdict == "higher"
    assert paired_test(second, first).verdict == "lower"


def test_only_common_seeds_count():
    found = paired_test({0: 0.1, 1: 0.2, 7: 0.9}, {1: 0.3, 0: 0.2, 8: 0.0})
    assert found.num_seeds == 2 and found.differences == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ({}, {0: 1.0}, "no common seed"),
        ({0: 0.1}, {0: 0.9}, "not distinguishable with n = 1"),
        ({0: 0.1, 1: 0.1}, {0: 0.9, 1: 0.9}, "not distinguishable with n = 2"),
        ({0: 0.1, 1: 0.5, 2: 0.3}, {0: 0.4, 1: 0.2, 2: 0.3}, "not distinguishable"),
        ({0: 0.3, 1: 0.3, 2: 0.3}, {0: 0.3, 1: 0.3, 2: 0.3}, "not distinguishable"),
        ({0: 0.3, 1: 0.3, 2: 0.3}, {0: 0.4, 1: 0.4, 2: 0.4}, "higher"),
    ],
)
def test_few_seeds_claim_nothing_however_large_the_difference(first, second, verdict):
    assert paired_test(first, second).verdict == verdict


def test_many_comparisons_are_corrected_and_small_ones_do_not_count_among_them():
    def groups(spread):
        return {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}, {0: 1.0, 1: 1.0 + spread, 2: 1.0 - spread, 3: 1.0}

    tests = [paired_test(*groups(spread)) for spread in (0.6, 0.1, 0.3)] + [paired_test({0: 0.0}, {0: 1.0})]
    single = [test.p for test in tests]
    correct(tests)
    assert tests[1].p_holm == pytest.approx(3 * single[1]) and tests[2].p_holm == pytest.approx(2 * single[2])
    assert tests[0].p_holm == pytest.approx(max(single[0], 2 * single[2])) and tests[3].p_holm is None
