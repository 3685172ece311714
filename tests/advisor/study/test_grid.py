"""Which runs make a cell: the chosen rate, the probe's fold for the AP, all folds for the gains."""

import json

import pytest

from frozen_det.advisor.costs import WAYS
from frozen_det.advisor.expected import Cell, logit
from frozen_det.advisor.study.grid import grid_of
from frozen_det.benchmarks.study.arms import StudyRun
from frozen_det.benchmarks.study.plan import MAIN

from .made import RATE, rate_records, run_record, runs, score_record

THREE = ("kangaroo", "capybara", "microcontrollers")
WHOLE = {(one, "Lite0", way): 0.2 + 0.01 * place for one in THREE for place, way in enumerate(MAIN)}


def test_a_cell_has_the_ap_of_the_probes_fold_and_the_gains_of_all():
    scores = [score_record(one, "Lite0", 0.1) for one in THREE]
    grid = grid_of(runs(WHOLE, spread=0.05), scores)
    assert grid.rates == dict.fromkeys(WAYS, RATE)
    means = {way: WHOLE["kangaroo", "Lite0", way] for way in WAYS}  # the first fold is 0.05 below
    AP = {way: pytest.approx(mean - 0.05) for way, mean in means.items()}
    gains = {way: pytest.approx(logit(mean) - logit(0.2), abs=1e-5) for way, mean in means.items()}
    assert grid.cells[0] == Cell("kangaroo", "Lite0", 0.1, AP, gains)
    assert [cell.set for cell in grid.cells] == list(THREE)


def test_gains_are_of_the_folds_that_both_have():
    first = [run for run in runs(WHOLE, spread=0.05) if not (run["arm"] == "LoRA" and run["fold"] == 2)]
    (cell,) = grid_of(first, [score_record("kangaroo", "Lite0", 0.1)]).cells
    assert cell.gains["LoRA"] == pytest.approx(
        logit(WHOLE["kangaroo", "Lite0", "LoRA"] - 0.025) - logit(0.175), abs=1e-5
    )


def test_more_seeds_of_a_fold_are_left_out_as_in_the_studys_tables():
    more = [run_record(StudyRun("kangaroo", 0, "Lite0", "frozen", RATE, seed=10 * one), 0.9) for one in (1, 2)]
    grid = grid_of([*runs(WHOLE), *more], [score_record("kangaroo", "Lite0", 0.1)])
    assert grid.cells[0].AP["frozen"] == pytest.approx(0.2, abs=1e-5)


def test_other_shares_decoders_lengths_and_other_folds_alone_are_left_out():
    strange = [
        run_record(StudyRun("bccd", fold, "Lite0", "frozen", RATE, seed=fold, **other), 0.9)
        for fold in range(3)
        for other in ({"share": 0.1}, {"decoder": "large"}, {"updates": 100})
    ]
    unfinished = [run_record(StudyRun("bccd", fold, "Lite2", "frozen", RATE, seed=fold), 0.9) for fold in (1, 2)]
    tuned_alone = [run_record(StudyRun("bccd", fold, "Lite1", "fine-tuned", RATE, seed=fold), 0.9) for fold in range(3)]
    scores = [score_record("bccd", body, 0.1) for body in ("Lite0", "Lite1", "Lite2")]
    assert grid_of([*runs(WHOLE), *strange, *unfinished, *tuned_alone], scores).cells == []


def test_without_a_probe_or_before_the_rates_there_is_no_cell():
    assert grid_of(runs(WHOLE), []).cells == []
    scores = [score_record("kangaroo", "Lite0", 0.1)]
    assert len(grid_of(runs(WHOLE), scores).cells) == 1
    missing = [run for run in runs(WHOLE) if not (run["arm"] == "LoRA" and run["fold"] == 0)]
    assert grid_of(missing, scores).cells == [] and grid_of(rate_records(), scores).cells == []


def test_the_table_that_ships_holds_the_cells():
    grid = grid_of(runs(WHOLE), [score_record("kangaroo", "Lite0", 0.125)])
    table = json.loads(json.dumps(grid.table()))
    assert [Cell(**one) for one in table["cells"]] == grid.cells
    assert table["facts"] == {"kangaroo": grid.scores["kangaroo", "Lite0"]["facts"]} and table["rates"] == grid.rates
