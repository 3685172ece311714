"""The forecast of AP: what it recovers, against numpy's own line, its intervals, differences, and what is far away."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from frozen_det.advisor.expected import (
    LEVEL,
    Cell,
    Expectations,
    fitted,
    left_over,
    loaded,
    logit,
    probability,
    shipped,
)
from frozen_det.advisor.facts import FACTS, facts_of
from frozen_det.errors import InputError

PROBES = {"a": (0.1, 0.15), "b": (0.3, 0.25), "c": (0.5, 0.55), "d": (0.2, 0.35), "e": (0.4, 0.3)}


def cells(noise=0.0, of_set=0.0, seed=0, gains=None) -> list[Cell]:
    """Made by the model: frozen = 0.5 + 0.8 probe, in logits, with errors of cells and of sets."""
    draw = np.random.default_rng(seed)
    gains = gains or {"frozen": 0.0, "tuned": 0.3, "adapters": -0.2}
    found = []
    for name, probes in PROBES.items():
        shared = of_set * draw.normal()
        for body, probe in zip(("small", "large"), probes):
            z = {way: 0.5 + 0.8 * logit(probe) + gain + shared + noise * draw.normal() for way, gain in gains.items()}
            found.append(Cell(name, body, probe, {way: probability(value) for way, value in z.items()}))
    return found


def test_what_follows_the_model_is_foretold_exactly():
    study = Expectations(cells())
    assert study.line.start == pytest.approx(0.5) and study.line.slope == pytest.approx(0.8)
    assert study.line.gains == pytest.approx({"frozen": 0.0, "tuned": 0.3, "adapters": -0.2})
    found = study.expect(0.2, "tuned")
    wanted = probability(0.8 + 0.8 * logit(0.2))
    assert [found.AP, found.low, found.high] == pytest.approx([wanted] * 3)


def test_the_line_is_numpys_with_each_set_of_one_weight():
    made = [*cells(0.2, 0.3), Cell("a", "third", 0.7, {"frozen": 0.8})]
    weights = [1 / sum(cell.set == other.set for other in made) for cell in made]
    x, y = ([logit(value) for value in values] for values in zip(*((one.probe, one.AP["frozen"]) for one in made)))
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(weights))
    line = fitted(made)
    assert (line.start, line.slope) == pytest.approx((start, slope))


def test_a_line_that_falls_is_flat_and_goes_through_the_mean_of_the_sets():
    made = [Cell("a", "x", 0.2, {"frozen": 0.5}), Cell("b", "x", 0.5, {"frozen": 0.2})]
    line = fitted(made)
    assert line.slope == 0 and line.start == pytest.approx(logit(0.2) / 2)


def test_an_interval_is_students_of_the_errors_on_sets_left_out():
    made = cells(0.2, 0.3)
    errors = []
    for one in PROBES:
        others = [cell for cell in made if cell.set != one]
        pairs = [(logit(cell.probe), logit(cell.AP["frozen"])) for cell in others]
        slope, start = np.polyfit(*zip(*pairs), 1)
        gain = np.mean([logit(cell.AP["tuned"]) - logit(cell.AP["frozen"]) for cell in others])
        own = [cell for cell in made if cell.set == one]
        errors.append([logit(cell.AP["tuned"]) - start - slope * logit(cell.probe) - gain for cell in own])
    half = student.ppf(0.5 + LEVEL / 2, 4) * math.sqrt(np.mean(np.square(errors)))
    study = Expectations(made)
    found = study.expect(0.3, "tuned")
    centre = study.line.logit(0.3, "tuned")
    assert [found.low, found.AP, found.high] == pytest.approx([probability(centre + k * half) for k in (-1, 0, 1)])
    assert [list(of.values()) for of in left_over(made)["tuned"].values()] == pytest.approx(np.array(errors))


def test_what_a_set_shares_widens_intervals_and_not_differences():
    study = Expectations(cells(0.0, 1.0))
    found = study.expect(0.3, "frozen")
    assert found.high - found.low > 0.4
    gap, half = study.difference(("small", 0.3, "tuned"), ("small", 0.3, "adapters"))
    assert gap == pytest.approx(0.5) and half == pytest.approx(0, abs=1e-9)
    assert study.told_apart(("small", 0.3, "tuned"), ("small", 0.3, "adapters"))


def test_a_difference_adds_the_errors_of_ways_and_of_backbones():
    made = cells(0.2)
    study, errors = Expectations(made), left_over(made)
    factor = student.ppf(0.5 + LEVEL / 2, 4)
    ways = np.mean(
        [
            [(errors["tuned"][one][body] - errors["frozen"][one][body]) ** 2 for body in ("small", "large")]
            for one in PROBES
        ]
    )
    bodies = np.mean([(errors["frozen"][one]["small"] - errors["frozen"][one]["large"]) ** 2 for one in PROBES])
    halves = [
        study.difference(("x", 0.3, "tuned"), other)[1]
        for other in (("x", 0.3, "frozen"), ("y", 0.3, "tuned"), ("y", 0.3, "frozen"))
    ]
    assert halves == pytest.approx([factor * math.sqrt(one) for one in (ways, bodies, ways + bodies)])
    assert study.difference(("x", 0.3, "tuned"), ("x", 0.3, "tuned")) == (0, 0)


def test_what_one_set_alone_has_cannot_be_told():
    made = [*cells(0.1), Cell("e", "third", 0.4, {"frozen": 0.5, "scratch": 0.1})]
    study = Expectations(made)
    assert "scratch" not in left_over(made) and "scratch" in study.line.gains
    assert "scratch" not in study.ways
    two = [*made, Cell("d", "third", 0.3, {"frozen": 0.4, "scratch": 0.1})]
    assert "scratch" in left_over(two) and "scratch" not in Expectations(two).ways
    three = [*two, Cell("c", "third", 0.3, {"frozen": 0.4, "scratch": 0.1})]
    assert "scratch" in Expectations(three).ways
    single = [cell for cell in cells(0.1) if cell.backbone == "small"]
    for few in (single, [*single, cells(0.1)[1]]):  # no set with two backbones, and one
        assert not Expectations(few).told_apart(("x", 0.1, "frozen"), ("y", 0.9, "frozen"))


def test_data_far_from_the_study_are_named():
    facts = {name: {"a": 10.0, "b": 20.0} for name in FACTS}
    of_sets = {one: {name: values[one] for name, values in facts.items()} for one in "ab"}
    study = Expectations(cells(), of_sets)
    inside = dict.fromkeys(FACTS, 5.0)
    assert study.outside(inside) == study.outside(dict.fromkeys(FACTS, 40.0)) == []
    (words,) = study.outside({**inside, "classes": 41.0})
    assert words == "classes: 41, in the study 10 to 20"
    assert len(study.outside({**inside, "object side": math.nan})) == 1


def test_a_probe_far_from_those_of_the_study_is_known():
    study = Expectations(cells())
    assert study.probes == (0.1, 0.55)
    assert [study.is_near(one) for one in (0.0, 0.049, 0.051, 0.3, 1.0)] == [False, False, True, True, True]


def test_too_few_sets_foretell_nothing():
    few = [cell for cell in cells() if cell.set in "ab"]
    with pytest.raises(InputError, match="at least 3 sets"):
        Expectations(few)
    table = {"cells": [vars(cell) for cell in few], "facts": {}, "rates": {}}
    assert loaded(table) is None
    assert loaded({**table, "cells": [vars(cell) for cell in cells()]}).sets == list(PROBES)


def test_an_AP_at_the_ends_is_kept_off_them():
    assert [probability(logit(value)) for value in (0.0, 0.5, 1.0)] == pytest.approx([0.01, 0.5, 0.99])


def test_the_table_that_ships_can_be_read():
    study = shipped()
    assert study is None or set(study.ways) >= {"frozen"}


def test_facts_are_counted_at_the_size_of_the_network():
    images = [dict(id=1, width=200, height=100), dict(id=2, width=100, height=400)]
    boxes = [(1, [0, 0, 10, 40]), (1, [0, 0, 20, 20]), (2, [0, 0, 40, 40]), (2, [0, 0, 0, 9])]
    annotations = [dict(image_id=image, bbox=box) for image, box in boxes]
    annotations.append(dict(image_id=2, bbox=[0, 0, 90, 90], iscrowd=1))
    found = facts_of(dict(images=images, annotations=annotations, categories=[{}, {}]), 100)
    # Sides 20, 20 and 40 px, images scaled by a half and a quarter.
    assert found == {"training images": 2, "classes": 2, "objects an image": 1.5, "object side": 10.0}
