"""Samplers: the host's order, with seed and epoch on each index; batches do not depend on workers or on resuming."""

from itertools import islice

import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.dataset import InfiniteSampler as HostInfiniteSampler
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.epoch import EpochSampler, InfiniteSampler
from frozen_det.datasets.toy.toy_scenes import ToyScenes
from frozen_det.errors import InputError
from frozen_det.registry import DATA_SAMPLERS

TEN = list(range(10))
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PhotoMetricDistortion"),  # draws from numpy's global state
    dict(type="RandomCrop", crop_size=(64, 64), allow_negative_crop=False),  # may refuse a sample
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]


@pytest.fixture(scope="module")
def dataset(toy_root):
    with DefaultScope.overwrite_default_scope("mmdet"):
        return ToyScenes("train", str(toy_root), dict(num_train=12, num_val=6), pipeline=PIPELINE)


@pytest.mark.parametrize("arguments", [dict(), dict(shuffle=False), dict(round_up=False)])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_epoch_sampler_keeps_the_hosts_order_on_every_rank(monkeypatch, arguments, rank):
    monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, 3))
    ours, hosts = EpochSampler(TEN, seed=4, **arguments), DefaultSampler(TEN, seed=4, **arguments)
    for epoch in (0, 3):
        ours.set_epoch(epoch), hosts.set_epoch(epoch)
        assert list(ours) == list(hosts) and len(ours) == len(hosts)
        assert {(index.seed, index.epoch) for index in ours} == {(4, epoch)}


def test_epochs_are_in_different_orders():
    sampler = EpochSampler(TEN, seed=4)
    first = list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler) and sorted(first) == TEN


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_infinite_sampler_keeps_the_hosts_order_and_counts_passes_across_ranks(monkeypatch, shuffle, rank):
    monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda: (rank, 3))
    ours = list(islice(InfiniteSampler(TEN, shuffle, seed=4), 20))
    assert ours == list(islice(HostInfiniteSampler(TEN, shuffle, seed=4), 20))
    assert [index.epoch for index in ours] == [(rank + 3 * n) // 10 for n in range(20)]


def test_the_infinite_sampler_sees_each_sample_once_a_pass():
    first_pass = list(islice(InfiniteSampler(TEN, seed=0), 10))
    assert sorted(first_pass) == TEN and {index.epoch for index in first_pass} == {0}


@pytest.mark.skipif(not hasattr(HostInfiniteSampler, "skip"), reason="this mmengine resumes by drawing, not by skip")
def test_skipping_gives_the_same_indices_with_the_same_epochs():
    whole = list(islice(InfiniteSampler(TEN, seed=4), 40))
    resumed = InfiniteSampler(TEN, seed=4)
    resumed.skip(23)
    rest = list(islice(resumed, 17))
    assert rest == whole[23:] and [i.epoch for i in rest] == [i.epoch for i in whole[23:]]


def test_both_are_built_by_name_with_the_runners_seed():
    for name in ("EpochSampler", "InfiniteSampler"):
        sampler = DATA_SAMPLERS.build(dict(type=f"frozen_det.{name}"), default_args=dict(dataset=TEN, seed=8))
        assert next(iter(sampler)).seed == 8


@pytest.mark.parametrize("sampler", [EpochSampler, InfiniteSampler])
def test_an_empty_dataset_is_refused(sampler):
    with pytest.raises(InputError, match="empty list"):
        sampler([], seed=0)


def test_a_dataset_of_one_is_drawn_in_every_pass():
    assert [(int(i), i.epoch) for i in islice(InfiniteSampler([0], seed=0), 3)] == [(0, 0), (0, 1), (0, 2)]


def _epochs(dataset, num_workers: int, epochs, noise: int = 0) -> list[torch.Tensor]:
    """The images of the given epochs through a loader as the Runner makes it; `noise` moves the global state."""
    torch.manual_seed(noise)
    sampler = EpochSampler(dataset, seed=3)
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        persistent_workers=num_workers > 0,
    )
    images = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        images += [image for batch in loader for image in batch["inputs"]]
    return images


def _equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second))


def test_batches_do_not_depend_on_the_number_of_workers(dataset):
    alone = _epochs(dataset, 0, range(2))
    for num_workers in (1, 2):
        assert _equal(alone, _epochs(dataset, num_workers, range(2), noise=num_workers))


def test_a_resumed_run_sees_the_batches_of_the_uninterrupted_one(dataset):
    assert _equal(_epochs(dataset, 0, range(3))[24:], _epochs(dataset, 2, [2], noise=5))


def test_epochs_differ_in_what_is_drawn_and_not_only_in_order(dataset):
    first, second = _epochs(dataset, 0, [0]), _epochs(dataset, 0, [1])
    assert not any(torch.equal(a, b) for a in first for b in second)
