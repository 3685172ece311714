"""Samples follow from (run seed, epoch, index), and drawing them leaves the rest of the program alone."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.datasets.samplers.seeding import (
    SampleIndex,
    SeededDataset,
    SeededSamples,
    sample_generator,
    sample_seed,
    seeded,
)

INTS = st.integers(-(2**40), 2**64)


class Draws:
    """A dataset whose sample is what the three libraries draw."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(1).item(), sample_generator().random()


class SeededDraws(SeededSamples, Draws):
    pass


def test_a_sample_index_is_the_int_it_carries():
    index = SampleIndex(3, seed=5, epoch=7)
    assert index == 3 and hash(index) == hash(3) and ["a", "b", "c", "d"][index] == "d" and type(index + 1) is int


@pytest.mark.parametrize("copied", [lambda i: pickle.loads(pickle.dumps(i)), copy.copy, copy.deepcopy])
def test_a_sample_index_keeps_seed_and_epoch_on_its_way_to_a_worker(copied):
    index = copied(SampleIndex(3, seed=5, epoch=7))
    assert (index, index.seed, index.epoch) == (3, 5, 7)


@given(INTS, INTS, INTS)
def test_sample_seeds_fit_64_bits_and_repeat(seed, epoch, index):
    assert 0 <= sample_seed(seed, epoch, index) < 2**64
    assert sample_seed(seed, epoch, index) == sample_seed(seed, epoch, index)


def test_no_two_of_8000_neighbouring_samples_share_a_seed():
    seeds = {sample_seed(seed, epoch, index) for seed in range(20) for epoch in range(20) for index in range(20)}
    assert len(seeds) == 8000


def test_large_numbers_do_not_spill_into_the_next_argument():
    assert len({sample_seed(2**32, 0, 0), sample_seed(0, 1, 0), sample_seed(0, 2**32, 0), sample_seed(0, 0, 1)}) == 4


def test_seeded_repeats_the_draws_of_all_three_libraries():
    with seeded(2**63 + 5):
        first = Draws()[0]
    with seeded(2**63 + 5):
        second = Draws()[0]
    with seeded(2**63 + 6):
        third = Draws()[0]
    assert first == second and not set(first[1:]) & set(third[1:])


def test_seeded_puts_the_states_back_even_after_an_exception():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(KeyError), seeded(9):
        Draws()[0]
        raise KeyError
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_two_generators_of_one_sample_are_independent():
    with seeded(4):
        first, second = sample_generator(), sample_generator()
    assert first.random() != second.random()


def test_a_seeded_dataset_follows_from_the_index_alone():
    first = SeededDraws()[SampleIndex(2, seed=1, epoch=0)]
    np.random.seed(99)
    assert SeededDraws()[SampleIndex(2, seed=1, epoch=0)] == first
    for other in (SampleIndex(2, 1, 1), SampleIndex(2, 2, 0), SampleIndex(3, 1, 0)):
        assert SeededDraws()[other][1:] != first[1:]


def test_the_parent_gets_a_plain_int():
    assert type(SeededDraws()[SampleIndex(2, seed=1, epoch=0)][0]) is int


def test_a_plain_int_is_drawn_from_the_global_state():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    assert SeededDraws()[0][2] == expected


def test_any_dataset_is_seeded_by_wrapping_it():
    wrapped = SeededDataset(Draws())
    assert len(wrapped) == 5
    assert wrapped[SampleIndex(2, 1, 0)] == SeededDraws()[SampleIndex(2, 1, 0)]


def test_the_wrapper_seeds_what_a_repeating_wrapper_would_not(toy_root):
    from mmengine.dataset import RepeatDataset
    from mmengine.registry import DefaultScope

    from frozen_det.datasets.toy.toy_scenes import ToyScenes
    from frozen_det.registry import DATASETS

    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="RandomCrop", crop_size=(100, 100)),
        dict(type="PackDetInputs"),
    ]
    with DefaultScope.overwrite_default_scope("mmdet"):
        inner = ToyScenes("train", str(toy_root), dict(num_train=12, num_val=6), pipeline=pipeline)
        wrapped = DATASETS.build(dict(type="frozen_det.SeededDataset", dataset=RepeatDataset(inner, times=3)))
    assert wrapped.metainfo["classes"][0] == "zero" and len(wrapped) == 36
    np.random.seed(1)
    first = wrapped[SampleIndex(14, 1, 0)]["inputs"]
    np.random.seed(2)
    assert torch.equal(first, wrapped[SampleIndex(14, 1, 0)]["inputs"])
    assert not torch.equal(first, wrapped[SampleIndex(2, 1, 0)]["inputs"])  # the same image, another repetition


def test_a_seeded_wrapper_survives_pickling():
    assert len(pickle.loads(pickle.dumps(SeededDataset(Draws())))) == 5
