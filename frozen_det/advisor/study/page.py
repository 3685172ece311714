"""The advisor's part of docs/study.md: its rules held against each other, its scores, its probes; and its table."""

import json
import math
from pathlib import Path

from ...benchmarks.study.arms import BACKBONES
from ...benchmarks.study.page import TITLE
from ...benchmarks.study.reading import Estimate
from ...benchmarks.study.sets import SETS
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
    orders_of_scores,
    regrets,
    sets_of,
    tau_of_all,
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
    """
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
fitted without it.

```
frozen-det benchmark advisor --data SETS           # scores and probes that are missing
frozen-det benchmark advisor --page docs/study.md  # this part, and the table that ships with the package
```

Scores and probes: {scored} of {len(SETS) * len(BACKBONES)}, on {sets} sets, of the first fold's training and validation
images. Whole in the study, all folds: {len(grid.cells)} pairs of set and backbone, {cells} cells."""


def _held_against(grid: Grid) -> list[str]:
    tau, by_set, chosen = tau_of_all(grid), taus(grid), regrets(grid)
    sets = sets_of(grid.cells)
    inside, cells = covered(grid)
    told, right, pairs = claims(grid)
    study = Expectations(grid.cells)
    parts = [
        f"Kendall's tau between foretold and measured AP of a set's cells: {_interval(tau, '.2f')} over {len(sets)} "
        f"sets. {inside} of {cells} measured AP ({inside / cells:.0%}) lie in their intervals of {LEVEL:.0%}. Of "
        f"{pairs} pairs of cells {told} are told apart, {right} of them in the measured order.",
        f"Fitted on all sets, in logits: frozen = {study.line.start:.2f} + {study.line.slope:.2f} probe; gains over "
        "frozen: " + ", ".join(f"{way} {gain:+.2f}" for way, gain in study.line.gains.items() if gain) + ".",
        "Regret of the first choice in AP: the best measured cell of the set minus the choice. Intervals of 95 % from "
        "drawing sets and test images anew; the best of many measured cells is partly luck, for all rules alike, so "
        "read the last column.",
    ]
    means = mean_regrets(grid)
    rows = []
    for rule, (regret, more) in means.items():
        cells_of = [f"{chosen[rule][one][1]:.3f}" if one in chosen[rule] else "-" for one in sets]
        rows.append([rule, *cells_of, _interval(regret, ".3f"), "" if more is None else _interval(more, "+.3f")])
    parts.append(table(["rule", *sets, "mean", "more than the advisor"], rows))
    picks = [
        [one, f"{by_set[one]:.2f}", " ".join(chosen[ADVISOR][one][0]) if one in chosen[ADVISOR] else "-"]
        for one in sets
    ]
    parts.append(table(["set", "tau", "the advisor's choice"], picks, left=3))
    orders = [
        [score, _interval(found, ".2f"), f"{right} of {pairs}", str(number)]
        for score, (found, right, pairs, number) in orders_of_scores(grid).items()
    ]
    if orders:
        parts.append(
            "How scores alone order backbones by their frozen AP, mean tau over the sets on which they can be read "
            "(two backbones are one pair: a tau of 1 or -1):"
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
                    one,
                    backbone,
                    *(f"{scores[name]:.3f}" if name in scores else "-" for name in SCORES),
                    f"{probe['AP']:.3f} ± {probe['spread']:.3f}",
                    f"{probe['trained']} / {probe['tested']}",
                    f"{record['pass_cpu_s'] + record['scores_cpu_s']:.0f} / {probe['cpu_s']:.0f}",
                ]
            )
    if not rows:
        return "None yet."
    head = ["set", "backbone", *SCORES, PROBE, "images trained / tested", "CPU s, scores / probe"]
    note = "± is the standard deviation over resamples of the tested images; one thread."
    return f"{note}\n\n{table(head, rows, left=2)}"


def _interval(found: Estimate, spec: str) -> str:
    if math.isnan(found.value):
        return "-"
    return f"{found.value:{spec}} ({found.low:{spec}} to {found.high:{spec}})"
