"""Bootstrap intervals, paired differences and back from JSON."""

import json

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.robustness.bootstrap import Bootstrap, Measured, average, difference


def test_the_interval_of_a_share_is_about_the_binomial_one():
    values = np.r_[np.ones(300), np.zeros(700)]
    found = Bootstrap(1000).mean(values)
    assert found.value == pytest.approx(0.3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 1000) ** 0.5, rel=0.15)


def test_a_mean_by_weights_is_the_mean_of_the_drawn():
    boot, values = Bootstrap(7, seed=3, num=5), np.arange(7.0)
    assert boot.mean(values).replicates == pytest.approx([values[d].mean() for d in boot.indices], abs=1e-5)
    assert boot.of(lambda drawn: values[drawn].mean()).replicates == boot.mean(values).replicates


def test_resamples_are_the_same_for_the_same_seed_and_number():
    assert (Bootstrap(9, 1).indices == Bootstrap(9, 1).indices).all()
    assert (Bootstrap(9, 1).indices != Bootstrap(9, 2).indices).any()


def test_a_paired_difference_is_narrower_than_its_parts():
    rng = np.random.default_rng(0)
    first = rng.random(200) < 0.5
    second = first | (rng.random(200) < 0.1)  # never wrong where the first is right
    boot = Bootstrap(200)
    a, b = boot.mean(first), boot.mean(second)
    found = difference(a, b)
    assert found.value == pytest.approx(second.mean() - first.mean()) and found.low > 0
    assert found.high - found.low < 0.7 * (a.high - a.low)


def test_means_along_a_curve():
    found = Bootstrap(4).means([0, 1], np.array([[1, 0], [1, 0], [1, 1], [1, 1]]))
    assert (found.x, found.y, found.low[0], found.high[0]) == ([0, 1], [1, 0.5], 1, 1)


def test_the_average_keeps_the_resamples_paired():
    boot = Bootstrap(5)
    one, other = boot.mean(np.arange(5.0)), boot.mean(4 - np.arange(5.0))
    found = average([one, other])
    assert found.value == pytest.approx(2) and found.low == pytest.approx(2) and found.high == pytest.approx(2)


def test_measured_goes_through_json_unchanged():
    boot = Bootstrap(4)
    found = Measured({"a": boot.mean(np.arange(4.0))}, {"b": boot.means([0], np.ones((4, 1)))}, {"c": 1})
    assert Measured.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_no_image_and_unequal_resamples_are_refused():
    with pytest.raises(InputError, match="at least one image"):
        Bootstrap(0)
    with pytest.raises(InputError, match="same resamples"):
        difference(Bootstrap(4, num=5).mean(np.ones(4)), Bootstrap(4, num=6).mean(np.ones(4)))
