"""Class by class: the table of AP, and for pairs of groups the classes that gain and lose."""

from ..pages.blocks import MISSING, Figure, Table
from ..pages.plots import draw_bars_svg
from ..pages.words import percent
from .comparison import Comparison
from .detection_comparison import KIND_WORDS, spread
from .groups import RunGroup, mean_and_spread
from .sections import Facts, section

MAX_CLASSES = 120
NUM_EXTREMES = 15
MAX_PICTURES = 4
_STAGE_WORDS = {"test": "test", "val": "last validation"}


def by_class(groups: list[RunGroup], stage: str = "val", pairs: list[Comparison] | None = None) -> list:
    """All columns for one run; AP of each group for several, then the differences of the pairs."""
    blocks = []
    for kind, word in KIND_WORDS.items():
        tables = [[run.classes(stage)[kind] for run in group.runs if kind in run.classes(stage)] for group in groups]
        if any(tables):
            blocks.append(_table(groups, tables, word, stage))
    return blocks + _differences(pairs or [], stage)


def _table(groups: list[RunGroup], tables: list, word: str, stage: str) -> Table:
    if len(groups) == 1 and len(tables[0]) == 1:
        columns = [name for name in tables[0][0][0] if name not in ("name", "id", "frequency")]
        rows = [[row["name"], *(percent(row[column]) for column in columns)] for row in tables[0][0]]
    else:
        columns = [group.label for group in groups]
        means = [_class_means(of_group) for of_group in tables]
        names = dict.fromkeys(
            name for of_group in tables for table in of_group for name in (row["name"] for row in table)
        )
        rows = [[name, *(spread(of_group.get(name)) for of_group in means)] for name in names]
    caption = (
        f"{word.capitalize()} numbers of each class in percent, {_STAGE_WORDS[stage]}; a dash where its set "
        "holds no such object."
    )
    if len(rows) <= MAX_CLASSES:
        return Table(["class", *columns], rows, caption)
    ranked = sorted((row for row in rows if row[1] != MISSING), key=lambda row: float(row[1].split(" ")[0]))
    caption += f" Of {len(rows)} classes the {NUM_EXTREMES} best and the {NUM_EXTREMES} worst are shown."
    return Table(
        ["class", *columns],
        ranked[::-1][:NUM_EXTREMES] + ranked[:NUM_EXTREMES][::-1],
        caption,
        rule_before=[NUM_EXTREMES],
    )


def _class_means(tables: list[list[dict]]) -> dict:
    """Class name -> mean and spread of AP over the tables of a group's runs."""
    values: dict[str, list[float]] = {}
    for table in tables:
        for row in table:
            if row["AP"] != -1:
                values.setdefault(row["name"], []).append(row["AP"])
    return {name: mean_and_spread(found) for name, found in values.items()}


def _differences(pairs: list[Comparison], stage: str) -> list[Figure]:
    """Bars of the classes by their difference, for the first pairs."""
    figures = []
    for kind, word in KIND_WORDS.items():
        for pair in pairs:
            first, second = (
                _class_means([run.classes(stage)[kind] for run in group.runs if kind in run.classes(stage)])
                for group in (pair.first, pair.second)
            )
            found = sorted(
                ((name, 100 * (second[name][0] - first[name][0])) for name in first if name in second),
                key=lambda one: -one[1],
            )
            if not found or len(figures) == MAX_PICTURES:
                continue
            shown, note = found, ""
            if len(found) > 2 * NUM_EXTREMES:
                shown, note = (
                    found[:NUM_EXTREMES] + found[-NUM_EXTREMES:],
                    f" Of {len(found)} classes the {NUM_EXTREMES} at each end.",
                )
            name = f"classes-{kind}-{len(figures)}"
            figures.append(
                Figure(
                    draw_bars_svg(shown, f"difference of {word} AP, points", name),
                    f"{pair.words}, class by class, means over seeds.{note}",
                    name,
                )
            )
    return figures


@section("By class", 30, "run")
def _of_one(facts: Facts) -> list:
    return by_class(facts.groups)


@section("By class", 50, "runs")
def _of_each(facts: Facts) -> list:
    return by_class(facts.groups, facts.stage, facts.pairs)
