"""Whether two arms differ, from their runs with the same seeds: the paired t test, in plain words.

With fewer than three common seeds nothing is claimed: one degree of freedom tells chance from effect only by luck.
Several comparisons on a page are corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979, 65 to 70).
No SciPy: the t distribution comes from the incomplete beta function (continued fraction, Numerical Recipes 6.4).
"""

import math
import statistics
from dataclasses import dataclass

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
    """Compare two arms by their values at common seeds.

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
    half = t_quantile(freedom, 1 - LEVEL / 2) * error
    return PairedTest(len(seeds), differences, mean, (mean - half, mean + half), t_two_sided(mean / error, freedom))


def correct(tests: list[PairedTest]) -> None:
    """Set ``p_holm`` of tests that stand together; those with too few seeds are no comparisons."""
    ranked = sorted(
        (test for test in tests if test.p is not None and test.num_seeds >= FEWEST_SEEDS), key=lambda test: test.p
    )
    highest = 0.0
    for place, test in enumerate(ranked):
        highest = max(highest, min(1.0, (len(ranked) - place) * test.p))
        test.p_holm = highest


def t_two_sided(t: float, freedom: int) -> float:
    """P(|T| >= |t|) of Student's t with ``freedom`` degrees of freedom."""
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(freedom: int, probability: float) -> float:
    """t with P(T <= t) = probability, for probability in [0.5, 1); by bisection, to 1e-10."""
    low, high = 0.0, 1.0
    while t_two_sided(high, freedom) / 2 > 1 - probability:
        high *= 2
    while high - low > 1e-10 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if t_two_sided(middle, freedom) / 2 > 1 - probability else (low, middle)
    return high


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1]; to about 1e-12."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _away_from_zero(1 + step * d, tiny)
            c = _away_from_zero(1 + step / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
