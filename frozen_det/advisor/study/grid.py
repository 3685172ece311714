"""The study's runs and the scores on its sets as cells: what was measured of each backbone and way on each set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...benchmarks.study.arms import BACKBONES
from ...benchmarks.study.plan import MAIN, WHOLE
from ...benchmarks.study.reading import Study, Where
from ...benchmarks.study.records import read_records
from ...benchmarks.study.sets import SETS
from ..expected import FROZEN, Cell

Key = tuple[str, str, str]  # set, backbone, way


@dataclass
class Grid:
    """What is finished.

    Attributes:
        cells: of each set and backbone that has its probe and, in all folds, its frozen runs.
        samples: by set, backbone and way, (B,) AP of resampled test images, mean over the folds. The b-th counts the
            same images for all ways and backbones of a set.
        scores: by set and backbone, the record.
        rates: learning rate by way.
    """

    cells: list[Cell] = field(default_factory=list)
    samples: dict[Key, np.ndarray] = field(default_factory=dict)
    scores: dict[tuple[str, str], dict] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, dict[str, float]]:
        """By set with a cell."""
        return {cell.set: self.scores[cell.set, cell.backbone]["facts"] for cell in self.cells}

    def table(self) -> dict:
        """What ships with the package: cells, facts and rates."""
        cells = [
            {"set": one.set, "backbone": one.backbone, "probe": one.probe, "AP": dict(one.AP)} for one in self.cells
        ]
        return {"cells": cells, "facts": self.facts, "rates": self.rates}


def grid_of(runs: Sequence[dict], scores: Sequence[dict]) -> Grid:
    """Join runs and scores.

    Args:
        runs: records of the study. The cells are those of its tables of sets and backbones, one seed a fold.
        scores: of :func:`.records.scored`.

    Returns:
        no cell at all until the study's table `rates` is whole, since no rate is chosen before.
    """
    found = Grid(scores={(one["set"], one["backbone"]): dict(one) for one in scores})
    study = Study(runs)
    if "rates" not in study.rates:
        return found
    found.rates = {way: rate for way, rate in study.rates["rates"].items() if way in MAIN}
    cells = study.cells(*WHOLE, "backbones")
    for one in SETS:
        for backbone in BACKBONES:
            if (one, backbone) not in found.scores:
                continue
            whole = {way: cells[where] for way in MAIN if (where := Where(one, backbone, way)) in cells}
            if FROZEN in whole:
                AP = {way: round(read.estimate.value, 5) for way, read in whole.items()}
                found.cells.append(Cell(one, backbone, found.scores[one, backbone]["probe"]["AP"], AP))
                found.samples.update({(one, backbone, way): read.resampled.mean(0) for way, read in whole.items()})
    return found


def read_grid(runs: Path, scores: Path) -> Grid:
    """Of two files of records."""
    return grid_of(read_records(runs), read_records(scores))
