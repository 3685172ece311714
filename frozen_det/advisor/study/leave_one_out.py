"""Each set of the study foretold from the others: order, regret of the first choice, intervals, and simpler rules.

Regret is the AP of the best cell of a set, by what was measured, minus that of the choice. The best of many measured
numbers is partly luck, for each rule alike; a difference of two rules' regrets is free of it. Intervals of means over
sets are Student's.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...benchmarks.study import reading
from ...benchmarks.study.reading import Estimate, student
from ..expected import FROZEN, LEAST_SETS, Cell, Expectations
from ..rows import SCORES
from .grid import Grid

#: By published ImageNet top-1 (timm's results), which is by size, too.
BY_TOP1 = ("Lite2", "Lite1", "Lite0", "MobileNetV2")
TUNED, GENTLY = "fine-tuned", "fine-tuned, a tenth of the rate"
ADVISOR = "the advisor"
SMALLEST = "smallest, frozen"
PROBE = "probe AP"
MEAN_RANK, WITH_PROBE = "mean rank of the scores", "mean rank with the probe"

Choice = tuple[str, str]  # backbone, way
Rule = Callable[[Sequence[Cell], Sequence[Cell]], Choice]


def foretold(cells: Sequence[Cell], one: str) -> dict[Choice, float]:
    """AP of the cells of a set, from the other sets."""
    study = Expectations([cell for cell in cells if cell.set != one])
    return {
        (cell.backbone, way): study.expect(cell.probe, way).AP
        for cell in cells
        if cell.set == one
        for way in cell.AP
        if way in study.ways
    }


def rules() -> dict[str, Rule]:
    """By name: from a set's cells and the other sets' cells, a choice. The set's AP is not looked at."""
    return {
        ADVISOR: _advised,
        "largest top-1, frozen": lambda own, others: (_by_top1(own)[0], FROZEN),
        "largest top-1, fine-tuned": lambda own, others: (_by_top1(own)[0], TUNED),
        f"largest top-1, {GENTLY}": lambda own, others: (_by_top1(own)[0], GENTLY),
        SMALLEST: lambda own, others: (_by_top1(own)[-1], FROZEN),
        "the best on the other sets": _best_elsewhere,
    }


def taus(grid: Grid) -> dict[str, float]:
    """By set: Kendall's tau-b between foretold and measured AP of its cells."""
    return {one: _tau(foretold(grid.cells, one), _measured(grid.cells, one)) for one in sets_of(grid.cells)}


def regrets(grid: Grid) -> dict[str, dict[str, tuple[Choice, float]]]:
    """By rule and set: the choice and its regret. A choice that was not measured there is left out."""
    found: dict[str, dict[str, tuple[Choice, float]]] = {}
    backbones = {cell.backbone for cell in grid.cells}
    for name, rule in rules().items():
        if name == SMALLEST and len(backbones) == 1:
            continue  # is the largest, too
        for one in sets_of(grid.cells):
            AP = _measured(grid.cells, one)
            choice = rule(*_split(grid.cells, one))
            if choice in AP:
                found.setdefault(name, {})[one] = choice, max(AP.values()) - AP[choice]
    return found


def mean_regrets(grid: Grid) -> dict[str, tuple[Estimate, Estimate | None]]:
    """By rule: mean regret, never below 0, and how much more than the advisor's."""
    chosen = regrets(grid)
    found: dict[str, tuple[Estimate, Estimate | None]] = {}
    for name, by_set in chosen.items():
        regret = over_sets([value for _, value in by_set.values()])
        more = over_sets([value - chosen[ADVISOR][one][1] for one, (_, value) in by_set.items()])
        low = float(np.maximum(0.0, regret.low))  # NaN, where there is no interval, stays
        found[name] = Estimate(regret.value, low, regret.high), None if name == ADVISOR else more
    return found


def covered(grid: Grid) -> tuple[int, int]:
    """Cells whose measured AP lies in the interval that the other sets give, and all cells."""
    inside = total = 0
    for one in sets_of(grid.cells):
        own, others = _split(grid.cells, one)
        study = Expectations(others)
        for cell in own:
            for way, AP in cell.AP.items():
                if way in study.ways:
                    expected = study.expect(cell.probe, way)
                    inside, total = inside + (expected.low <= AP <= expected.high), total + 1
    return inside, total


def claims(grid: Grid) -> tuple[int, int, int]:
    """Of all pairs of cells of a set: those told apart by the other sets, those of them in the measured order, all."""
    told = right = total = 0
    for one in sets_of(grid.cells):
        own, others = _split(grid.cells, one)
        study = Expectations(others)
        entries = [
            ((cell.backbone, cell.probe, way), AP) for cell in own for way, AP in cell.AP.items() if way in study.ways
        ]
        for place, (first, AP) in enumerate(entries):
            for other, other_AP in entries[:place]:
                total += 1
                found, half = study.difference(first, other)
                if abs(found) > half:
                    told, right = told + 1, right + (found * (AP - other_AP) > 0)
    return told, right, total


