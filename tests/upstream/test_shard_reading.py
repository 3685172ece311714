"""The order of a pass over shards, at any place and in little memory; reading at places of few open files."""

import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.upstream import shard_reading
from frozen_det.upstream.shard_reading import BLOCK, OpenShards, ShardOrder

SIZES = st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 11), st.integers(0, 2**64 - 1))
def test_a_pass_has_each_sample_once_and_any_place_is_known_by_itself(sizes, window, seed):
    order = ShardOrder(sizes, window, seed)
    walked = [order[place] for place in range(len(order))]
    assert sorted(walked) == list(range(sum(sizes)))
    again = ShardOrder(sizes, window, seed)
    assert [again[place] for place in reversed(range(len(again)))] == walked[::-1]


@settings(deadline=None, max_examples=30)
@given(SIZES, st.integers(1, 11), st.integers(0, 2**64 - 1))
def test_a_window_at_a_time_and_of_each_shard_one_block_after_the_other(sizes, window, seed):
    order, firsts = ShardOrder(sizes, window, seed), np.cumsum([0, *sizes])
    samples = np.array([order[place] for place in range(len(order))], int)
    shards = np.searchsorted(firsts, samples, "right") - 1
    left = list(dict.fromkeys(shards.tolist()))
    places = {shard: (samples[shards == shard] - firsts[shard]) // BLOCK for shard in left}
    assert all((np.diff(blocks) >= 0).all() for blocks in places.values())
    # A shard is read to its end before one of the next window begins.
    spans = sorted((np.flatnonzero(shards == shard)[[0, -1]].tolist()) for shard in left)
    assert all(spans[begun + window][0] > end for begun, (_, end) in enumerate(spans[:-window]))


def test_places_in_turns_read_shards_of_their_own():
    order = ShardOrder([130] * 12 + [17], 4, 7)
    shards = np.array([order[place] // 130 for place in range(len(order))])
    assert 12 in shards[1040:]  # the short shard is in the third window
    for window in (shards[:520], shards[520:1040]):
        read = [set(window[rank::4].tolist()) for rank in range(4)]
        assert [len(one) for one in read] == [1] * 4 and len(set.union(*read)) == 4


def test_seeds_and_windows_have_orders_of_their_own():
    def walk(seed):
        order = ShardOrder([200] * 6, 3, seed)
        return [order[place] for place in range(1200)]

    assert walk(0) == walk(0) != walk(1)
    within = [np.array(walk(0)).reshape(2, -1)[:, lane::3] % 200 for lane in range(3)]
    assert not any(np.array_equal(lane[0], lane[1]) for lane in within)


def test_an_order_holds_a_number_for_each_shard_and_one_window():
    tracemalloc.start()
    order = ShardOrder(np.full(100_000, 1000), 16, 0)
    assert len(order) == 100_000_000 and 0 <= order[77_777_777] < 100_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20  # an order of all samples is 800 MB


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.tar" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 100 + b"end")
    return [str(path) for path in paths]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_few_files_stay_open_and_none_afterwards(files, monkeypatch):
    monkeypatch.setattr(shard_reading, "_MAX_OPEN", 2)
    before, shards = descriptors(), OpenShards()
    for _ in range(3):
        for number, path in enumerate(files):
            assert shards.read(path, 98, 4) == bytes([number]) * 2 + b"en"
            assert descriptors() <= before + 2
    copy = pickle.loads(pickle.dumps(shards))
    assert copy.read(files[3], 0, 1) == b"\3"
    del shards, copy
    assert descriptors() == before


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_what_comes_next_is_asked_for_in_sequence_and_not_at_random(files, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, begin, size, what: asked.append((begin, begin + size)))
    monkeypatch.setattr(shard_reading, "_AHEAD", 1000)
    monkeypatch.setattr(shard_reading, "_REQUEST", 100)
    shards = OpenShards()
    for offset in (300, 0, 700, 650, 1200, 1500):
        shards.read(files[0], offset, 1)
        assert any(begin <= offset < end for begin, end in asked) and asked[-1][1] >= offset + 500
    assert [begin for begin, _ in asked] == list(range(0, asked[-1][1], 100))  # each byte once
    asked.clear()
    shards.read(files[0], 50_000, 1)
    shards.read(files[1], 5_000, 1)
    assert asked == []
