"""Means, intervals, paired differences and ranks of made records."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import chi2, rankdata

from frozen_det.benchmarks.study.arms import StudyRun
from frozen_det.benchmarks.study.plan import rates
from frozen_det.benchmarks.study.reading import Study, Where, cell_of, over_sets, ranks, seed_spread
from frozen_det.benchmarks.study.running import packed

NUM = 200


def record(arm, fold, value, resampled, seed=0, **others):
    run = StudyRun(others.get("set", "kangaroo"), fold, "Lite0", arm, 1e-3, seed)
    return {"key": run.key, **run.to_json(), "numbers": {"mAP": value}, "resampled": packed(np.asarray(resampled))}


def record_of(run, value, val=0.5):
    resampled = packed(np.full(NUM, value))
    return {"key": run.key, **run.to_json(), "numbers": {"mAP": value}, "val_AP": val, "resampled": resampled}


def noise(seed):
    return np.random.default_rng(seed).normal(0, 0.02, NUM)


def test_an_ap_is_the_mean_over_folds_of_means_over_seeds():
    records = [
        record("frozen", 0, 0.2, np.full(NUM, 0.2)),
        record("frozen", 0, 0.4, np.full(NUM, 0.4), seed=1),
        record("frozen", 1, 0.6, np.full(NUM, 0.6)),
    ]
    found = cell_of(records)
    assert found.values == pytest.approx([0.3, 0.6])
    assert astuple(found.estimate) == pytest.approx((0.45, 0.45, 0.45), abs=1e-5)


def test_intervals_are_quantiles_about_the_value():
    resampled = 0.51 + noise(0)
    found = cell_of([record("frozen", 0, 0.5, resampled)]).estimate
    low, high = np.quantile(resampled, [0.025, 0.975]) - (resampled.mean() - 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high), abs=2e-5)


def test_a_difference_is_paired():
    shared = noise(0)
    first = cell_of([record("LoRA", 0, 0.53, 0.53 + shared)])
    second = cell_of([record("frozen", 0, 0.5, 0.5 + shared)])
    alone = cell_of([record("other", 0, 0.5, 0.5 + noise(1))])
    assert first.minus(second).low == pytest.approx(0.03, abs=1e-4) and first.minus(second).is_told
    assert not first.minus(alone).is_told and first.minus(alone).value == pytest.approx(0.03)


def test_over_sets_the_sets_are_resampled_too():
    def cells(arm, values):
        return [
            cell_of([record(arm, 0, value, np.full(NUM, value), set=str(number))])
            for number, value in enumerate(values)
        ]

    frozen = cells("frozen", [0.2, 0.3, 0.4, 0.5])
    equal = over_sets(cells("LoRA", [0.25, 0.35, 0.45, 0.55]), frozen)
    assert (equal.value, equal.low, equal.high) == pytest.approx((0.05, 0.05, 0.05), abs=1e-4)
    # Differences 0.1, 0.1, 0.1 and -0.1: their mean over four draws with replacement is binomial.
    mixed = over_sets(cells("LoRA", [0.3, 0.4, 0.5, 0.4]), frozen)
    assert mixed.value == pytest.approx(0.05) and not mixed.is_told
    assert mixed.low == pytest.approx(-0.05, abs=1e-3) and mixed.high == pytest.approx(0.1, abs=1e-3)


def test_ranks_and_the_critical_difference_of_demsar():
    """Table 6 of Demsar 2006: four classifiers, fourteen sets, mean ranks 3.143, 2.000, 2.893, 1.964; Nemenyi's
    difference at 5 % is 2.569 sqrt(4 5 / (6 14)) = 1.25."""
    c45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
    c45m = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]
    c45cf = [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946]
    c45mcf = [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970]
    found = ranks(dict(a=c45, b=c45m, c=c45cf, d=c45mcf))
    assert list(found.means.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical == pytest.approx(1.25, abs=5e-3) and found.num_sets == 14
    assert found.groups() == [["d", "b", "c", "a"]]


def test_groups_are_the_longest_runs_that_are_not_told_apart():
    values = np.random.default_rng(0).random((4, 30)) * 0.01 + np.array([[0.9], [0.9], [0.5], [0.1]])
    found = ranks(dict(zip("abcd", values, strict=True)))
    placed = np.apply_along_axis(rankdata, 0, -values).mean(1)
    assert list(found.means.values()) == pytest.approx(placed.tolist())
    # Friedman's statistic without ties, with three degrees of freedom.
    statistic = 12 * 30 / (4 * 5) * (np.sum(placed**2) - 4 * 5**2 / 4)
    assert found.p == pytest.approx(chi2.sf(statistic, 3))
    first = sorted("ab", key=lambda name: found.means[name])
    assert found.groups() == [first]


def test_the_spread_over_seeds_is_pooled_over_folds():
    values = {0: (0.1, 0.2, 0.6), 1: (0.4, 0.5)}
    records = [
        record("frozen", fold, value, np.zeros(NUM), seed)
        for fold, one in values.items()
        for seed, value in enumerate(one)
    ]
    pooled = (2 * np.var(values[0], ddof=1) + np.var(values[1], ddof=1)) / 3
    assert seed_spread(records) == pytest.approx(np.sqrt(pooled))
    assert np.isnan(seed_spread(records[3:4]))


def test_a_study_has_the_cells_of_a_table_of_which_no_run_is_missing():
    records = [record_of(run, 0.2, 0.5 + (run.rate == 3e-3)) for run in rates()]
    assert Study(records[1:]).rates == {} and Study(records[1:]).cells("main") == {}
    study = Study(records)
    assert study.rates["rates"]["frozen"] == 3e-3
    runs = [run for run in study.runs("main") if (run.set, run.arm) in (("bccd", "frozen"), ("bccd", "LoRA"))]
    for place, run in enumerate(runs[:-1]):  # LoRA lacks its last fold
        records.append(record_of(run, 0.1 * place))
    study = Study(records)
    assert [one["key"] for one in study.finished("main") if one["set"] == "bccd"] == [run.key for run in runs[:-1]]
    found = study.cells("main", "Lite2")
    assert list(found) == [Where("bccd", "Lite0", "frozen")]
    assert found["bccd", "Lite0", "frozen", "light", 1.0].values == pytest.approx([0.0, 0.2, 0.4])
