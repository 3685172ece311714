"""Random words that follow from (seed, epoch, index) alone, and crops of whole batches by one gather."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frozen_det.ops.counter_draws import below, counter_words, unit_interval
from frozen_det.upstream.transforms import pad_crop_flip


def words(seed, epoch, indices, count=2):
    indices = np.asarray(indices)
    return counter_words(np.full(len(indices), seed), np.full(len(indices), epoch), indices, count)


def test_words_follow_from_seed_epoch_and_index_not_from_the_batch():
    alone = np.concatenate([words(3, 5, [index]) for index in range(10)])
    assert np.array_equal(words(3, 5, range(10)), alone)
    assert np.array_equal(words(3, 5, range(10), count=7)[:, :2], alone)


def test_neighbours_in_any_argument_share_no_word():
    seen = [words(seed, epoch, range(50)) for seed in range(4) for epoch in range(4)]
    assert len(np.unique(np.concatenate(seen))) == 16 * 50 * 2


def test_the_finaliser_is_splitmix64():
    # First outputs of the reference SplitMix64 from state 0.
    from frozen_det.ops.counter_draws import _GOLDEN, _finalise

    with np.errstate(over="ignore"):
        got = _finalise(np.arange(1, 4, dtype=np.uint64) * _GOLDEN)
    assert [hex(word) for word in got.tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_draws_are_uniform():
    drawn = words(0, 0, range(90_000), count=1)[:, 0]
    counts = np.bincount(below(drawn, 9), minlength=9)
    assert len(counts) == 9 and abs(counts - 10_000).max() < 450  # 4.8 standard deviations
    unit = unit_interval(drawn)
    assert unit.min() >= 0 and unit.max() < 1 and abs(unit.mean() - 0.5) < 0.005


def test_no_draw_reaches_the_bound():
    most = np.array([2**64 - 1], dtype=np.uint64)
    assert below(most, 9) == 8 and below(most, 1) == 0 and unit_interval(most) < 1


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3), st.integers(1, 6), st.integers(1, 6))),
    st.integers(0, 3),
    st.data(),
)
def test_each_crop_is_that_of_its_padded_image(images, padding, data):
    num, _, height, width = images.shape
    places = data.draw(hnp.arrays(np.int64, (2, num), elements=st.integers(0, 2 * padding)))
    flips = data.draw(hnp.arrays(bool, num))
    got = pad_crop_flip(images, *places, flips, padding)
    for image, top, left, flip, crop in zip(images, *places, flips, got):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        expected = padded[:, top : top + height, left : left + width]
        assert np.array_equal(crop, expected[:, :, ::-1] if flip else expected)