def orders_of_scores(grid: Grid) -> dict[str, tuple[Estimate, int, int, int]]:
    """How scores alone order backbones by their frozen AP.

    Returns:
        by score: mean over sets of Kendall's tau-b, pairs in the right order, pairs, sets.
    """
    found = {}
    for name in (*SCORES, PROBE, MEAN_RANK, WITH_PROBE):
        guesses = {one: _guess(grid, one, name) for one in sets_of(grid.cells)}
        guesses = {one: guess for one, guess in guesses.items() if len(guess) > 1}
        if not guesses:
            continue
        right = pairs = 0
        for one, guess in guesses.items():
            AP = _measured(grid.cells, one)
            bodies = list(guess)
            for place, first in enumerate(bodies):
                for other in bodies[:place]:
                    pairs += 1
                    right += (guess[first] - guess[other]) * (AP[first] - AP[other]) > 0
        taus_of = {one: _tau(guess, _measured(grid.cells, one)) for one, guess in guesses.items()}
        found[name] = mean_tau(taus_of), right, pairs, len(guesses)
    return found


def sets_of(cells: Sequence[Cell]) -> list[str]:
    """Their names, each once."""
    return list(dict.fromkeys(cell.set for cell in cells))


def enough(grid: Grid) -> bool:
    """Whether there are sets enough to leave one out."""
    return len(sets_of(grid.cells)) > LEAST_SETS


def _advised(own: Sequence[Cell], others: Sequence[Cell]) -> Choice:
    guess = foretold([*own, *others], own[0].set)
    return max(guess, key=guess.__getitem__)


def _best_elsewhere(own: Sequence[Cell], others: Sequence[Cell]) -> Choice:
    """The backbone and way of the set with the best mean AP over the other sets that have it."""
    held: dict[Choice, list[float]] = {}
    for cell in others:
        for way, AP in cell.AP.items():
            held.setdefault((cell.backbone, way), []).append(AP)
    most = max(map(len, held.values()))
    there = {(cell.backbone, way) for cell in own for way in cell.AP}
    means = {key: float(np.mean(values)) for key, values in held.items() if len(values) == most and key in there}
    return max(means, key=means.__getitem__)


def _by_top1(cells: Sequence[Cell]) -> list[str]:
    there = {cell.backbone for cell in cells}
    return [name for name in BY_TOP1 if name in there]


def _split(cells: Sequence[Cell], one: str) -> tuple[list[Cell], list[Cell]]:
    return [cell for cell in cells if cell.set == one], [cell for cell in cells if cell.set != one]


def _measured(cells: Sequence[Cell], one: str) -> dict[Choice, float]:
    return {(cell.backbone, way): AP for cell in cells if cell.set == one for way, AP in cell.AP.items()}


def _guess(grid: Grid, one: str, name: str) -> dict[Choice, float]:
    """A score of the frozen cells of a set, larger for better; of none where a backbone lacks it."""
    records = {cell.backbone: grid.scores[one, cell.backbone] for cell in grid.cells if cell.set == one}
    values = {body: {**record["scores"], PROBE: record["probe"]["AP"]} for body, record in records.items()}
    if name in (MEAN_RANK, WITH_PROBE):
        names = [key for key in (*SCORES, PROBE) if all(key in of for of in values.values())]
        names = [key for key in names if key != PROBE or name == WITH_PROBE]
        ranks = {
            body: -sum(sum(other[key] > of[key] for other in values.values()) for key in names)
            for body, of in values.items()
        }
        return {(body, FROZEN): float(rank) for body, rank in ranks.items()} if names else {}
    return (
        {(body, FROZEN): of[name] for body, of in values.items()} if all(name in of for of in values.values()) else {}
    )


def mean_tau(by_set: Mapping[str, float]) -> Estimate:
    """Over sets, from -1 to 1."""
    found = over_sets(list(by_set.values()))
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


def over_sets(values: Sequence[float]) -> Estimate:
    """Mean over sets; of fewer than :data:`...benchmarks.study.reading.LEAST_SETS` its interval is NaN."""
    if len(values) < reading.LEAST_SETS:
        return Estimate(float(np.mean(values)), math.nan, math.nan)
    return student(np.array(values))


def _tau(guess: Mapping[Choice, float], AP: Mapping[Choice, float]) -> float:
    """Kendall's tau-b; 0 where one of them is constant, and so no order."""
    from scipy.stats import kendalltau

    keys = [key for key in guess if key in AP]
    found = float(kendalltau([guess[key] for key in keys], [AP[key] for key in keys]).statistic)
    return 0.0 if math.isnan(found) else found
