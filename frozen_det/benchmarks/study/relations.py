"""How an arm's difference to frozen goes with what a set is, and with how often a class is seen: rank correlations."""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from ...pages.markdown import table
from .plan import WHOLE
from .reading import Cell, Study, Where
from .sets import SETS
from .tables import MISSING, bold, differences

Facts = dict[str, dict]  # by set
#: What a set is, in a number.
OF_A_SET = {
    "distance from ImageNet": lambda one: one["distance"],
    "images": lambda one: one["images"],
    "side of an object": lambda one: one["relative_side"],
    "objects a class": lambda one: one["objects"] / len(one["classes"]),
}
_LEAST, _MOST_EXACT = 4, 8


class Correlation(NamedTuple):
    """Spearman's, of n pairs; p of a value as far from 0 when there is no relation."""

    rho: float
    p: float
    n: int


def relations_table(study: Study, facts: Facts, name: str) -> str:
    """By arm: its difference to frozen against each of :data:`OF_A_SET` over sets, and against the frequency of a class
    over the classes of all sets with several."""
    rows = []
    for arm in WHOLE[name].arms[1:]:
        found = {one: value.value for one, value in differences(study, name, arm).items() if one in facts}
        row = [arm]
        for of in OF_A_SET.values():
            row.append(_told(spearman([of(facts[one]) for one in found], list(found.values()))))
        rows.append([*row, _told(of_classes(study, facts, name, arm))])
    return table(["arm", *OF_A_SET, "objects of the class, within a set"], rows)


def of_classes(study: Study, facts: Facts, name: str, arm: str) -> Correlation | None:
    """Difference of a class's AP to frozen against the logarithm of its objects, both minus the mean of their set."""
    cells, counts, gains = study.cells(name), [], []
    for one in SETS:
        pair = [cells.get(Where(one, WHOLE[name].backbone, way)) for way in (arm, "frozen")]
        if one not in facts or None in pair:
            continue
        own, base = (class_APs(cell) for cell in pair if cell)
        shared = [label for label in own if label in base]
        if len(shared) < 2:
            continue
        logs = np.log([facts[one]["classes"][label] for label in shared])
        gained = np.array([own[label] - base[label] for label in shared])
        counts += list(logs - logs.mean())
        gains += list(gained - gained.mean())
    return spearman(counts, gains)


def class_APs(cell: Cell) -> dict[str, float]:
    """AP of each class, the mean over the runs whose test images have it."""
    found: dict[str, list[float]] = {}
    for record in cell.records:
        for label, AP in record["classes"].items():
            if AP >= 0:  # neither -1 nor NaN
                found.setdefault(label, []).append(AP)
    return {label: float(np.mean(APs)) for label, APs in found.items()}


def spearman(x: list[float], y: list[float]) -> Correlation | None:
    """Spearman's correlation; p by all orders of up to eight pairs, by Student's t of more; None of fewer than four, or
    of values that are all alike."""
    from scipy.stats import rankdata, spearmanr

    if len(x) < _LEAST or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    found = spearmanr(x, y)
    rho, p = float(found.statistic), float(found.pvalue)
    if len(x) <= _MOST_EXACT:
        first, other = (rankdata(value) - (len(x) + 1) / 2 for value in (x, y))
        orders = np.array(list(permutations(other))) @ first / np.sqrt((first @ first) * (other @ other))
        p = float(np.mean(np.abs(orders) >= abs(rho) - 1e-9))
    return Correlation(rho, p, len(x))


def _told(found: Correlation | None) -> str:
    if found is None:
        return MISSING
    text = f"{found.rho:+.2f} (p {found.p:.2f}, n {found.n})"
    return bold(text, found.p < 0.05)
