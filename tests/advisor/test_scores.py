"""Scores of features against direct evidence, explicit covariances, refitted classifiers; what must not move them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from frozen_det.advisor import scores
from frozen_det.advisor.scores import box_logme, box_targets, h_score, logme, nearest_mean_accuracy
from frozen_det.errors import InputError


def made(num=40, dim=6, classes=3, seed=0, apart=1.0):
    """Features of classes whose means are `apart`, and labels, every class at least twice."""
    draw = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), np.arange(classes), draw.integers(0, classes, num - 2 * classes)])
    means = apart * draw.normal(size=(classes, dim))
    return means[labels] + draw.normal(size=(num, dim)), labels


def evidence(features, target) -> float:
    """Largest log density of ``y ~ N(0, I / beta + F F^T / alpha)`` over alpha and beta, for one object."""

    def negative(logs):
        covariance = np.eye(len(features)) / np.exp(logs[1]) + features @ features.T / np.exp(logs[0])
        return -stats.multivariate_normal(np.zeros(len(features)), covariance, allow_singular=False).logpdf(target)

    starts = [(0.0, 0.0), (3.0, 2.0), (-3.0, 2.0)]
    options = dict(xatol=1e-9, fatol=1e-11, maxiter=4000)
    return max(
        -optimize.minimize(negative, start, method="Nelder-Mead", options=options).fun for start in starts
    ) / len(features)


@pytest.mark.parametrize("num, dim", [(40, 6), (20, 20), (15, 40)])
def test_logme_of_classes_is_the_evidence_that_scipy_maximises(num, dim):
    features, labels = made(num, dim)
    wanted = np.mean([evidence(features, (labels == one).astype(float)) for one in range(3)])
    assert logme(features, labels) == pytest.approx(wanted, abs=1e-6)


def test_logme_of_real_targets_is_the_evidence_that_scipy_maximises():
    draw = np.random.default_rng(3)
    features = draw.normal(size=(30, 5))
    targets = features @ draw.normal(size=(5, 2)) + 0.3 * draw.normal(size=(30, 2))
    assert logme(features, targets) == pytest.approx(np.mean([evidence(features, one) for one in targets.T]), abs=1e-6)


def test_logme_of_features_of_lower_rank_counts_every_direction():
    """Two columns twice: D is 8, the rank 6; the evidence knows F F^T alone."""
    features, labels = made()
    doubled = np.concatenate([features, features[:, :2]], axis=1)
    wanted = np.mean([evidence(doubled, (labels == one).astype(float)) for one in range(3)])
    assert logme(doubled, labels) == pytest.approx(wanted, abs=1e-6)
    more = np.concatenate([features, np.zeros((40, 3))], axis=1)  # nothing in them
    assert logme(more, labels) == pytest.approx(logme(features, labels), abs=1e-9)


def test_targets_that_features_say_nothing_about_have_the_evidence_of_noise():
    features = np.zeros((40, 2))
    features[:20, 0], features[:20, 1] = 1, np.arange(20)
    target = np.zeros((40, 1))
    target[20:, 0] = np.tile([1.0, -1.0], 10)  # outside what features reach
    noise = stats.norm(0, np.sqrt(0.5)).logpdf(target[:, 0]).mean()
    assert logme(features, target) == pytest.approx(noise, abs=1e-6)


def test_targets_on_another_scale_move_logme_by_a_constant():
    features, _ = made()
    targets = np.random.default_rng(1).normal(size=(40, 2)) + features[:, :2]
    assert logme(features, 10 * targets) == pytest.approx(logme(features, targets) - np.log(10), abs=1e-6)


def covariances(features, labels) -> float:
    centred = features - features.mean(0)
    means = np.stack([centred[labels == one].mean(0) for one in labels])
    return np.trace(np.linalg.pinv(np.cov(centred.T, bias=True)) @ np.cov(means.T, bias=True))


@pytest.mark.parametrize("num, dim, classes", [(40, 6, 3), (60, 2, 5), (9, 30, 3)])
def test_h_score_is_that_of_explicit_covariances(num, dim, classes):
    features, labels = made(num, dim, classes)
    assert h_score(features, labels) == pytest.approx(covariances(features, labels), abs=1e-8)


def test_h_score_of_fewer_objects_than_values_says_nothing():
    features, labels = made(9, 30, 3)
    assert h_score(features, labels) == pytest.approx(2.0, abs=1e-8)
    assert h_score(np.random.default_rng(5).normal(size=(9, 30)), labels) == pytest.approx(2.0, abs=1e-8)


def refitted(features, labels) -> float:
    """Every object by a nearest-centroid classifier of all the others, averaged over classes of several objects."""
    from sklearn.neighbors import NearestCentroid

    right = {one: [] for one, count in zip(*np.unique(labels, return_counts=True)) if count > 1}
    for place, label in enumerate(labels):
        if label in right:
            others = np.arange(len(labels)) != place
            found = NearestCentroid().fit(features[others], labels[others]).predict(features[place : place + 1])[0]
            right[label].append(found == label)
    return float(np.mean([np.mean(one) for one in right.values()]))


@pytest.mark.parametrize("seed", range(3))
def test_nearest_means_are_those_of_a_classifier_fitted_without_the_object(seed):
    features, labels = made(30, 4, 3, seed, apart=0.7)
    labels = np.where(labels == 2, 7, labels)
    labels[-1] = 9  # a class of one object is a rival only
    assert nearest_mean_accuracy(features, labels) == pytest.approx(refitted(features, labels))


def test_nearest_means_count_every_class_alike():
    features = np.array([[0.0], [0.1], [0.2], [0.1], [5.0], [-5.4]])
    labels = np.array([0, 0, 0, 0, 1, 1])  # both of class 1 are nearer to class 0 than to each other
    assert nearest_mean_accuracy(features, labels) == 0.5


def test_box_targets_are_standardised_shares_of_the_image():
    boxes = np.array([[0, 0, 10, 20], [10, 0, 30, 20], [10, 40, 90, 80]], float)
    sizes = np.array([[100, 50], [100, 50], [200, 100]], float)
    raw = np.array([[0.1, 0.1, 0.2, 0.2], [0.4, 0.1, 0.4, 0.2], [0.5, 0.3, 0.8, 0.2]])
    raw[:, 2:] = np.log(raw[:, 2:])
    wanted = (raw - raw.mean(0)) / np.where(raw.std(0) > 1e-9, raw.std(0), np.inf)
    np.testing.assert_allclose(box_targets(boxes, sizes), wanted, atol=1e-12)
    np.testing.assert_allclose(box_targets(2 * boxes, 2 * sizes), wanted, atol=1e-12)


def test_box_logme_is_the_mean_evidence_of_its_targets():
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 40, (25, 2))
    boxes, sizes = np.concatenate([corners, corners + draw.uniform(4, 40, (25, 2))], 1), np.full((25, 2), 100.0)
    targets = box_targets(boxes, sizes)
    features = targets @ draw.normal(size=(4, 6)) + 0.5 * draw.normal(size=(25, 6))
    wanted = np.mean([evidence(features, one) for one in targets.T])
    assert box_logme(features, boxes, sizes) == pytest.approx(wanted, abs=1e-6)
    assert box_logme(draw.normal(size=(25, 6)), boxes, sizes) < wanted


SCORES = [logme, h_score, nearest_mean_accuracy]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(30, 5), (12, 20)]), st.integers(2, 4))
def test_no_score_depends_on_order_names_of_classes_or_rotation(seed, shape, classes):
    features, labels = made(*shape, classes, seed)
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(labels))
    rotation = stats.ortho_group.rvs(shape[1], random_state=draw)
    for score in SCORES:
        wanted = score(features, labels)
        assert score(features[order], labels[order]) == pytest.approx(wanted, abs=1e-6)
        assert score(features @ rotation, labels) == pytest.approx(wanted, abs=1e-6)
        assert score(features, 11 - 3 * labels) == pytest.approx(wanted, abs=1e-9)
    assert 0 <= h_score(features, labels) <= min(classes - 1, shape[1]) + 1e-9
    assert 0 <= nearest_mean_accuracy(features, labels) <= 1


@pytest.mark.parametrize("score", SCORES)
def test_classes_further_apart_score_higher(score):
    assert score(*made(200, 8, 4, apart=3.0)) > score(*made(200, 8, 4, apart=0.3))


@pytest.mark.parametrize("score", SCORES)
def test_many_rows_give_what_few_at_a_time_give(score, monkeypatch):
    features, labels = made(50, 6)
    wanted = score(features, labels)
    monkeypatch.setattr(scores, "_ROWS", 7)
    assert score(features.astype(np.float32), labels) == pytest.approx(wanted, abs=1e-4)
    assert score(features, labels) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    "features, targets, words",
    [
        (np.zeros((3, 2)), np.array([0, 1]), "features .N, D."),
        (np.zeros((2, 2)), np.array([0, 0]), "at least two classes"),
        (np.zeros((2, 2)), np.array([0.0, 1.0]), "whole numbers"),
        (np.array([[np.nan], [1.0]]), np.array([0, 1]), "finite"),
        (np.zeros((2, 2)), np.array([0, 1]), "constant"),
    ],
)
def test_what_cannot_be_scored_is_refused(features, targets, words):
    with pytest.raises(InputError, match=words):
        logme(features, targets)


def test_classes_of_one_object_and_boxes_without_area_are_refused():
    with pytest.raises(InputError, match="at least two objects"):
        nearest_mean_accuracy(np.eye(3), np.arange(3))
    with pytest.raises(InputError, match="x2 above x1"):
        box_targets(np.array([[0, 0, 0, 5.0]]), np.array([[9, 9]]))
    with pytest.raises(InputError, match="labels .N,."):
        h_score(np.eye(3), np.eye(3))
