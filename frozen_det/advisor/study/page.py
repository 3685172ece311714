"""The advisor's part of docs/study.md: its rules held against each other, its scores, its probes; and its table."""

import json
import math
from dataclasses import astuple
from pathlib import Path

from ...benchmarks.study.arms import BACKBONES
from ...benchmarks.study.page import TITLE
from ...benchmarks.study.reading import Estimate
from ...benchmarks.study.sets import SETS
from ...benchmarks.study.tables import spaced
from ...errors import InputError
from ...pages.markdown import table
from ...pages.parts import Part
from ...weights.atomic_write import write_text
from ..expected import LEVEL, Expectations
from ..probes import UPDATES
from ..rows import SCORES
from .grid import Grid
from .leave_one_out import (
    ADVISOR,
    PROBE,
    claims,
    covered,
    enough,
    mean_regrets,
    mean_tau,
    orders_of_scores,
    regrets,
    sets_of,
    taus,
)

PART = Part("advisor", "frozen-det benchmark advisor --page")
TABLE = Path(__file__).parent.parent / "study_table.json"


def section(grid: Grid) -> str:
    """All of the part."""
    parts = ["## The advisor", _what(grid)]
    parts += _held_against(grid) if enough(grid) else [_NOT_YET]
    parts += ["### Scores and probes", _records(grid)]
    return "\n\n".join(parts) + "\n"


def write_page(grid: Grid, page: Path, table: Path = TABLE) -> None:
    """Put the part into a page and the table into the package.

    Args:
        grid: what is finished.
        page: a Markdown file.
        table: of :mod:`..expected`.

    Raises:
        InputError: the table that is there has more cells.
    """
    cells = sum(len(cell.AP) for cell in grid.cells)
    before = json.loads(table.read_text(encoding="utf-8"))["cells"] if table.is_file() else []
    shipped = sum(len(cell["AP"]) for cell in before)
    if cells < shipped:
        raise InputError(
            f"expected at least the {shipped} cells that {table} has, got {cells} from the records. Name files that "
            "hold them all (--records, --scores); remove the table first if fewer are meant."
        )
    PART.write(page, section(grid), TITLE)
    write_text(table, table_text(grid))


def table_text(grid: Grid) -> str:
    """What ships, as it is written."""
    return json.dumps(grid.table(), indent=1) + "\n"


_NOT_YET = (
    "The study's main table is not whole for enough sets: nothing can be foretold from it yet, and `advise` says so."
)


def _what(grid: Grid) -> str:
    scored, sets = len(grid.scores), len({one for one, _ in grid.scores})
    cells = sum(len(cell.AP) for cell in grid.cells)
    return f"""`frozen-det advise` scores the frozen features of each backbone, probes the best-scored ({UPDATES}
updates with the backbone frozen, AP of images held out), and tells what AP to expect of each way at the study's length.
Here each set is foretold from the others: the line from the probe to the frozen AP and the mean gain of each way are
fitted without it. A probe sees the training and validation images of the first fold, so what it foretells is held
against the test images of that fold alone; gains over frozen are of all folds there are, the mean of a set before
that of the sets. APs are in points.

```
frozen-det benchmark advisor --data SETS           # scores and probes that are missing
frozen-det benchmark advisor --page docs/study.md  # this part, and the table that ships with the package
```

Records are lines of `scores.jsonl` in docs/study. That a probe has {UPDATES} updates, and which ways Lite1 and
MobileNetV2 have, was chosen with results on these sets at hand.

Scores and probes: {scored} of {len(SETS) * len(BACKBONES)}, on {sets} sets. Measured in the study:
{len(grid.cells)} pairs of set and backbone, {cells} cells."""


