"""Which backbone is best by everything that was measured, and which upstream number predicts the detection probe.

Ranks are of the candidates' values, 1 the best, ties shared. The correlation is Spearman's over candidates; with few
of them it says little, and the page says how many there were.
"""

from collections.abc import Sequence

import numpy as np

from .report_blocks import MISSING, Section, Table, Text
from .study_numbers import Measured

#: (study, number, whether more is better); those that were measured count.
RANKED = (("calibration", "accuracy", True), ("calibration", "ECE", False), ("fgsm", "FGSM 8/255", True),
          ("occlusion", "centre hidden", True), ("occlusion", "only centre seen", True),
          ("in-between", "Mixup-ed, error", False), ("in-between", "CutMix-ed, error", False),
          ("ood", "mean, max-softmax, auroc", True), ("ood", "mean, energy, auroc", True),
          ("corruptions", "mean of corruptions", True), ("corruptions", "flip rate, shifts", False),
          ("wsol", "GT-known localisation", True))
PROBE = "detection, frozen, AP"
_FEWEST = 3


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


def ranking_section(found: dict[str, dict[str, Measured]], labels: Sequence[str]) -> Section | None:
    """The ranking of candidates as part of the page; None for fewer than two, or without a number they share."""
    columns = [(study, name, better) for study, name, better in (*RANKED, *_transfer(found)) if all(
        label in found.get(study, {}) and name in found[study][label].numbers for label in labels)]
    if len(labels) < 2 or not columns:
        return None
    values = {(study, name): [found[study][label].numbers[name].value for label in labels]
              for study, name, _ in columns}
    table = np.array([ranks(values[study, name], better) for study, name, better in columns])  # (K, L)
    probe = values.get(("transfer", PROBE))
    header = ["number", *labels] + (["Spearman with the detection probe"] if probe else [])
    rows = []
    for (study, name, _), row in zip(columns, table):
        cells = [f"{study}: {name}", *(f"{rank:g}" for rank in row)]
        if probe:
            correlation = None if name == PROBE else spearman(values[study, name], probe)
            cells.append(MISSING if correlation is None else f"{correlation:+.2f}")
        rows.append(cells)
    rows.append(["mean rank", *(f"{rank:.1f}" for rank in table.mean(0))] + ([MISSING] if probe else []))
    words = (f"Ranks of {len(labels)} classifiers, 1 the best." + (
        " Spearman's correlation is of the values themselves: negative where less is better and predicts well."
        if probe else " No detection probe was run (transfer --detector CONFIG), so nothing is said about it."))
    return Section("Ranking", [Text(words), Table(header, rows, rule_before=[len(rows) - 1])])


def _transfer(found: dict[str, dict[str, Measured]]) -> list[tuple[str, str, bool]]:
    names = dict.fromkeys(name for one in found.get("transfer", {}).values() for name in one.numbers)
    return [("transfer", name, True) for name in names]
