"""The tables of docs/study.md, as Markdown, from records alone."""

from collections.abc import Callable, Sequence

import numpy as np

from ...pages.markdown import line
from .arms import ARMS
from .plan import FEW, MAIN, RATE_SETS, TABLES, chosen_rates, rates
from .reading import Cell, Estimate, cell, over_sets, seed_spread
from .sets import NUM_FOLDS, SETS

#: A table has this in place of what is not measured.
MISSING = ""
_FULL = dict(decoder="light", share=1.0)


def rates_table(records: list[dict]) -> str:
    """Validation AP of each arm at each rate, mean over the sets, the chosen one bold."""
    wanted = {run.key for run in rates()}
    found: dict[str, dict[float, list[float]]] = {}
    for record in records:
        if record["key"] in wanted:
            found.setdefault(record["arm"], {}).setdefault(record["rate"], []).append(record["val_AP"])
    best = chosen_rates(records)
    columns = sorted({rate for values in found.values() for rate in values})
    rows = [
        [arm, *(_bold(_points(np.mean(values[rate])), rate == best[arm]) for rate in columns)]
        for arm, values in found.items()
    ]
    return table(["arm", *(f"{rate:g}" for rate in columns)], rows)


def main_table(records: list[dict], backbone: str) -> str:
    """AP of every arm on every set with the half-width of its interval, the best of a set bold; the mean over sets."""
    cells = {(arm, one): main_cell(records, one, backbone, arm) for arm in MAIN for one in SETS}
    shown = [one for one in SETS if any(cells[arm, one] for arm in MAIN)]
    rows = []
    for arm in MAIN:
        row, values = [arm], []
        for one in shown:
            found = cells[arm, one]
            if found is None:
                row.append(MISSING)
                continue
            values.append(found.estimate.value)
            best = max(other.estimate.value for name in MAIN if (other := cells[name, one]))
            row.append(_bold(f"{_points(found.estimate.value)} ± {_half(found.estimate)}", values[-1] == best))
        row.append(_points(np.mean(values)) if len(values) == len(shown) > 1 else MISSING)
        rows.append(row)
    return table(["arm", *(one.replace("_", " ") for one in shown), "mean"], rows)


def difference_table(records: list[dict], backbone: str, against: str = "frozen") -> str:
    """Each arm minus another on every set; bold where the interval leaves 0 out; over sets, with sets resampled."""
    base = {one: found for one in SETS if (found := main_cell(records, one, backbone, against))}
    rows = []
    for arm in MAIN:
        if arm == against:
            continue
        pairs = [(found, base[one]) for one in base if (found := main_cell(records, one, backbone, arm))]
        cells = {one: main_cell(records, one, backbone, arm) for one in base}
        row = [arm]
        row += [_difference(found.minus(base[one])) if (found := cells[one]) else MISSING for one in base]
        if len(pairs) > 1:
            told = [found.minus(other) for found, other in pairs]
            better, worse = (sum(one.is_told and sign * one.value > 0 for one in told) for sign in (1, -1))
            joint = over_sets(*map(list, zip(*pairs, strict=True)))
            row += [_interval(joint), f"{better}, {worse}, {len(pairs) - better - worse}"]
        rows.append(row)
    names = [one.replace("_", " ") for one in base]
    return table(["arm", *names, "over sets", "better, worse, not told"], rows)


def few_table(records: list[dict], name: str, by: str, label: Callable[[object], str] = str) -> str:
    """A table that varies one thing: AP of each arm by set and value.

    Args:
        records: all records.
        name: of the table of runs.
        by: entry of a record that varies.
        label: of its values.
    """
    runs = TABLES[name](chosen_rates(records))
    values = list(dict.fromkeys(getattr(run, by) for run in runs))
    sets = list(dict.fromkeys(run.set for run in runs))
    rows = []
    for one in sets:
        for value in values:
            cells = {
                arm: cell(records, NUM_FOLDS, **{**_FULL, "set": one, "backbone": "Lite0", "arm": arm, by: value})
                for arm in FEW
            }
            found = [other.estimate.value for other in cells.values() if other]
            if not found:
                continue
            row = [one.replace("_", " "), label(value)]
            row += [
                _bold(f"{_points(other.estimate.value)} ± {_half(other.estimate)}", other.estimate.value == max(found))
                if (other := cells[arm])
                else MISSING
                for arm in FEW
            ]
            rows.append(row)
    return table(["set", by, *FEW], rows, left=2)


def cost_table(records: list[dict], backbone: str) -> str:
    """What an arm costs, medians over the main table's runs at 160 px: process seconds, parameters, bytes."""
    rows = []
    for arm in MAIN:
        own = [
            one
            for one in records
            if one["arm"] == arm and one["backbone"] == backbone and one["decoder"] == "light"
            if SETS[one["set"]].size == 160 and one["share"] == 1
        ]
        if not own:
            continue
        step = np.median([one["train_cpu_s"] / one["steps"] for one in own])
        trained, kept = (np.median([one[name] for one in own]) / 1e6 for name in ("trained_params", "lean_bytes"))
        rows.append([arm, f"{step * 1e3:.0f}", f"{trained:.2f}", f"{kept:.1f}"])
    return table(["arm", "ms a step", "trains, M", "MB a detector"], rows)


def spread_table(records: list[dict]) -> str:
    """Standard deviation of AP between seeds, pooled over folds, by arm and set."""
    best, rows = chosen_rates(records), []
    for arm in ARMS:
        spreads = {
            one: seed_spread(
                [
                    record
                    for record in records
                    if record["arm"] == arm and record["set"] == one and record["backbone"] == "Lite0"
                    if record["decoder"] == "light" and record["share"] == 1
                    if record["rate"] == best.get(arm)
                ]
            )
            for one in RATE_SETS
        }
        if not all(np.isnan(value) for value in spreads.values()):
            rows.append([arm, *(_points(value) for value in spreads.values())])
    return table(["arm", *RATE_SETS], rows)


def main_cell(records: list[dict], one: str, backbone: str, arm: str) -> Cell | None:
    """An arm on a set in the main table: one seed a fold."""
    keys = {run.key for run in TABLES["main"](chosen_rates(records))}
    keys |= {run.key for run in TABLES["Lite2"](chosen_rates(records))}
    own = [record for record in records if record["key"] in keys]
    return cell(own, NUM_FOLDS, set=one, backbone=backbone, arm=arm)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Markdown, numbers to the right."""
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join([line(list(head)), line(marks), *(line(list(row)) for row in rows)])


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _half(found: Estimate) -> str:
    return _points((found.high - found.low) / 2)


def _interval(found: Estimate) -> str:
    return _bold(f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})", found.is_told)


def _difference(found: Estimate) -> str:
    return _bold(f"{100 * found.value:+.1f}", found.is_told)


def _bold(text: str, on: bool) -> str:
    return f"**{text}**" if on else text
