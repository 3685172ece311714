"""How often images come: by the paper's factors, and by class; the same on every machine, never augmented alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.datasets.samplers.long_tail import ClassAwareSampler, RepeatFactorSampler, repeat_factors
from frozen_det.errors import InputError
from frozen_det.registry import DATA_SAMPLERS


class Labels:
    """A dataset of label lists."""

    def __init__(self, *labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, index):
        return self.labels[index]


# Class 0 in nine of ten images, class 1 in one.
TAIL = Labels(*[[0]] * 8, [0, 0, 1], [])


def test_factors_are_those_of_the_paper():
    factors = repeat_factors([set(TAIL.get_cat_ids(index)) for index in range(10)], threshold=0.5)
    np.testing.assert_allclose(factors, [1] * 8 + [np.sqrt(5), 1])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=20).filter(any),
    st.floats(0.01, 1),
    st.integers(0, 2**40),
    st.integers(0, 50),
)
def test_an_image_comes_floor_or_ceil_of_its_factor_times(labels, threshold, seed, epoch):
    sampler = RepeatFactorSampler(Labels(*labels), threshold, seed)
    sampler.set_epoch(epoch)
    counts = np.bincount(sampler._plan(np.random.default_rng(seed)), minlength=len(labels))
    assert (np.floor(sampler.factors - 1e-9) <= counts).all() and (counts <= np.ceil(sampler.factors + 1e-9)).all()
    assert abs(counts.sum() - sampler.factors.sum()) <= 1
    assert len(list(sampler)) == len(sampler) == round(sampler.factors.sum())


def test_over_epochs_an_image_comes_as_often_as_its_factor_says():
    sampler = RepeatFactorSampler(TAIL, 0.5, seed=3)
    counts = np.zeros(10)
    for epoch in range(400):
        sampler.set_epoch(epoch)
        counts += np.bincount([int(index) for index in sampler], minlength=10)
    np.testing.assert_allclose(counts / 400, [1] * 8 + [np.sqrt(5), 1], rtol=0.05)


def test_every_class_comes_equally_often_and_its_images_in_turn():
    sampler = ClassAwareSampler(Labels([0], [0], [0], [1], [1], [], [], [], [], [0]), seed=1)
    drawn = [int(index) for index in sampler]
    assert len(drawn) == 10 and sum(index in (3, 4) for index in drawn) == 5
    assert {0, 1, 2, 9} <= set(drawn)  # five turns of four images: each at least once


@pytest.mark.parametrize("kind", ["RepeatFactorSampler", "ClassAwareSampler"])
def test_epochs_differ_seeds_repeat_and_repeats_are_augmented_again(kind):
    built = [DATA_SAMPLERS.build(dict(type=f"frozen_det.{kind}", dataset=TAIL, seed=5)) for _ in range(2)]
    first, again = ([(int(i), i.seed, i.epoch) for i in sampler] for sampler in built)
    assert first == again
    built[0].set_epoch(1)
    assert [(int(i), i.seed, i.epoch) for i in built[0]] != first


@pytest.mark.parametrize("kind, settings", [("RepeatFactorSampler", {"threshold": 0.5}), ("ClassAwareSampler", {})])
def test_an_image_that_repeats_within_an_epoch_is_augmented_again(kind, settings):
    sampler = DATA_SAMPLERS.build(dict(type=f"frozen_det.{kind}", dataset=TAIL, seed=5, **settings))
    draws = [(int(index), index.seed) for index in sampler]
    assert len(set(draws)) == len(draws) > len({index for index, _ in draws})
    assert all(any(seed == 5 for index, seed in draws if index == one) for one, _ in draws)


@pytest.mark.parametrize("kind", [RepeatFactorSampler, ClassAwareSampler])
def test_ranks_share_one_plan(kind, monkeypatch):

    alone = [(int(i), i.seed) for i in kind(TAIL, seed=7)]
    ranks = []
    for rank in range(2):
        monkeypatch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, 2))
        ranks.append([(int(i), i.seed) for i in kind(TAIL, seed=7)])
    assert len(ranks[0]) == len(ranks[1]) == -(-len(alone) // 2)
    assert [pair for both in zip(*ranks) for pair in both][: len(alone)] == alone


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(InputError, match="at least one object"):
        ClassAwareSampler(Labels([], []))
    with pytest.raises(InputError, match=r"threshold in \(0, 1\]"):
        RepeatFactorSampler(TAIL, threshold=0)
    with pytest.raises(InputError, match="get_cat_ids"):
        RepeatFactorSampler([1, 2])