def _held_against(grid: Grid) -> list[str]:
    by_set, chosen, sets = taus(grid), regrets(grid), sets_of(grid.cells)
    inside, cells = covered(grid)
    told, right, pairs = claims(grid)
    study = Expectations(grid.cells)
    parts = [
        f"Kendall's tau between foretold and measured AP of a set's cells: {_interval(mean_tau(by_set), '.2f')} over "
        f"{len(sets)} sets. {inside} of {cells} measured AP ({inside / cells:.0%}) lie in their intervals of "
        f"{LEVEL:.0%}. Of {pairs} pairs of cells {told} are told apart, {right} of them in the measured order.",
        f"Fitted on all sets, in logits: frozen = {study.line.start:.2f} + {study.line.slope:.2f} probe; gains over "
        "frozen: " + ", ".join(f"{way} {gain:+.2f}" for way, gain in study.line.gains.items() if gain) + ".",
        "Regret of the first choice: the best measured cell of the set minus the choice. Intervals of 95 % are "
        "Student's over the sets, from five on; no regret is below 0. The best of many cells is partly luck, for all "
        "rules alike, so read the last column.",
    ]
    means = mean_regrets(grid)
    rows = []
    for rule, (regret, more) in means.items():
        cells_of = [f"{100 * chosen[rule][one][1]:.1f}" if one in chosen[rule] else "-" for one in sets]
        rows.append([rule, *cells_of, _points(regret, ".1f"), "" if more is None else _points(more, "+.1f")])
    parts.append(table(["rule", *map(spaced, sets), "mean", "more than the advisor"], rows))
    picks = [
        [spaced(one), f"{by_set[one]:.2f}", " ".join(chosen[ADVISOR][one][0]) if one in chosen[ADVISOR] else "-"]
        for one in sets
    ]
    parts.append(table(["set", "tau", "the advisor's choice"], picks, left=3))
    ways = {choice[1] for choice, _ in chosen[ADVISOR].values()}
    if len({cell.backbone for cell in grid.cells}) == 1:
        parts.append(
            "All cells are of one backbone: the order of the ways is that of their mean gains on the other sets, and "
            "no score or probe has a part in the choice."
        )
    elif len(ways) == 1:
        parts.append(
            f"It chooses one way on every set ({ways.pop()}): rules with the same way tell what scores and probes add "
            "by the choice of a backbone."
        )
    orders = [
        [score, _interval(found, ".2f"), f"{right} of {pairs}", str(number)]
        for score, (found, right, pairs, number) in orders_of_scores(grid).items()
    ]
    if orders:
        parts.append(
            "How scores alone order backbones by their frozen AP, mean tau over the sets on which they can be read:"
        )
        parts.append(table(["score", "tau", "pairs in order", "sets"], orders))
    return parts


def _records(grid: Grid) -> str:
    rows = []
    for one in SETS:
        for backbone in BACKBONES:
            record = grid.scores.get((one, backbone))
            if record is None:
                continue
            probe, scores = record["probe"], record["scores"]
            rows.append(
                [
                    spaced(one),
                    backbone,
                    *(f"{scores[name]:.3f}" if name in scores else "-" for name in SCORES),
                    f"{100 * probe['AP']:.1f} ± {100 * probe['spread']:.1f}",
                    f"{probe['trained']} / {probe['tested']}",
                    f"{record['pass_cpu_s'] + record['scores_cpu_s']:.0f} / {probe['cpu_s']:.0f}",
                ]
            )
    if not rows:
        return "None yet."
    head = ["set", "backbone", *SCORES, PROBE, "images trained / tested", "CPU s, scores / probe"]
    note = "± is the standard deviation over resamples of the tested images; one thread."
    return f"{note}\n\n{table(head, rows, left=2)}"


def _points(found: Estimate, spec: str) -> str:
    return _interval(Estimate(*(100 * one for one in astuple(found))), spec)


def _interval(found: Estimate, spec: str) -> str:
    if math.isnan(found.low):
        return f"{found.value:{spec}}"
    return f"{found.value:{spec}} ({found.low:{spec}} to {found.high:{spec}})"
