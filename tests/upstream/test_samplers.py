"""Repeated augmentation: how many distinct images, by which seed, shared by ranks; partners of neighbours."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.registry import DATA_SAMPLERS
from frozen_det.upstream.datasets import ImageFolder
from frozen_det.upstream.samplers import RepeatAugSampler

from .image_sets import write_folder


def drawn(size, epoch=0, **given):
    sampler = RepeatAugSampler(range(size), **given)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_of_twelve_samples_shows_four_images_three_times():
    indices = drawn(12, seed=0)
    assert len(indices) == 12 and len(set(indices)) == 4
    assert all(indices[i] == indices[i + 1] == indices[i + 2] for i in range(0, 12, 3))


def test_run_seeds_and_epochs_give_other_orders_and_equal_ones_the_same():
    assert drawn(120, seed=0) == drawn(120, seed=0)
    assert drawn(120, seed=0) != drawn(120, seed=1)
    assert drawn(120, seed=0) != drawn(120, seed=0, epoch=1)
    assert drawn(120, seed=1) != drawn(120, seed=0, epoch=1)


def test_ten_epochs_show_images_all_over_the_dataset():
    shown = {int(index) for epoch in range(12) for index in drawn(30, seed=3, epoch=epoch)}
    assert len(shown) >= 27


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 4))
def test_ranks_together_show_what_one_process_shows_padded_to_equal_lengths(size, num_repeats, world):
    one = drawn(size, seed=1, num_repeats=num_repeats)
    ranks = []
    for rank in range(world):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, world))
            ranks.append(drawn(size, seed=1, num_repeats=num_repeats))
    together = [rank[step] for step in range(len(ranks[0])) for rank in ranks]
    assert {len(rank) for rank in ranks} == {-(-size // world)}
    assert together[:size] == one and len(set(one)) == -(-size // num_repeats)


def timm_lists(size, world, num_repeats):
    """What each of timm's ranks takes of an epoch in order."""
    from timm.data.distributed_sampler import RepeatAugSampler as TimmSampler

    return [
        list(TimmSampler(range(size), world, rank, shuffle=False, num_repeats=num_repeats, selected_round=0))
        for rank in range(world)
    ]


@pytest.mark.parametrize("processes, batches", [(1, 8), (2, 4), (8, 1), (4, 3)])
def test_batches_of_an_update_are_those_of_timms_ranks(processes, batches):
    size, batch, world = 1920, 16, processes * batches
    theirs = timm_lists(size, world, 3)
    for rank in range(processes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, processes))
            ours = [
                int(index) for index in drawn(size, seed=0, shuffle=False, batch_size=batch, batches_of_update=batches)
            ]
        wanted = [
            index
            for first in range(0, size // world, batch)
            for part in range(batches)
            for index in theirs[part * processes + rank][first : first + batch]
        ]
        assert ours == wanted


def test_no_batch_shows_an_image_twice_where_an_update_has_three_batches_or_more():
    for batches, distinct in ((8, 256), (3, 256), (1, 86)):
        indices = [int(index) for index in drawn(12288, seed=0, batch_size=256, batches_of_update=batches)]
        assert len(set(indices[:256])) == distinct
        # Repeats meet in the same update all the same.
        assert len(set(indices[: 256 * batches])) == -(-256 * batches // 3)


@given(st.integers(1, 90), st.integers(1, 4), st.integers(1, 5), st.integers(1, 30))
def test_an_epoch_has_the_same_samples_in_whatever_batches(size, num_repeats, batches, batch):
    plain = sorted(map(int, drawn(size, seed=1, num_repeats=num_repeats)))
    parted = sorted(map(int, drawn(size, seed=1, num_repeats=num_repeats, batch_size=batch, batches_of_update=batches)))
    padding = -size % batches
    assert len(parted) == size + padding
    assert parted == plain or padding


def test_repeats_of_an_image_have_draws_of_their_own(tmp_path):
    write_folder(tmp_path, {"ash": 9}, size=32)
    dataset = ImageFolder(tmp_path, transform=dict(type="frozen_det.CifarTrain", padding=8), in_memory=True)
    indices = drawn(9, seed=0)
    pixels = [dataset[index]["inputs"] for index in indices]
    assert indices[0] == indices[1]
    assert not torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels[1], pixels[2])
    again = [dataset[index]["inputs"] for index in drawn(9, seed=0)]
    assert all(torch.equal(one, other) for one, other in zip(pixels, again))


def test_partners_by_permutation_are_rarely_the_same_image_and_by_roll_mostly():
    """With repeats as neighbours, pairing i with i - 1 mixes two thirds of all samples with themselves."""
    from frozen_det.ops.mixing import draw_mixing

    batch = 255
    labels = torch.tensor([int(index) for index in drawn(batch, seed=0)])
    generator = torch.Generator().manual_seed(0)
    shares = [(labels[draw_mixing(batch, 1.0, generator).partners] == labels).float().mean().item() for _ in range(300)]
    assert sum(shares) / len(shares) == pytest.approx(3 / batch, rel=0.15)
    assert (labels.roll(1) == labels).float().mean().item() == pytest.approx(2 / 3, abs=0.01)


def test_it_is_built_by_its_name_with_the_seed_of_the_runner():
    built = DATA_SAMPLERS.build(
        dict(type="frozen_det.RepeatAugSampler", num_repeats=2, seed=5), default_args=dict(dataset=range(6))
    )
    assert (len(built), built.seed, built.num_repeats) == (6, 5, 2)


@pytest.mark.parametrize(
    "size, given, said",
    [
        (0, {}, "at least one sample, got an empty range"),
        (4, dict(num_repeats=0), r"whole number from 1 on, got 0 \(sampler.num_repeats\)"),
        (4, dict(num_repeats=1.5), "got 1.5"),
        (4, dict(batches_of_update=0), r"got 0 \(sampler.batches_of_update\)"),
        (4, dict(batches_of_update=2), r"got None \(sampler.batch_size\)"),
    ],
)
def test_a_bad_setting_is_one_message(size, given, said):
    with pytest.raises(InputError, match=said):
        RepeatAugSampler(range(size), seed=0, **given)
