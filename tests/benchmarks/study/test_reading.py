"""Means, intervals, paired differences and ranks of made records."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import chi2, rankdata, ttest_1samp

from frozen_det.benchmarks.study.arms import StudyRun
from frozen_det.benchmarks.study.plan import rates
from frozen_det.benchmarks.study.reading import (
    Study,
    Where,
    cell_of,
    over_sets,
    ranks,
    seed_variance,
    training_variance,
)
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


def test_training_widens_an_interval_beside_the_images():
    records = [
        record("frozen", 0, 0.2, 0.2 + noise(0)),
        record("frozen", 0, 0.4, 0.4 + noise(1), seed=1),
        record("frozen", 1, 0.6, 0.6 + noise(2)),
    ]
    alone, found = cell_of(records), cell_of(records, variance=0.0008)
    # The mean over folds of the mean over seeds: (1/2 + 1/1) / 2^2 of a run's variance.
    assert found.variance == pytest.approx(0.0003)
    images = alone.resampled.mean(0).var()
    wider = np.sqrt(1 + 0.0003 / images)
    for end in ("low", "high"):
        assert getattr(found.estimate, end) - 0.45 == pytest.approx(wider * (getattr(alone.estimate, end) - 0.45))
    twice = found.minus(cell_of([record("LoRA", fold, 0.45, np.full(NUM, 0.45)) for fold in (0, 1)], variance=0.0006))
    one = np.sqrt(1 + (0.0003 + 0.0003) / images)
    assert twice.high == pytest.approx(one * (alone.estimate.high - 0.45), abs=1e-4)
    still = cell_of([record("frozen", 0, 0.5, np.full(NUM, 0.5))], variance=0.01).estimate
    assert (still.low, still.high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=1e-3)


def test_the_variance_of_training_is_what_arms_folds_and_images_leave():
    draw = np.random.default_rng(0)
    values = draw.random((4, 1)) + draw.random((1, 3)) + draw.normal(0, 0.1, (4, 3))
    shared = np.broadcast_to(values[..., None] + draw.normal(0, 0.05, (1, 3, NUM)), (4, 3, NUM))
    design = np.array([[*np.eye(4)[arm], *np.eye(3)[fold]] for arm in range(4) for fold in range(3)])
    left = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    by_hand = np.sum((values.ravel() - design @ left) ** 2) / 6  # (4 - 1) (3 - 1) degrees of freedom
    assert training_variance(values, shared) == (pytest.approx(by_hand), 6)
    # Images that count for each arm by itself: their variance is taken off.
    own = values[..., None] + draw.normal(0, 0.05, (4, 3, 20000))
    assert training_variance(values, own) == (pytest.approx(by_hand - 0.05**2, rel=0.02), 6)
    assert training_variance(values, values[..., None] + draw.normal(0, 1.0, (4, 3, NUM))) == (0, 6)


def test_a_study_takes_the_variance_of_a_set_from_its_main_table():
    records = [record_of(run, 0.2, 0.5 + (run.rate == 1e-3)) for run in rates()]
    by_key = {one["key"]: one for one in records}
    stray = {"frozen": (0.01, -0.01, 0.0), "LoRA": (-0.01, 0.01, 0.0)}
    for run in Study(records).runs("main"):
        if run.set == "bccd" and run.arm in stray:
            by_key[run.key] = record_of(run, 0.3 + stray[run.arm][run.fold], 0.5 + (run.rate == 1e-3))
    study = Study(list(by_key.values()))
    # Residuals of 0.01, four of them, over 1 x 2 degrees of freedom.
    assert study.variances["bccd"] == pytest.approx(4 * 0.01**2 / 2)
    assert study.variances["kangaroo"] == study.variances["bccd"]  # which has no other: the mean
    assert study.cells("main")["bccd", "Lite0", "LoRA", "light", 1.0].variance == pytest.approx(0.0002 / 3)
    assert set(Study(records).variances.values()) == {0.0}
    # Seeds of the first fold that stray by 0.02, beside the run that the table of rates has.
    frozen = [one for one in study.runs("seeds") if one.set == "microcontrollers" and one.arm == "frozen"][:2]
    records = [*by_key.values(), *(record_of(run, 0.3 + 0.02 * place) for place, run in enumerate(frozen))]
    assert Study(records).variances["microcontrollers"] == pytest.approx(np.var((0.2, 0.3, 0.32), ddof=1))
    for run in study.runs("main"):
        if run.set == "microcontrollers" and run.arm in stray:
            records.append(record_of(run, 0.3 + stray[run.arm][run.fold], 0.5 + (run.rate == 1e-3)))
    # The main table's run of that fold, now at 0.31, is one of the seeds.
    seeds = np.var((0.30, 0.32, 0.31), ddof=1)
    assert Study(records).variances["microcontrollers"] == pytest.approx((2 * 2 * 0.01**2 + 2 * seeds) / 4)


def cells_of(arm, values, spread=None):
    found = []
    for number, value in enumerate(values):
        sampled = np.full(NUM, value) if spread is None else value + noise(number + 100 * spread)
        found.append(cell_of([record(arm, 0, value, sampled, set=str(number))], variance=0.0001))
    return found


def test_over_five_sets_the_interval_is_students():
    values = [0.25, 0.35, 0.45, 0.50, 0.30]
    found = over_sets(cells_of("LoRA", values), cells_of("frozen", [0.2, 0.31, 0.4, 0.5, 0.27]))
    wanted = ttest_1samp([0.05, 0.04, 0.05, 0.0, 0.03], 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.034, wanted.low, wanted.high))
    equal = over_sets(cells_of("LoRA", values), cells_of("frozen", [value - 0.05 for value in values]))
    assert (equal.value, equal.low, equal.high) == pytest.approx((0.05, 0.05, 0.05))


def test_over_fewer_sets_it_holds_images_and_training_alone():
    own, others = cells_of("LoRA", [0.5, 0.2], spread=1), cells_of("frozen", [0.2, 0.4], spread=2)
    found = over_sets(own, others)
    images = np.mean([(one.resampled - other.resampled)[0] for one, other in zip(own, others, strict=True)], axis=0)
    low, high = np.quantile(images, [0.025, 0.975]) - images.mean()
    wider = np.sqrt(1 + 4 * 0.0001 / 4 / images.var())
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.05 + wider * low, 0.05 + wider * high))


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


def test_the_variance_over_seeds_is_pooled_over_folds_and_arms():
    values = {0: (0.1, 0.2, 0.6), 1: (0.4, 0.5)}
    records = [
        record("frozen", fold, value, np.zeros(NUM), seed)
        for fold, one in values.items()
        for seed, value in enumerate(one)
    ]
    pooled = (2 * np.var(values[0], ddof=1) + np.var(values[1], ddof=1)) / 3
    assert seed_variance(records) == pytest.approx((pooled, 3))
    assert seed_variance(records[3:4]) == (0, 0)
    others = [record("LoRA", 0, value, np.zeros(NUM), seed) for seed, value in enumerate((0.5, 0.9))]
    both = (3 * pooled + np.var((0.5, 0.9), ddof=1)) / 4
    assert seed_variance([*records, *others]) == pytest.approx((both, 4))


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
