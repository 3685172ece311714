"""What the pages of detectors and of classifiers say alike of groups of runs that are compared."""

from types import SimpleNamespace

import pytest

from frozen_det.reports.comparison import Comparison, claim, interval_and_p, paired_tests, signed, unfinished
from frozen_det.reports.groups import RunGroup, spread_words
from frozen_det.reports.statistics import PairedTest

LOW, HIGH, NEAR = (1.0, 1.2, 1.1), (3.0, 3.3, 3.1), (1.1, 1.1, 1.1)


def group(label, values) -> RunGroup:
    return RunGroup(label, [SimpleNamespace(seed=seed, number=value) for seed, value in enumerate(values)])


def compared(*groups) -> list[Comparison]:
    """Every group against the first."""
    pairs = [(groups[0], other) for other in groups[1:]]
    return [Comparison(*pair, test) for pair, test in zip(pairs, paired_tests(pairs, lambda run: run.number))]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"b": HIGH}, "b is higher than a (n = 3)."),
        ({"b": HIGH, "c": NEAR, "d": HIGH[:2]}, "b is higher than a (n = 3); 2 other comparisons not distinguishable."),
        ({"b": NEAR}, "1 comparison, not distinguishable."),
        ({"b": NEAR, "c": HIGH[:2]}, "2 comparisons, not distinguishable."),
        (
            {"b": HIGH[:2], "c": HIGH[:1]},
            "Not distinguishable: with 2 common seeds a difference between groups cannot be told from chance. "
            "The differences below are what was seen, not what is so.",
        ),
    ],
)
def test_a_claim_is_no_larger_than_its_seeds_carry(others, words):
    assert claim(compared(group("a", LOW), *(group(*one) for one in others.items()))) == words


def test_the_p_values_of_a_page_are_corrected_together():
    two = [pair.test for pair in compared(group("a", LOW), group("b", HIGH), group("c", NEAR))]
    alone = compared(group("a", LOW), group("b", HIGH))[0].test
    assert alone.p_holm == alone.p and two[0].p_holm == pytest.approx(2 * alone.p)


def test_cells_have_the_digits_of_their_page_a_minus_and_nothing_for_none():
    test = PairedTest(3, [], -1.0, (-2.04, 0.26), 0.0004, 0.0123)
    assert interval_and_p(test, 1) == ["−2.0 to +0.3", "< 0.001", "0.012"]
    assert interval_and_p(test, 2) == ["−2.04 to +0.26", "< 0.001", "0.012"]
    assert interval_and_p(PairedTest(1, [0.5], 0.5), 1) == ["", "", ""]
    assert [signed(-0.25, 2), signed(4.0, 1), signed(None, 1)] == ["−0.25", "+4.0", ""]
    assert [spread_words(one, 2) for one in ((41.0, 1.4), (41.0, None), None)] == ["41.00 ± 1.40", "41.00", ""]


def test_runs_that_are_not_at_their_end_are_named_and_no_others():
    runs = [SimpleNamespace(seed=0, unfinished=None), SimpleNamespace(seed=1, unfinished="2 of 9 epochs")]
    assert unfinished([RunGroup("a", runs)]) == "Run not finished: intermediate results of a, seed 1 (2 of 9 epochs)."
    assert unfinished([RunGroup("a", runs[:1])]) == ""
