"""Whether two run groups differ, from their runs with the same seeds: the paired t test, in plain words.

With fewer than three common seeds nothing is claimed: one degree of freedom tells chance from effect only by luck.
Several comparisons on a page are corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979, 65 to 70).
"""

import math
import statistics
from dataclasses import dataclass

from scipy.stats import t as student

LEVEL = 0.05
FEWEST_SEEDS = 3


@dataclass
class PairedTest:
    """Differences second minus first over common seeds.

    Attributes:
        num_seeds: common seeds; differences: one for each.
        mean: of the differences; None without any.
        interval: its 95 % confidence interval; None below two seeds.
        p: of the two-sided test; None below two seeds.
        p_holm: corrected for the comparisons made together; set by :func:`correct`.
    """

    num_seeds: int
    differences: list[float]
    mean: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def verdict(self) -> str:
        """'higher', 'lower', 'not distinguishable', or why nothing can be said."""
        if self.num_seeds < FEWEST_SEEDS:
            return "no common seed" if not self.num_seeds else f"not distinguishable with n = {self.num_seeds}"
        p = self.p if self.p_holm is None else self.p_holm
        if p is None or p >= LEVEL:
            return "not distinguishable"
        return "higher" if self.mean > 0 else "lower"


def paired_test(first: dict[int, float], second: dict[int, float]) -> PairedTest:
    """Compare two groups by their values at common seeds.

    Args:
        first, second: seed -> value.
    """
    seeds = sorted(first.keys() & second.keys())
    differences = [second[seed] - first[seed] for seed in seeds]
    if not differences:
        return PairedTest(0, [])
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return PairedTest(1, differences, mean)
    freedom = len(differences) - 1
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if error == 0:  # the same difference for every seed: certain if it is one, nothing if it is none
        return PairedTest(len(seeds), differences, mean, (mean, mean), 1.0 if mean == 0 else 0.0)
    half = float(student.ppf(1 - LEVEL / 2, freedom)) * error
    p = float(2 * student.sf(abs(mean / error), freedom))
    return PairedTest(len(seeds), differences, mean, (mean - half, mean + half), p)


def correct(tests: list[PairedTest]) -> None:
    """Set ``p_holm`` of tests that stand together; those with too few seeds are no comparisons."""
    ranked = sorted(
        (test for test in tests if test.p is not None and test.num_seeds >= FEWEST_SEEDS), key=lambda test: test.p
    )
    highest = 0.0
    for place, test in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - place) * test.p))
        test.p_holm = highest
