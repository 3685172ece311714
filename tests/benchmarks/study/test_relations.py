"""Rank correlations of differences with what a set is and with the frequency of classes, by hand."""

import numpy as np
import pytest

from frozen_det.benchmarks.study.reading import Study
from frozen_det.benchmarks.study.relations import class_APs, of_classes, relations_table, spearman

from .made import with_main

SETS = ("bccd", "kangaroo", "capybara", "microcontrollers")


def test_p_counts_the_orders_that_are_as_far_from_none():
    found = spearman([1, 2, 3, 4], [1.0, 2.0, 4.0, 3.0])
    # 1 - 6 * 2 / (4 * 15); of 24 orders, four of each sign reach 0.8: the best and three that swap neighbours.
    assert found.rho == pytest.approx(0.8) and found.p == pytest.approx(8 / 24) and found.n == 4
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]).p == pytest.approx(2 / 24)
    values = np.arange(9.0)
    assert (
        spearman(list(values), list(values[::-1])).rho == pytest.approx(-1) and spearman([1, 2, 3], [1, 2, 3]) is None
    )
    assert spearman([1, 1, 1, 1], [1, 2, 3, 4]) is None


def test_seven_sets_tell_at_five_percent_from_the_correlation_on_that_the_page_names():
    first = [1, 2, 3, 4, 5, 6, 7]
    assert (
        spearman(first, [1, 2, 3, 7, 4, 6, 5]).rho == pytest.approx(0.75)
        and spearman(first, [1, 2, 3, 7, 4, 6, 5]).p > 0.05
    )
    assert spearman(first, [1, 2, 3, 5, 6, 7, 4]).rho == pytest.approx(0.7857, abs=1e-4)
    assert spearman(first, [1, 2, 3, 5, 6, 7, 4]).p < 0.05


def facts(place, **classes):
    return dict(images=100 - place, objects=10, relative_side=0.1, distance=0.1 * place, classes=classes)


def test_a_difference_that_grows_with_the_distance():
    records = with_main(SETS, lambda run: 0.3 + 0.01 * SETS.index(run.set) * (run.arm == "LoRA"))
    study = Study(records)
    known = {one: facts(place, thing=10) for place, one in enumerate(SETS)}
    text = relations_table(study, known, "main")
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    assert "distance from ImageNet | images | side of an object | objects a class" in lines["arm"]
    assert lines["LoRA"] == "| LoRA | +1.00 (p 0.08, n 4) | -1.00 (p 0.08, n 4) |  |  |  |"
    assert lines["fine-tuned"] == "| fine-tuned |  |  |  |  |  |"
    del known["bccd"]
    assert "n 4" not in relations_table(study, known, "main")


def test_classes_are_compared_within_their_set():
    """LoRA gains on what is common; a class without test images in a fold is the mean of the other folds."""
    counts = {"bccd": dict(rare=100, usual=300, common=2000), "capybara": dict(rare=10, usual=20, common=40)}

    def classes(run):
        base = 0.4 * (run.set == "bccd")  # a better set with more objects is no evidence
        gain = 0.05 * (run.arm == "LoRA")
        found = {name: base + gain * float(np.log(count)) for name, count in counts[run.set].items()}
        return {**found, "rare": -1.0} if run.fold == 0 else found

    study = Study(with_main(tuple(counts), lambda run: 0.3, classes))
    assert class_APs(study.cells("main")["capybara", "Lite0", "frozen", "light", 1.0]) == pytest.approx(
        dict(rare=0.0, usual=0.0, common=0.0)
    )
    known = {one: facts(0, **of) for one, of in counts.items()}
    found = of_classes(study, known, "main", "LoRA")
    assert found.n == 6 and found.rho == pytest.approx(1)
    assert of_classes(study, known, "main", "fine-tuned") is None
