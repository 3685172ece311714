"""The tables of docs/study.md, as Markdown, from records alone. APs and their differences are in points."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...pages.markdown import table
from .arms import StudyRun, of_equal_step
from .costs import SET as COST_SET
from .costs import key_of
from .plan import FEW, RATE_SETS, TABLES, WHOLE, rate_scores
from .reading import LEAST_SETS, Cell, Estimate, Ranks, Study, Where, over_sets, ranks, seed_variance
from .sets import SETS

#: A table has this in place of what is not measured.
MISSING = ""
COST_HEAD = ("ms a step", "MiB", "GFLOPs", "MB", "trains, M")

Costs = dict[str, dict]  # by key


def progress_table(study: Study) -> str:
    """How many runs of each table are there."""
    rows = [[name, str(len(study.finished(name))), str(len(study.runs(name)))] for name in TABLES]
    return table(["table", "runs", "of"], rows)


def sets_table(facts: dict[str, dict]) -> str:
    """What the sets are."""
    rows = []
    for name, one in SETS.items():
        found = facts.get(name)
        told = [MISSING] * 5
        if found:
            counts = found["classes"].values()
            many = str(len(counts)) if len(counts) == 1 else f"{len(counts)}, of {min(counts)} to {max(counts)}"
            told = [str(found["images"]), str(found["objects"]), many]
            told += [f"{found['relative_side']:.2f}", f"{found['distance']:.2f}"]
        rows.append([spaced(name), one.source, *told, str(one.size)])
    head = ["set", "source and licence", "images", "objects", "classes", "side of an object", "from ImageNet", "px"]
    return table(head, rows, left=2)


def rates_table(study: Study, name: str = "rates") -> str:
    """Validation AP of each arm at each rate, mean over the sets, the chosen one bold; empty before all are there."""
    if name not in study.rates:
        return MISSING
    scores, chosen = rate_scores(study.records.values(), name), study.rates[name]
    rows = [[arm, *(bold(_points(AP), rate == chosen[arm]) for rate, AP in of.items())] for arm, of in scores.items()]
    return table(["arm", *(f"{rate:g}" for rate in next(iter(scores.values())))], rows)


def main_table(study: Study, costs: Costs, name: str) -> str:
    """AP of every arm on every set with the half-width of its interval, the best of a set bold, and what it costs."""
    cells, (backbone, arms) = study.cells(name), WHOLE[name]
    found = {(arm, one): cells.get(Where(one, backbone, arm)) for arm in arms for one in SETS}
    best = _best(found)
    rows = [[arm, *(_AP(found[arm, one], best[one]) for one in SETS), *_costs(costs, backbone, arm)] for arm in arms]
    return table(["arm", *map(spaced, SETS), *COST_HEAD], rows)


def difference_table(study: Study, name: str) -> str:
    """Each arm minus frozen on every set; bold where the interval leaves 0 out."""
    rows = []
    for arm in WHOLE[name].arms[1:]:
        found = differences(study, name, arm)
        rows.append([arm, *(_difference(found[one]) if one in found else MISSING for one in SETS)])
    return table(["arm", *map(spaced, SETS)], rows)


def summary_table(study: Study, costs: Costs, name: str) -> str:
    """An arm a row: mean AP and mean rank over the sets where all arms are whole, how it differs from frozen, costs."""
    cells, (backbone, arms), whole = study.cells(name), WHOLE[name], whole_sets(study, name)
    placed = ranks_of(study, name)
    rows = []
    for arm in arms:
        row = [arm, MISSING, MISSING, MISSING, MISSING]
        if whole:
            row[1] = _points(np.mean([cells[Where(one, backbone, arm)].estimate.value for one in whole]))
        if placed:
            row[2] = f"{placed.means[arm]:.1f}"
        if len(whole) > 1 and arm != "frozen":
            row[3] = _interval(_joint(cells, whole, Where("", backbone, arm), "frozen"))
            told = [one for key, one in differences(study, name, arm).items() if key in whole]
            better, worse = (sum(one.is_told and sign * one.value > 0 for one in told) for sign in (1, -1))
            row[4] = f"{better}, {worse}, {len(told) - better - worse}"
        rows.append([*row, *_costs(costs, backbone, arm)])
    return table(["arm", "mean AP", "rank", "vs frozen", "better, worse, unclear", *COST_HEAD], rows)


class Varied(NamedTuple):
    """A table that varies one thing, beside the runs of the main tables.

    Attributes:
        name: of the table of runs.
        arms: of it; the others are compared with the first.
        by: attribute of :class:`.reading.Where` that varies; None for the arm alone.
        values: of it, in order.
        label: of a value.
    """

    name: str
    arms: Sequence[str] = FEW
    by: str | None = None
    values: Sequence = (None,)
    label: Callable[[object], str] = str

    def where(self, value: object, arm: str) -> Where:
        """An arm at a value; the set is open."""
        return Where("", "Lite0", arm)._replace(**{self.by: value} if self.by else {})

    def sets(self, study: Study) -> list[str]:
        """Of its runs."""
        return list(dict.fromkeys(run.set for run in study.runs(self.name)))


def varied_table(study: Study, costs: Costs, varied: Varied) -> str:
    """AP of each arm by value and set, and what it costs."""
    cells, sets, first = study.cells(varied.name, *WHOLE), varied.sets(study), varied.arms[0]
    rows = []
    for value in varied.values:
        places = {arm: varied.where(value, arm) for arm in varied.arms}
        found = {(arm, one): cells.get(where._replace(set=one)) for arm, where in places.items() for one in sets}
        best = _best(found)
        for arm, where in places.items():
            row = [varied.label(value), arm] if varied.by else [arm]
            row += [_AP(found[arm, one], best[one]) for one in sets]
            shared = [one for one in sets if found[arm, one] and found[first, one]]
            row.append(_interval(_joint(cells, shared, where, first)) if shared and arm != first else MISSING)
            rows.append([*row, *_costs(costs, where.backbone, arm, where.decoder)])
    head = ["arm", *map(spaced, sets), f"vs {first}", *COST_HEAD]
    return table([varied.by, *head] if varied.by else head, rows, left=2 if varied.by else 1)


def varied_differences(study: Study, varied: Varied) -> list[tuple[str, list[Estimate | None]]]:
    """By set and value each other arm minus the first; without the rows of which none is whole."""
    cells, rows = study.cells(varied.name, *WHOLE), []
    for one in varied.sets(study):
        for value in varied.values:
            first, *others = (cells.get(varied.where(value, arm)._replace(set=one)) for arm in varied.arms)
            found = [other.minus(first) if other and first else None for other in others]
            if any(found):
                rows.append((f"{spaced(one)}, {varied.label(value)}", found))
    return rows


def spread_table(study: Study) -> str:
    """Standard deviation of AP between seeds of the first fold, by arm and set, and how many runs."""
    rows = []
    for arm in FEW:
        row = [arm]
        for one in RATE_SETS:
            own = [record for record in study.repeated(one) if record["arm"] == arm]
            variance, freedom = seed_variance(own)
            row.append(f"{_points(variance**0.5)} ({len(own)})" if freedom else MISSING)
        rows.append(row)
    return table(["arm", *map(spaced, RATE_SETS)], rows)


def differences(study: Study, name: str, arm: str, against: str = "frozen") -> dict[str, Estimate]:
    """By set an arm minus another, where both are whole."""
    cells, backbone = study.cells(name), WHOLE[name].backbone
    pairs = {one: [cells.get(Where(one, backbone, way)) for way in (arm, against)] for one in SETS}
    return {one: own.minus(other) for one, (own, other) in pairs.items() if own and other}


def over_whole_sets(study: Study, name: str, arm: str) -> Estimate | None:
    """An arm minus frozen over the sets where all arms are whole; None of fewer than two."""
    whole = whole_sets(study, name)
    return _joint(study.cells(name), whole, Where("", WHOLE[name].backbone, arm), "frozen") if len(whole) > 1 else None


def whole_sets(study: Study, name: str) -> list[str]:
    """Sets on which every arm of a main table is whole."""
    cells, (backbone, arms) = study.cells(name), WHOLE[name]
    return [one for one in SETS if all(Where(one, backbone, arm) in cells for arm in arms)]


def ranks_of(study: Study, name: str) -> Ranks | None:
    """Of the arms over these sets; None of fewer than :data:`.reading.LEAST_SETS`."""
    cells, (backbone, arms), whole = study.cells(name), WHOLE[name], whole_sets(study, name)
    if len(whole) < LEAST_SETS:
        return None
    return ranks({arm: [cells[Where(one, backbone, arm)].estimate.value for one in whole] for arm in arms})


def bold(text: str, on: bool) -> str:
    """A cell, bold where `on`."""
    return f"**{text}**" if on else text


def spaced(name: str) -> str:
    """A set's name in words."""
    return name.replace("_", " ")


