"""Tables of made records: what stands in a cell follows from the runs, what is not measured stays empty."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from frozen_det.benchmarks.study.plan import MAIN, TABLES
from frozen_det.benchmarks.study.reading import Study
from frozen_det.benchmarks.study.running import packed
from frozen_det.benchmarks.study.sets import SETS
from frozen_det.benchmarks.study.tables import (
    Varied,
    difference_table,
    main_table,
    progress_table,
    ranks_of,
    rates_table,
    sets_table,
    spread_table,
    summary_table,
    varied_differences,
    varied_table,
    whole_sets,
)

from .made import NOISE, RATES, record, with_main

COSTS = {
    "Lite0_frozen_light_160px": dict(
        cpu_ms=99.6,
        peak_bytes=300 * 2**20,
        base_bytes=100 * 2**20,
        forward_flops=920_000_000,
        lean_bytes=4_490_000,
        trained_params=1_088_533,
    )
}
COST = "100 | 200 | 0.92 | 4.5 | 1.09 |"
NO_COST = "  |  |  |  |  |"
FIVE = tuple(SETS)[:5]


@pytest.fixture(scope="module")
def records():
    """Two sets: LoRA 0.1 above the others, folds of 0.30, 0.31 and 0.32."""
    return with_main(("kangaroo", "bccd"), lambda run: 0.3 + 0.1 * (run.arm == "LoRA") + 0.01 * run.fold)


@pytest.fixture(scope="module")
def study(records):
    return Study(records)


def row(text, start):
    """The rest of the row that starts so."""
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |"))[len(start) + 5 :]


def test_the_chosen_rate_is_bold_and_nothing_is_chosen_too_early(study, records):
    lines = rates_table(study).splitlines()
    assert lines[0] == "| arm | 0.0003 | 0.001 | 0.003 |" and lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[2] == "| frozen | 50.0 | **150.0** | 50.0 |"
    assert rates_table(Study(records[1:])) == ""


def test_progress_counts_the_runs_of_each_table(study):
    lines = progress_table(study).splitlines()
    assert lines[2:4] == ["| rates | 54 | 54 |", "| main | 56 | 168 |"]  # the rates' runs at 1e-3 are in the main table


def test_a_cell_is_the_mean_over_folds_with_half_its_interval_beside_the_costs(study):
    text = main_table(study, COSTS, "main")
    # Quantiles of the noise at 2.5 and 97.5 %, the same in every fold.
    assert row(text, "frozen") == f"31.0 ± 1.9 | 31.0 ± 1.9 |  |  |  |  |  | {COST}"
    assert row(text, "LoRA") == f"**41.0 ± 1.9** | **41.0 ± 1.9** |  |  |  |  |  |{NO_COST}"
    assert row(main_table(study, {}, "Lite2"), "frozen") == f" |  |  |  |  |  |  |{NO_COST}"


def test_an_arm_without_costs_has_those_of_the_arm_with_the_same_step(study):
    (own,), tuned = COSTS.values(), "Lite0_fine-tuned_light_160px"
    costs = {tuned: {**own, "cpu_ms": 209.0}}
    assert row(main_table(study, costs, "main"), "fine-tuned, a tenth of the rate").endswith(COST.replace("100", "209"))
    costs["Lite0_fine-tuned, a tenth of the rate_light_160px"] = {**own, "cpu_ms": 210.0}
    assert row(main_table(study, costs, "main"), "fine-tuned, a tenth of the rate").endswith(COST.replace("100", "210"))


def test_a_set_without_all_folds_is_empty(records):
    fewer = Study([one for one in records if (one["set"], one["fold"], one["arm"]) != ("bccd", 2, "LoRA")])
    assert row(main_table(fewer, {}, "main"), "LoRA").startswith(" | **41.0 ± 1.9** |")
    assert whole_sets(fewer, "main") == ["kangaroo"]
    assert row(summary_table(fewer, {}, "main"), "LoRA") == f"41.0 |  |  |  |{NO_COST}"


def test_differences_that_are_told_are_bold(study):
    text = difference_table(study, "main")
    assert row(text, "parallel adapters") == "+0.0 | +0.0 |  |  |  |  |  |"
    assert row(text, "LoRA") == "**+10.0** | **+10.0** |  |  |  |  |  |"


def test_the_summary_has_mean_rank_difference_and_counts():
    """Five sets: LoRA gains 0.1, on the last 0.05."""
    study = Study(with_main(FIVE, lambda run: 0.31 + (0.1 - 0.05 * (run.set == FIVE[-1])) * (run.arm == "LoRA")))
    text = summary_table(study, COSTS, "main")
    assert row(text, "frozen") == f"31.0 | 5.0 |  |  | {COST}"  # seven arms share the ranks 2 to 8
    wanted = ttest_1samp([10, 10, 10, 10, 5], 0).confidence_interval(0.95)
    told = f"**+9.0 ({wanted.low:+.1f} to {wanted.high:+.1f})**"
    assert row(text, "LoRA") == f"40.0 | 1.0 | {told} | 5, 0, 0 |{NO_COST}"
    assert row(text, "fine-tuned") == f"31.0 | 5.0 | +0.0 (+0.0 to +0.0) | 0, 0, 5 |{NO_COST}"
    assert len(text.splitlines()) == 2 + len(MAIN)
    assert ranks_of(study, "main").num_sets == 5


def test_ranks_need_five_sets(study):
    assert ranks_of(study, "main") is None
    assert row(summary_table(study, COSTS, "main"), "frozen") == f"31.0 |  |  |  | {COST}"


def test_what_is_better_by_less_than_its_interval_is_not_told(records):
    strays = {"numbers": {"mAP": 0.311}, "resampled": packed(0.311 + NOISE[::-1])}
    changed = Study(
        [{**one, **strays} if one["arm"] == "fine-tuned" and one["rate"] == 1e-3 else one for one in records]
    )
    assert row(summary_table(changed, {}, "main"), "fine-tuned").split(" | ")[3].startswith("0, 0, 2")
    assert row(difference_table(changed, "main"), "fine-tuned").startswith("+0.1 | +0.1 |")


def test_a_table_that_varies_shares_has_the_main_tables_rows_too(records):
    more = [
        record(run, 0.1 + 0.1 * (run.arm == "fine-tuned")) for run in TABLES["fractions"](RATES) if run.set == "bccd"
    ]
    shares = Varied("fractions", by="share", values=(0.1, 1.0), label="{:.0%}".format)
    text = varied_table(Study([*records, *more]), COSTS, shares)
    assert text.splitlines()[0].startswith(
        "| share | arm | bccd | microcontrollers | playing cards | vs frozen | ms a step"
    )
    assert row(text, "10% | frozen") == f"10.0 ± 1.9 |  |  |  | {COST}"
    assert row(text, "10% | fine-tuned") == f"**20.0 ± 1.9** |  |  | **+10.0 (+10.0 to +10.0)** |{NO_COST}"
    assert row(text, "100% | frozen") == f"**31.0 ± 1.9** |  |  |  | {COST}"

    rows = dict(varied_differences(Study([*records, *more]), shares))
    assert list(rows) == ["bccd, 10%", "bccd, 100%"]
    assert [round(one.value, 6) for one in rows["bccd, 10%"]] == [0.1, 0.0]  # fine-tuned, at a tenth of the rate
    assert [round(one.value, 6) for one in rows["bccd, 100%"]] == [0.0, 0.0]


def test_a_table_of_arms_alone_compares_with_the_first(records):
    more = [record(run, 0.11, 1.5) for run in TABLES["scratch"](RATES)]
    text = varied_table(Study([*records, *more]), {}, Varied("scratch", ("frozen", "scratch")))
    assert text.splitlines()[0].startswith("| arm | kangaroo | microcontrollers | vs frozen |")
    assert row(text, "scratch") == f"11.0 ± 1.9 | **11.0 ± 1.9** | **-20.0 (-20.0 to -20.0)** |{NO_COST}"


def test_the_spread_is_that_of_the_first_fold_and_needs_two_seeds(study, records):
    assert row(spread_table(study), "frozen") == " |  |"
    more = [record(run, 0.33) for run in TABLES["seeds"](RATES) if run.set == "kangaroo" and run.seed < 20]
    expected = 100 * np.std([0.3, 0.33], ddof=1)
    assert row(spread_table(Study([*records, *more])), "frozen") == f"{expected:.1f} (2) |  |"


def test_a_set_is_told_with_its_licence():
    one = dict(images=10, objects=30, classes=dict(a=10, b=20), relative_side=0.251, distance=0.5)
    text = sets_table({"capybara": one})
    assert row(text, "capybara") == "freds0/capybara_dataset, MIT | 10 | 30 | 2, of 10 to 20 | 0.25 | 0.50 | 160 |"
    assert row(text, "kangaroo").endswith("none stated: for measuring alone |  |  |  |  |  | 160 |")
    assert len(text.splitlines()) == 2 + len(SETS)
