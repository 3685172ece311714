"""Images go together by their padded size, and what was found comes in the order of the images."""

import numpy as np
import pytest

from frozen_det.errors import InputError, StorageError
from frozen_det.inference.batches import found_in


def run(sides, batch_size, divisor=32):
    """What comes out for images of these sides, and the batches that went through; a side of 0 cannot be read."""
    batches = []

    def prepare(side):
        if side == 0:
            raise InputError("broken")
        return dict(inputs=[np.zeros((3, side, 64))], data_samples=[side], pictures=[side])

    def find(batch):
        batches.append(batch["data_samples"])
        return [side * 10 for side in batch["pictures"]]

    return list(found_in(iter(sides), prepare, find, batch_size, divisor)), batches


def test_equal_padded_sizes_go_together_and_results_keep_the_order():
    found, batches = run([33, 90, 64, 50, 96], 2)
    assert batches == [[33, 64], [50], [90, 96]]
    assert found == [(33, 330), (90, 900), (64, 640), (50, 500), (96, 960)]


def test_one_at_a_time_gives_each_before_the_next_is_taken():
    taken = []
    sides = (taken.append(side) or side for side in (64, 64))
    results = found_in(sides, lambda side: dict(inputs=[np.zeros((3, 64, 64))], p=[side]), lambda b: b["p"], 1, 32)
    assert next(results) == (64, 64) and taken == [64]


def test_an_image_that_cannot_be_read_is_given_with_its_fault():
    found, batches = run([64, 0, 64], 8)
    assert batches == [[64, 64]] and isinstance(found[1][1], InputError)


def test_a_full_disk_ends_the_work():
    def full(side):
        raise StorageError("full")

    with pytest.raises(StorageError):
        list(found_in([1], full, len, 1, 32))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None])
def test_a_batch_size_that_is_none_is_refused(size):
    with pytest.raises(InputError, match="batch_size as a whole number from 1 on"):
        found_in([], None, None, size, 32)