def _joint(cells: dict[Where, Cell], sets: Sequence[str], where: Where, against: str) -> Estimate:
    own = [cells[where._replace(set=one)] for one in sets]
    return over_sets(own, [cells[where._replace(set=one, arm=against)] for one in sets])


def _best(cells: dict[tuple[str, str], Cell | None]) -> dict[str, float]:
    """Of cells by arm and set the highest AP of each set; 0 where there is none."""
    found: dict[str, float] = {}
    for (_, one), cell in cells.items():
        found[one] = max(found.get(one, 0.0), cell.estimate.value if cell else 0.0)
    return found


def _costs(costs: Costs, backbone: str, arm: str, decoder: str = StudyRun.decoder) -> list[str]:
    keys = [key_of(StudyRun(COST_SET, 0, backbone, one, 0.0, decoder=decoder)) for one in (arm, of_equal_step(arm))]
    found = next((costs[key] for key in keys if key in costs), None)
    if found is None:
        return [MISSING] * len(COST_HEAD)
    memory = (found["peak_bytes"] - found["base_bytes"]) / 2**20
    return [
        f"{found['cpu_ms']:.0f}",
        f"{memory:.0f}",
        f"{found['forward_flops'] / 1e9:.2f}",
        f"{found['lean_bytes'] / 1e6:.1f}",
        f"{found['trained_params'] / 1e6:.2f}",
    ]


def _AP(cell: Cell | None, best: float) -> str:
    if cell is None:
        return MISSING
    found = cell.estimate
    return bold(f"{_points(found.value)} ± {_points((found.high - found.low) / 2)}", found.value == best)


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(found: Estimate) -> str:
    return bold(f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})", found.is_told)


def _difference(found: Estimate) -> str:
    return bold(f"{100 * found.value:+.1f}", found.is_told)
