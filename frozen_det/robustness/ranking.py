"""Which backbone is best by everything that was measured, and which upstream number predicts the detection probe.

Ranks are of the candidates' values, 1 the best, ties shared. The correlation is Spearman's over candidates; with few
of them it says little: the page says how many there were and what chance alone would give.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..pages.blocks import MISSING, Section, Table, Text
from .bootstrap import Measured

#: (study, number, whether more is better); those that were measured count.
RANKED = (
    ("calibration", "accuracy", True),
    ("calibration", "ECE", False),
    ("fgsm", "FGSM 8/255", True),
    ("occlusion", "centre hidden", True),
    ("occlusion", "only centre seen", True),
    ("in-between", "Mixup-ed, error", False),
    ("in-between", "CutMix-ed, error", False),
    ("ood", "mean, max-softmax, auroc", True),
    ("ood", "mean, energy, auroc", True),
    ("corruptions", "mean of corruptions", True),
    ("corruptions", "flip rate, shifts", False),
    ("wsol", "GT-known localisation", True),
)
PROBES = {"detection, frozen, AP": "frozen probe", "detection, fine-tuned, AP": "fine-tuned probe"}
_WORDS = {"tnr_at_tpr95": "TNR at TPR 95", "auroc": "AUROC", "detection_accuracy": "detection accuracy"}
_FEWEST = 3
_LEVEL = 0.05


def ranks(values: Sequence[float], more_is_better: bool = True) -> list[float]:
    """Rank of each value, 1 the best; equal values share the mean of their places."""
    signed = np.asarray(values, np.float64) * (-1 if more_is_better else 1)
    return [float((signed < one).sum() + ((signed == one).sum() + 1) / 2) for one in signed]


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation of ranks in -1..1; None where one of them is constant or there are fewer than three."""
    a, b = np.array(ranks(first)), np.array(ranks(second))
    if len(a) < _FEWEST or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def chance_correlation(num: int, num_draws: int = 10_000) -> float | None:
    """The absolute Spearman correlation that at most one in twenty random orders of `num` candidates reaches; None
    where no order is that rare (fewer than five)."""
    rng, order = np.random.default_rng(0), np.arange(num)
    found = 1 - 6 * ((rng.permuted(np.tile(order, (num_draws, 1)), axis=1) - order) ** 2).sum(1) / (num**3 - num)
    values, counts = np.unique(np.abs(found).round(9), return_counts=True)
    reached = counts[::-1].cumsum()[::-1] / num_draws  # share at or above each value
    rare = values[reached <= _LEVEL]
    return float(rare[0]) if num >= 5 and len(rare) else None


def number_words(name: str) -> str:
    """A stored number's name as the pages write it: ``mean, energy, auroc`` -> ``mean, energy, AUROC``."""
    head, comma, last = name.rpartition(", ")
    return f"{head}{comma}{_WORDS.get(last, last)}"


def ranking_section(
    found: dict[str, dict[str, Measured]],
    labels: Sequence[str],
    shown: Sequence[str] | None = None,
    titles: Mapping[str, str] | None = None,
) -> Section | None:
    """The ranking of candidates as part of the page; None for fewer than two, or without a number they share.

    Args:
        found: study -> label -> measured.
        labels: of the candidates.
        shown: what they are called on the page; by default their labels.
        titles: of the studies; by default their names.
    """
    columns = [
        (study, name, better)
        for study, name, better in (*RANKED, *_transfer(found))
        if all(label in found.get(study, {}) and name in found[study][label].numbers for label in labels)
    ]
    if len(labels) < 2 or not columns:
        return None
    values = {
        (study, name): [found[study][label].numbers[name].value for label in labels] for study, name, _ in columns
    }
    called = {(study, name): f"{(titles or {}).get(study, study)}: {number_words(name)}" for study, name, _ in columns}
    table = np.array([ranks(values[study, name], better) for study, name, better in columns])  # (K, L)
    rows = [[called[study, name], *(f"{rank:g}" for rank in row)] for (study, name, _), row in zip(columns, table)]
    rows.append(["mean rank", *(f"{rank:.1f}" for rank in table.mean(0))])
    probes = {words: name for name, words in PROBES.items() if ("transfer", name) in values}
    blocks = [
        Text(
            f"Ranks of {len(labels)} classifiers, 1 the best."
            + (
                ""
                if probes
                else " No detection probe was run (transfer --detector CONFIG), so nothing is said about it."
            )
        ),
        Table(["number", *(shown or labels)], rows, rule_before=[len(rows) - 1]),
    ]
    if probes:
        correlations = _correlations(columns, values, called, probes)
        blocks += [Text(_words(len(labels), len(correlations.rows))), correlations]
    return Section("Ranking", blocks)


def _correlations(columns: list, values: dict, called: dict, probes: dict[str, str]) -> Table:
    """Every number against every probe but itself; the same run's AP50 tells nothing about it."""
    rows = []
    for study, name, better in columns:
        others = [probe for probe in probes.values() if probe != name]
        if name.startswith("detection,") and (name not in PROBES or not others):
            continue
        cells = [
            spearman(values[study, name], values["transfer", probe]) if probe in others else None
            for probe in probes.values()
        ]
        rows.append(
            [
                called[study, name],
                "more" if better else "less",
                *(MISSING if cell is None else f"{cell:+.2f}" for cell in cells),
            ]
        )
    return Table(["number", "better", *(f"Spearman with the {words}" for words in probes)], rows, num_left=2)


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


def _transfer(found: dict[str, dict[str, Measured]]) -> list[tuple[str, str, bool]]:
    names = dict.fromkeys(name for one in found.get("transfer", {}).values() for name in one.numbers)
    return [("transfer", name, True) for name in names]
