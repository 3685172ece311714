"""Run groups against each other: the paired test of every pair, and what all pages say of it alike.

Which pairs are compared, what a pair is called and which difference is shown is a page's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..pages.blocks import MISSING
from ..pages.words import counted
from .groups import RunGroup
from .run_record import RunRecord
from .statistics import FEWEST_SEEDS, PairedTest, correct, paired_test


@dataclass
class Comparison:
    """Two groups and the paired test over their common seeds; differences are second minus first."""

    first: RunGroup
    second: RunGroup
    test: PairedTest

    @property
    def words(self) -> str:
        """'second − first'."""
        return f"{self.second.label} − {self.first.label}"


def paired_tests(
    pairs: Sequence[tuple[RunGroup, RunGroup]], number: Callable[[RunRecord], float | None]
) -> list[PairedTest]:
    """The paired test of every pair on ``number(run)``, p values corrected together."""
    tests = [paired_test(first.by_seed(number), second.by_seed(number)) for first, second in pairs]
    correct(tests)
    return tests


def claim(pairs: Sequence[Comparison]) -> str:
    """A sentence on one pair or more that claims no more than the seeds carry."""
    most = max(pair.test.num_seeds for pair in pairs)
    if most < FEWEST_SEEDS:
        return (
            f"Not distinguishable: with {counted(most, 'common seed')} a difference between groups cannot be told "
            "from chance. The differences below are what was seen, not what is so."
        )
    parts = [
        f"{pair.second.label} is {pair.test.verdict} than {pair.first.label} (n = {pair.test.num_seeds})"
        for pair in pairs
        if pair.test.verdict in ("higher", "lower")
    ]
    rest = len(pairs) - len(parts)
    if rest:
        words = f"{counted(rest, 'other comparison')}" if parts else f"{counted(rest, 'comparison')},"
        parts.append(f"{words} not distinguishable")
    return f"{'; '.join(parts)}."


def signed(value: float | None, digits: int) -> str:
    """'+1.2', '−0.4'; an empty cell for None."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def interval_and_p(test: PairedTest, digits: int) -> list[str]:
    """Three cells: the 95 % interval, p, and p corrected."""
    interval = MISSING if test.interval is None else " to ".join(signed(end, digits) for end in test.interval)
    return [interval] + [
        MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}" for p in (test.p, test.p_holm)
    ]


def unfinished(groups: Sequence[RunGroup]) -> str:
    """A sentence that names the runs which have not reached their end; empty where all have."""
    young = [
        f"{group.label}, seed {run.seed} ({words})"
        for group in groups
        for run in group.runs
        if (words := run.unfinished)
    ]
    return f"Run not finished: intermediate results of {'; '.join(young)}." if young else ""
