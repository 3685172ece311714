"""Tables of made records: what stands in a cell follows from the runs, what is not measured stays empty."""

import numpy as np
import pytest

from frozen_det.benchmarks.study.plan import FEW, MAIN, TABLES, rates
from frozen_det.benchmarks.study.running import packed
from frozen_det.benchmarks.study.tables import (
    cost_table,
    difference_table,
    few_table,
    main_table,
    rates_table,
    spread_table,
    table,
)

RATE = 1e-3
_NOISE = np.linspace(-0.02, 0.02, 200)


def record(run, value, val=0.5):
    return {
        "key": run.key,
        **run.to_json(),
        "numbers": {"mAP": value},
        "val_AP": val,
        "resampled": packed(value + _NOISE),
        "steps": 400,
        "train_cpu_s": 40.0,
        "trained_params": 2_500_000,
        "lean_bytes": 4_200_000,
    }


@pytest.fixture(scope="module")
def records():
    """All rates (1e-3 is chosen), and the main table of Lite0 on two sets: LoRA 0.1 above the others."""
    found = [record(run, 0.2, 0.5 + (run.rate == RATE)) for run in rates()]
    by_key = {one["key"]: one for one in found}
    for run in TABLES["main"](dict.fromkeys((*MAIN, "scratch"), RATE)):
        if run.set in ("kangaroo", "bccd"):
            by_key[run.key] = record(run, 0.3 + 0.1 * (run.arm == "LoRA") + 0.01 * run.fold, 1.5)
    return list(by_key.values())


def test_the_chosen_rate_is_bold(records):
    lines = rates_table(records).splitlines()
    assert lines[0] == "| arm | 0.0003 | 0.001 | 0.003 |" and lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == "| frozen | 50.0 | **150.0** | 50.0 |"


def test_a_cell_is_the_mean_over_folds_with_half_its_interval(records):
    lines = main_table(records, "Lite0").splitlines()
    assert lines[0] == "| arm | bccd | kangaroo | mean |"
    # Folds of 30, 31 and 32; quantiles of the noise at 2.5 and 97.5 %, the same in every fold.
    assert lines[2] == "| frozen | 31.0 ± 1.9 | 31.0 ± 1.9 | 31.0 |"
    assert lines[4] == "| LoRA | **41.0 ± 1.9** | **41.0 ± 1.9** | 41.0 |"
    assert main_table(records, "Lite2").splitlines()[0] == "| arm | mean |"


def test_a_set_without_all_folds_is_left_out(records):
    fewer = [one for one in records if (one["set"], one["fold"]) != ("bccd", 2)]
    assert main_table(fewer, "Lite0").splitlines()[0] == "| arm | kangaroo | mean |"


def test_differences_that_are_told_are_bold_and_counted(records):
    lines = difference_table(records, "Lite0").splitlines()
    assert lines[0] == "| arm | bccd | kangaroo | over sets | better, worse, not told |"
    assert lines[2] == "| parallel adapters | +0.0 | +0.0 | +0.0 (+0.0 to +0.0) | 0, 0, 2 |"
    assert lines[3] == "| LoRA | **+10.0** | **+10.0** | **+10.0 (+10.0 to +10.0)** | 2, 0, 0 |"


def test_a_table_that_varies_shares_has_a_row_for_each(records):
    runs = TABLES["fractions"](dict.fromkeys((*MAIN, "scratch"), RATE))
    more = [record(run, 0.1) for run in runs if run.set == "bccd" and run.share == 0.1]
    lines = few_table([*records, *more], "fractions", "share", lambda value: f"{value:.0%}").splitlines()
    assert lines[0] == "| set | share | " + " | ".join(FEW) + " |"
    assert lines[2:] == ["| bccd | 10% | " + " | ".join(["**10.0 ± 1.9**"] * 5) + " |"]


def test_costs_are_medians_a_step(records):
    assert cost_table(records, "Lite0").splitlines()[2] == "| frozen | 100 | 2.50 | 4.2 |"


def test_the_spread_needs_two_seeds_of_a_fold(records):
    assert len(spread_table(records).splitlines()) == 2
    seeds = TABLES["seeds"](dict.fromkeys((*MAIN, "scratch"), RATE))
    more = [record(run, 0.33) for run in seeds if run.arm == "frozen" and run.set == "kangaroo" and run.seed < 20]
    expected = 100 * np.sqrt(np.mean([np.var([0.3 + 0.01 * fold, 0.33], ddof=1) for fold in range(3)]))
    assert spread_table([*records, *more]).splitlines()[2] == f"| frozen | {expected:.1f} | nan |"


def test_numbers_stand_to_the_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
