"""Random numbers as a pure function of (seed, epoch, index): a whole batch without a generator per sample.

numpy's SeedSequence and a generator cost some 30 microseconds a sample, as much as augmenting a 32 x 32 image. Here the
64-bit words of a sample come from SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
OOPSLA 2014, figure 16; finaliser "Mix13" of Stafford), seeded with a hash of the three numbers. They do not depend on
the rest of the batch.
"""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def counter_words(seeds: np.ndarray, epochs: np.ndarray, indices: np.ndarray, count: int) -> np.ndarray:
    """``count`` random 64-bit words for each sample.

    Args:
        seeds, epochs, indices: (N,) integers each; taken modulo 2**64.
        count: number of words per sample, 0 or more.

    Returns:
        (N, count) uint64, uniform on [0, 2**64). Row i depends on the i-th (seed, epoch, index) alone, and its
        first words do not depend on ``count``.
    """
    with np.errstate(over="ignore"):
        key = np.zeros(len(indices), dtype=np.uint64)
        for part in (seeds, epochs, indices):
            key = _finalise((key ^ np.asarray(part).astype(np.uint64)) + _GOLDEN)
        steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        return _finalise(key[:, None] + steps[None, :])


def unit_interval(words: np.ndarray) -> np.ndarray:
    """uint64 words of any shape -> float64 in [0, 1), 53 random bits each."""
    return (words >> np.uint64(11)) * 2.0**-53


def below(words: np.ndarray, bound: int) -> np.ndarray:
    """uint64 words of any shape -> int64 in [0, bound), ``bound`` in [1, 2**32].

    By multiplication of the upper 32 bits: a value's probability is off by at most ``bound / 2**32`` of itself.
    """
    return (((words >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def _finalise(words: np.ndarray) -> np.ndarray:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
