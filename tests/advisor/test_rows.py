"""Scores of one backbone, their spread, and the order of several."""

import math
from dataclasses import replace

import numpy as np

from frozen_det.advisor.object_features import ObjectFeatures
from frozen_det.advisor.rows import (
    SCORES,
    Row,
    not_told_apart,
    random_halves,
    ranked,
    scored_row,
    unread_scores,
    unread_spreads,
)


def row(name, scores, spread=0.01) -> Row:
    halves = {key: value + spread * np.array([-1.0, 1.0, -1.0, 1.0]) for key, value in scores.items()}
    return Row(name, f"timm/{name}", 8, scores, halves)


def test_the_order_is_that_of_mean_ranks_in_scores_that_all_have():
    rows = [
        row("first", {"LogME": 0.1, "class means": 0.5, "H-score": 9.0}),
        row("second", {"LogME": 0.3, "class means": 0.6}),
        row("third", {"LogME": 0.4, "class means": 0.2}),
    ]
    # Ranks in LogME: 2, 1, 0; in class means: 1, 0, 2. The H-score is not everyone's.
    assert [one.name for one in ranked(rows)] == ["second", "third", "first"]


def test_backbones_are_told_apart_by_twice_the_spread_of_their_difference():
    first = row("a", {"LogME": 1.0, "H-score": 1.0})
    other = row("b", {"LogME": 0.9, "H-score": 0.9})
    other.halves["LogME"] = first.halves["LogME"] - 0.1 + 0.049 * np.array([1.0, -1.0, 1.0, -1.0])
    assert not_told_apart(first, other) == []
    other.halves["LogME"] = first.halves["LogME"] - 0.1 + 0.051 * np.array([1.0, -1.0, 1.0, -1.0])
    assert not_told_apart(first, other) == ["LogME"]
    assert not_told_apart(first, first) == ["LogME", "H-score"]


def made(num=60, dim=4, classes=2, images=12, seed=0) -> ObjectFeatures:
    draw = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    features = draw.normal(size=(num, dim)).astype(np.float32) + 2 * labels[:, None].astype(np.float32)
    corners = draw.uniform(0, 40, (num, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(4, 40, (num, 2))], 1)
    return ObjectFeatures(features, labels, boxes, np.full((num, 2), 100), np.arange(num) % images)


def test_the_spread_of_random_halves_is_that_of_new_draws():
    """Against what it stands for: the standard deviation over new draws of as many images."""
    halves_of = lambda seed: random_halves(range(40), np.random.default_rng(seed))  # noqa: E731
    rows = [scored_row("a", "timm/a", made(200, 3, 2, 40, seed), halves_of(seed)) for seed in range(12)]
    for score in ("LogME", "H-score"):
        drawn = np.std([one.scores[score] for one in rows])
        told = np.mean([one.spread(score) for one in rows])
        assert 0.6 < told / drawn < 1.6, (score, told, drawn)
    assert [len(set(half)) for half in random_halves(range(5), np.random.default_rng(0))] == [3] * 20


def test_what_cannot_be_scored_is_said_and_left_out():
    one_class, few = made(classes=1), made(num=8, dim=4)
    halves = [np.arange(6), np.arange(6, 12)]
    single = scored_row("a", "timm/a", one_class, halves)
    assert list(single.scores) == ["box LogME"]
    assert "all objects are of one class" in unread_scores([single], one_class)[0]
    small = scored_row("a", "timm/a", few, halves)
    assert "H-score" not in small.scores and "LogME" in small.scores
    assert "H-score: 8 objects are too few for 4 values" in unread_scores([small], few)[0]
    full = scored_row("a", "timm/a", made(), halves)
    assert list(full.scores) == list(SCORES)
    assert unread_scores([full], made()) == []


def test_halves_that_cannot_be_scored_leave_no_spread():
    found = made()
    alone = scored_row("a", "timm/a", found, [found.images[found.labels == 0][:1]])
    assert math.isnan(alone.spread("LogME")) and math.isfinite(alone.scores["LogME"])


def test_halves_for_which_there_is_no_time_are_not_scored():
    found = made()
    halves = random_halves(range(12), np.random.default_rng(0))
    late = scored_row("a", "timm/a", found, halves, until=-math.inf)
    assert list(late.scores) == list(SCORES) and all(np.isnan(late.halves[name]).all() for name in SCORES)
    whole = scored_row("a", "timm/a", found, halves)
    assert all(np.isfinite(whole.halves[name]).all() for name in SCORES)


def test_halves_of_too_few_images_tell_nothing_apart():
    """All halves of one image are the same: the spread was 0, and whatever differed was told apart."""
    for images in (1, 3, 4):
        found, other = (made(images=images, seed=seed) for seed in (0, 1))
        halves = random_halves(range(images), np.random.default_rng(0))
        rows = [scored_row(name, f"timm/{name}", one, halves) for name, one in (("a", found), ("b", other))]
        if images < 4:
            assert all(math.isnan(row.spread(name)) for row in rows for name in SCORES)
            assert not_told_apart(*rows) == list(SCORES)
            (words,) = unread_spreads(rows, found)
            assert f"another: {images} image{'s' * (images > 1)} with objects, for halves of them at least 4" in words
        else:
            assert all(row.spread(name) > 0 for row in rows for name in SCORES)
            assert unread_spreads(rows, found) == []


def test_without_scored_halves_nothing_is_told_apart(recwarn):
    first, other = row("a", {"LogME": 1.0}), row("b", {"LogME": 0.5})
    other.halves["LogME"] = np.array([math.nan, math.nan, math.nan, 0.5])
    assert math.isnan(other.spread("LogME")) and not_told_apart(first, other) == ["LogME"]
    assert not recwarn.list
    assert "no time for halves" in unread_spreads([first, other], made())[0]


def test_each_score_that_is_missing_has_its_own_reason():
    halves = [np.arange(2)] * 4
    reasons = {
        "one object": (made(num=1), ["LogME, class means, H-score, box LogME: one object alone; it takes two"]),
        "one class": (
            made(num=3, classes=1),
            ["LogME, class means, H-score: all objects are of one class"],
        ),
        "no class twice": (
            made(num=3, classes=3),
            [
                "class means: each of 3 objects is the only one of its class",
                "H-score: 3 objects are too few for 4 values (at least 5 objects a value)",
            ],
        ),
    }
    for what, (found, wanted) in reasons.items():
        assert unread_scores([scored_row("a", "timm/a", found, halves)], found) == wanted, what
    flat = replace(made(), features=np.zeros((60, 4), np.float32))
    (words,) = unread_scores([scored_row("a", "timm/a", flat, halves)], flat)
    assert "LogME" in words and words.endswith("features that do not differ between objects, or are not finite")
