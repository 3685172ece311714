"""The study's runs and the scores on its sets as cells: what was measured of each backbone and way on each set.

Scores and probes see the training and validation images of one fold, which are the test images of the other two. So
what is foretold from a probe is held against the test images of its own fold; how much a way gains over frozen is taken
from all folds, since no probe has a part in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...benchmarks.study.arms import BACKBONES
from ...benchmarks.study.plan import WHOLE
from ...benchmarks.study.reading import Study
from ...benchmarks.study.records import RUNS, read_records
from ...benchmarks.study.sets import SETS
from ..costs import WAYS
from ..expected import FROZEN, Cell, logit
from .records import FOLD, SCORES

#: Tables of the study whose runs have the main table's decoder, share and seeds.
TABLES = (*WHOLE, "backbones", "first folds")


@dataclass
class Grid:
    """What is finished.

    Attributes:
        cells: of each set and backbone that has its probe and the frozen run of the probe's fold.
        scores: by set and backbone, the record.
        rates: learning rate by way.
    """

    cells: list[Cell] = field(default_factory=list)
    scores: dict[tuple[str, str], dict] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, dict[str, float]]:
        """By set with a cell."""
        return {cell.set: self.scores[cell.set, cell.backbone]["facts"] for cell in self.cells}

    def table(self) -> dict:
        """What ships with the package: cells, facts and rates."""
        cells = [
            {
                "set": one.set,
                "backbone": one.backbone,
                "probe": one.probe,
                "AP": dict(one.AP),
                "gains": dict(one.gains),
            }
            for one in self.cells
        ]
        return {"cells": cells, "facts": self.facts, "rates": self.rates}


def grid_of(runs: Sequence[dict], scores: Sequence[dict]) -> Grid:
    """Join runs and scores.

    Args:
        runs: records of the study, of which those of :data:`TABLES` count.
        scores: of :func:`.records.scored`.

    Returns:
        the ways are those that `advise` has; no cell at all until the study's table `rates` is whole, since no rate is
        chosen before.
    """
    found = Grid(scores={(one["set"], one["backbone"]): dict(one) for one in scores})
    study = Study(runs)
    if "rates" not in study.rates:
        return found
    found.rates = {way: study.rates["rates"][way] for way in WAYS}
    measured: dict[tuple[str, str, str], dict[int, float]] = {}
    for name in TABLES:
        for one in study.finished(name):
            by_fold = measured.setdefault((one["set"], one["backbone"], one["arm"]), {})
            by_fold[one["fold"]] = one["numbers"]["mAP"]
    for key, record in found.scores.items():
        ways = {way: measured.get((*key, way), {}) for way in WAYS}
        AP = {way: by_fold[FOLD] for way, by_fold in ways.items() if FOLD in by_fold}
        if FROZEN in AP:
            gains = {way: round(_gain(ways[way], ways[FROZEN]), 5) for way in AP}
            found.cells.append(Cell(*key, record["probe"]["AP"], AP, gains))
    found.cells.sort(key=lambda cell: (list(SETS).index(cell.set), list(BACKBONES).index(cell.backbone)))
    return found


def _gain(way: dict[int, float], frozen: dict[int, float]) -> float:
    """Of the mean over the folds that both have, in logits."""
    shared = sorted(set(way) & set(frozen))
    return logit(float(np.mean([way[one] for one in shared]))) - logit(float(np.mean([frozen[one] for one in shared])))


def read_grid(runs: Path, scores: Path) -> Grid:
    """Of two files of records."""
    return grid_of(read_records(runs, RUNS), read_records(scores, SCORES))
