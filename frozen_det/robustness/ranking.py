"""Which backbone is best by everything that was measured, and which upstream number predicts the detection probe.

Ranks are of the candidates' values, 1 the best, ties shared. The correlation is Spearman's over candidates; with few
of them it says little: the page says how many there were and what chance alone would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, spearmanr

from ..pages.blocks import MISSING, Section, Table, Text
from .bootstrap import Measured
from .study import Study, studies

_FEWEST = 3
_LEVEL = 0.05


def ranks(values: Sequence[float], more_is_better: bool = True) -> list[float]:
    """Rank of each value, 1 the best; equal values share the mean of their places."""
    return rankdata(np.asarray(values, np.float64) * (-1 if more_is_better else 1)).tolist()


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation of ranks in -1..1; None where one of them is constant or there are fewer than three."""
    if len(first) < _FEWEST or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(spearmanr(first, second).statistic)


def chance_correlation(num: int, num_draws: int = 10_000) -> float | None:
    """The absolute Spearman correlation that at most one in twenty random orders of `num` candidates reaches; None
    where no order is that rare (fewer than five)."""
    rng, order = np.random.default_rng(0), np.arange(num)
    found = 1 - 6 * ((rng.permuted(np.tile(order, (num_draws, 1)), axis=1) - order) ** 2).sum(1) / (num**3 - num)
    values, counts = np.unique(np.abs(found).round(9), return_counts=True)
    reached = counts[::-1].cumsum()[::-1] / num_draws  # share at or above each value
    rare = values[reached <= _LEVEL]
    return float(rare[0]) if num >= 5 and len(rare) else None


def ranking_section(
    found: dict[str, dict[str, Measured]], labels: Sequence[str], shown: Sequence[str] | None = None
) -> Section | None:
    """The ranking of candidates as part of the page; None for fewer than two, or without a number they share.

    Args:
        found: study -> label -> measured.
        labels: of the candidates.
        shown: what they are called on the page; by default their labels.
    """
    known = sorted(studies().values(), key=lambda study: not study.leads_ranking)
    columns = [
        _Column(study, name, better, [found[study.name][label].numbers[name].value for label in labels])
        for study in known
        for name, better in study.ranked_numbers(found.get(study.name, {}).values())
        if all(name in found.get(study.name, {}).get(label, Measured()).numbers for label in labels)
    ]
    if len(labels) < 2 or not columns:
        return None
    table = np.array([ranks(column.values, column.more_is_better) for column in columns])  # (K, L)
    rows = [[column.words, *(f"{rank:g}" for rank in row)] for column, row in zip(columns, table)]
    rows.append(["mean rank", *(f"{rank:.1f}" for rank in table.mean(0))])
    targets = [column for column in columns if column.target]
    blocks = [
        Text(
            f"Ranks of {len(labels)} classifiers, 1 the best."
            + (
                ""
                if targets
                else " No detection probe was run (transfer --detector CONFIG), so nothing is said about it."
            )
        ),
        Table(["number", *(shown or labels)], rows, rule_before=[len(rows) - 1]),
    ]
    if targets:
        correlations = _correlations(columns, targets)
        blocks += [Text(_words(len(labels), len(correlations.rows))), correlations]
    return Section("Ranking", blocks)


@dataclass(frozen=True)
class _Column:
    """One number of one study, for all candidates."""

    study: Study
    name: str
    more_is_better: bool
    values: list[float]

    @property
    def words(self) -> str:
        return f"{self.study.title}: {self.study.number_words(self.name)}"

    @property
    def target(self) -> str | None:
        """What it is called as something to predict."""
        return self.study.targets.get(self.name)

    @property
    def is_of_a_target_s_runs(self) -> bool:
        """Whether it was measured in the runs that gave a target: ``detection, frozen, AP50`` beside the AP."""
        return any(self.name.startswith(f"{target.partition(',')[0]},") for target in self.study.targets)


def _correlations(columns: list[_Column], targets: list[_Column]) -> Table:
    """Every number against every target but itself; the same run's AP50 says nothing about it."""
    rows = []
    for column in columns:
        others = [target for target in targets if target is not column]
        if column.is_of_a_target_s_runs and (not column.target or not others):
            continue
        cells = [spearman(column.values, target.values) if target in others else None for target in targets]
        rows.append(
            [
                column.words,
                "more" if column.more_is_better else "less",
                *(MISSING if cell is None else f"{cell:+.2f}" for cell in cells),
            ]
        )
    return Table(["number", "better", *(f"Spearman with the {one.target}" for one in targets)], rows, num_left=2)


def _words(num: int, num_columns: int) -> str:
    chance = chance_correlation(num)
    limit = (
        f"one in twenty random orders reaches {chance:.2f} or more, up or down"
        if chance is not None
        else "so few can show nothing"
    )
    return (
        "What goes along with the AP of the detection probe: Spearman's correlation of the values themselves, "
        f"negative where less is better and predicts well. Over {num} classifiers it is weak evidence: {limit}, "
        f"and {num_columns} numbers are looked at. Seeds of one recipe count as classifiers of their own."
    )
